"""The embedded servers: killed, orphaned, refused; and the launcher's one-line refusals."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from deployments.launcher.postgres import EmbeddedPostgres
from deployments.launcher.server import LaunchError
from deployments.launcher.valkey import EmbeddedValkey
from deployments.runner import is_running, run
from deployments.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


async def _execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def _kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    psutil.wait_procs([process], timeout=10)


async def test_postgres_comes_back_with_its_data_after_kill_9(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg") as server:
        await _execute(server.url, "create table kept as select 7 as n")
        before = server.url
        os.kill(server.pid, signal.SIGKILL)
        await asyncio.to_thread(psutil.wait_procs, [psutil.Process(server.pid)], 10)
        assert not server.is_alive()
        server.start()
        assert server.url == before
        assert await _execute(server.url, "select n from kept") == 7


async def test_a_lock_whose_pid_is_now_another_process_is_stale(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        pass
    lock = tmp_path / "pg" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n", "utf-8")
    with server:
        assert await _execute(server.url, "select 1") == 1


def test_postgres_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from deployments.launcher.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.start()\n"
        "print(server.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "pg")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    postgres = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([postgres], timeout=30)
    assert (len(gone), alive) == (1, [])


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LaunchError, match=f"Valkey: port {port} is taken"):
            EmbeddedValkey(tmp_path / "valkey", port).start()


def test_valkey_keeps_its_port_and_needs_its_password(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "valkey")
    with server:
        first = server.url
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            stranger.sendall(b"PING\r\n")
            assert b"NOAUTH" in stranger.recv(64)
    with server:
        assert server.url == first


def test_a_data_folder_in_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not is_running(tmp_path)
    with (tmp_path / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        assert is_running(tmp_path)
        previous = signal.getsignal(signal.SIGTERM)
        status = run(Settings(data_dir=tmp_path))
        signal.signal(signal.SIGTERM, previous)
    assert status == 1
    assert "in use by another VibeStream (pid 4711)" in capsys.readouterr().err
    assert not is_running(tmp_path)


def test_a_taken_http_port_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        previous = signal.getsignal(signal.SIGTERM)
        status = run(Settings(data_dir=tmp_path, http_port=port))
        signal.signal(signal.SIGTERM, previous)
    assert status == 1
    assert f"the HTTP port {port} is taken" in capsys.readouterr().err
