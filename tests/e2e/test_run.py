"""`vibestream run` as an operator meets it: started, used, hurt, stopped with nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.launcher.server import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]


@dataclass
class Running:
    process: subprocess.Popen[str]
    url: str
    folder: Path

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait_ready(self) -> dict[str, object]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = httpx.get(f"{self.url}/health/ready", timeout=5)
                if answer.status_code == 200:
                    report: dict[str, object] = answer.json()
                    return report
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, "it did not become ready"
            assert self.process.poll() is None, "the launcher ended"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("vibestream")
    port = free_port()
    environment = {
        **os.environ,
        "VIBESTREAM_DATA_DIR": str(folder),
        "VIBESTREAM_HTTP_PORT": str(port),
        "VIBESTREAM_DASHBOARD_PORT": str(free_port()),
    }
    with (folder / "output").open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.cli", "run"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield Running(process, f"http://127.0.0.1:{port}", folder)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _register(running: Running, name: str, key: str) -> httpx.Response:
    body = {
        "username": name,
        "email": f"{name}@example.org",
        "password": "a long winded secret",
        "time_zone": "Europe/Madrid",
        "locale": "es",
    }
    headers = {"Idempotency-Key": key}
    return httpx.post(f"{running.url}/api/v1/users", json=body, headers=headers, timeout=30)


def test_registers_once_however_often_it_is_sent(running: Running) -> None:
    running.wait_ready()
    first = _register(running, "nina", "register-nina-1")
    assert first.status_code == 201
    again = _register(running, "nina", "register-nina-1")
    assert again.json() == first.json()
    assert _register(running, "nina", "register-nina-2").status_code == 409


def test_what_was_acknowledged_survives_killed_servers(running: Running) -> None:
    running.wait_ready()
    account = _register(running, "tomas", "register-tomas-1").json()
    for name in ("postgres", "valkey-server"):
        victims = [p for p in running.descendants() if p.name() == name]
        assert victims, name
        min(victims, key=lambda process: process.create_time()).kill()
        time.sleep(1)
        running.wait_ready()
    assert _register(running, "tomas", "register-tomas-1").json() == account


def test_a_killed_gateway_replica_is_replaced(running: Running) -> None:
    running.wait_ready()
    replicas = [p for p in running.descendants() if "ServeReplica:gateway" in " ".join(p.cmdline())]
    assert replicas
    for replica in replicas:
        replica.kill()
    psutil.wait_procs(replicas, timeout=10)
    running.wait_ready()
    assert httpx.get(f"{running.url}/openapi.json", timeout=10).json()["openapi"].startswith("3.1")


def test_sigterm_leaves_no_process(running: Running) -> None:
    running.wait_ready()
    family = running.descendants()
    assert len(family) > 5
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(90) == 0
    _gone, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert "VibeStream has stopped." in (running.folder / "output").read_text("utf-8")
