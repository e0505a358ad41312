"""The embedded servers: killed, orphaned, refused; and the launcher's one-line refusals."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from deployments.launcher.postgres import BINARIES_VARIABLE, EmbeddedPostgres
from deployments.launcher.postgres import binaries as postgres_binaries
from deployments.launcher.server import LaunchError, free_port, server_environment, spawn_mode
from deployments.launcher.valkey import EmbeddedValkey
from deployments.runner import RUN_FILE, is_running, run
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


BUSY = "do $$ begin loop perform 1; end loop; end $$"  # never looks whether the postmaster lives


async def test_postgres_comes_back_although_a_backend_is_still_busy(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg") as server:
        connection = await asyncpg.connect(server.url)
        backend = psutil.Process(await connection.fetchval("select pg_backend_pid()"))
        query = asyncio.create_task(connection.execute(BUSY))
        watcher = "select 1 from pg_stat_activity where state = 'active' and query = $1"
        second = await asyncpg.connect(server.url)
        while not await second.fetchval(watcher, BUSY):
            pass
        await second.close()
        _kill(server.pid)
        assert backend.is_running()
        await asyncio.to_thread(server.start)
        assert not backend.is_running()
        assert await _execute(server.url, "select 1") == 1
        assert isinstance((await asyncio.gather(query, return_exceptions=True))[0], Exception)


def test_a_cluster_killed_while_it_is_made_is_made_again(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from deployments.launcher.postgres import EmbeddedPostgres\n"
        "EmbeddedPostgres(Path(sys.argv[1])).start()\n"
    )
    folder = tmp_path / "pg"
    parent = subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=ROOT)
    while not list(folder.glob("data*/PG_VERSION")):
        assert parent.poll() is None
    parent.kill()
    parent.wait()
    assert not (folder / "data" / "global" / "pg_control").exists()
    with EmbeddedPostgres(folder) as server:
        assert asyncio.run(_execute(server.url, "select 1")) == 1


def test_a_damaged_cluster_is_said_in_one_line(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        pass
    (tmp_path / "pg" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(LaunchError, match="pg_control") as caught:
        server.start()
    assert "\n" not in str(caught.value)
    assert not server.is_alive()


def test_a_full_disk_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    initdb = tmp_path / "initdb"
    words = "initdb: error: could not write file: No space left on device"
    initdb.write_text(f"#!/bin/sh\necho '{words}' >&2; echo 'removing data directory'; exit 1\n")
    initdb.chmod(0o755)
    monkeypatch.setenv("VIBESTREAM_POSTGRES_BINARIES", str(tmp_path))
    with pytest.raises(LaunchError, match=r"No space left on device$"):
        EmbeddedPostgres(tmp_path / "pg").start()


def test_a_server_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "valkey")
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(server.pid).wait(0.5)
    server.stop()


def test_a_valkey_that_lost_its_launcher_is_ended_first(tmp_path: Path) -> None:
    first, second = EmbeddedValkey(tmp_path / "valkey"), EmbeddedValkey(tmp_path / "valkey")
    first.start()
    orphan = psutil.Process(first.pid)
    with second:
        assert not first.is_alive()
        assert second.pid != orphan.pid
    first.stop()


def test_a_note_written_half_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / "valkey"
    folder.mkdir()
    for text in ("", "x", "0", "99999999"):
        (folder / "port").write_text(text, "ascii")
        with EmbeddedValkey(folder) as server:
            assert (folder / "port").read_text("ascii") == str(server.port)


def test_servers_do_not_inherit_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBESTREAM_POSTGRES_URL", "postgresql://a:secret@b/c")
    assert "a:secret@b" not in str(server_environment())


@pytest.fixture
def readable_binaries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PostgreSQL where anybody may execute it: the virtual environment may lie in a private folder,
    which `nobody`, unlike root in a user namespace, cannot enter."""
    package = postgres_binaries().parents[1]
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        # The libraries are found relative to the programs, so both folders go together.
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, Path(name) / folder.name, symlinks=True)
        binaries = Path(name) / package.name / "pginstall" / "bin"
        monkeypatch.setenv(BINARIES_VARIABLE, str(binaries))
        yield


@pytest.mark.usefixtures("readable_binaries")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
@pytest.mark.parametrize("mode", ["unprivileged", "nobody"])
def test_root_runs_postgres_as_an_ordinary_user(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode != "nobody" and spawn_mode() != mode:
        pytest.skip("user namespaces are forbidden here")
    monkeypatch.setattr("deployments.launcher.server.spawn_mode", lambda: mode)
    monkeypatch.setattr("deployments.launcher.postgres.spawn_mode", lambda: mode)
    with tempfile.TemporaryDirectory() as name:  # 0700; the parent of pytest's own is closed too
        with EmbeddedPostgres(Path(name) / "pg") as server:
            assert asyncio.run(_execute(server.url, "select 1")) == 1
            expected = 65_534 if mode == "nobody" else 0
            assert psutil.Process(server.pid).uids().real == expected
        assert (Path(name) / "pg" / "data").stat().st_uid == expected
        assert (Path(name) / "pg").stat().st_mode & 0o077 == 0


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


class FakeEngine:
    """In place of Ray: sees what the launcher has ready for it, then the operator's Ctrl-C."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.seen: dict[str, Any] = {}
        self._environment, self._folder = environment, log.parent
        ENGINES.append(self)

    def start(self, report: Callable[[str], None]) -> None:
        note = self._folder / RUN_FILE
        self.seen = json.loads(note.read_text("utf-8"))
        assert note.stat().st_mode & 0o077 == 0
        assert self.seen["postgres_url"] == self._environment["VIBESTREAM_POSTGRES_URL"]
        asyncio.run(_execute(self.seen["postgres_url"], "select 1 from migrations.applied"))
        raise KeyboardInterrupt

    def stop(self) -> None:
        """Nothing to end."""


ENGINES: list[FakeEngine] = []


def test_ctrl_c_ends_the_servers_and_leaves_no_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deployments.runner.EngineProcess", FakeEngine)
    previous = signal.getsignal(signal.SIGTERM)
    settings = Settings(data_dir=tmp_path, postgres_url="", redis_url="")
    settings.http_port, settings.dashboard_port = free_port(), free_port()
    status = run(settings)
    signal.signal(signal.SIGTERM, previous)
    shown = capsys.readouterr()
    assert (status, shown.err) == (0, "")
    assert ENGINES[-1].seen["pid"] == os.getpid()
    assert not (tmp_path / RUN_FILE).exists()
    assert not is_running(tmp_path)
    ours = [p for p in psutil.Process().children(recursive=True) if str(tmp_path) in p.cwd()]
    assert ours == []
    password = urlsplit(ENGINES[-1].seen["postgres_url"]).password
    assert password
    assert password not in shown.out


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
