"""A server as a direct child: started, watched, ended. What PostgreSQL and Valkey share."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 60.0
STOP_SECONDS = 30.0
SPAWN = Path(__file__).with_name("spawn.py")


class LaunchError(Exception):
    """Something that `make run` needs is not to be had; the message is the operator's one line."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


class EmbeddedServer(ABC):
    """A context manager with `.url`. The folder keeps the data, the log, the port, the password."""

    title: str
    stop_signal: signal.Signals

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self._wanted_port = port
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients connect, password included."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder. Raises LaunchError."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The server's program and arguments, in the foreground."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server answers."""

    @property
    def log(self) -> Path:
        """Where the server writes."""
        return self.folder / "log"

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def is_alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and return when the server answers. Raises LaunchError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prepare()
            self._choose_port()
            self._spawn()
        except OSError as error:
            raise LaunchError(f"{self.title} cannot start: {error}") from error
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if not self.is_alive() or time.monotonic() > deadline:
                why = self._last_log_line()
                self.stop()
                raise LaunchError(f"{self.title} did not start: {why} (see {self.log})")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server cleanly, by force if it does not heed."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        mode = "unprivileged" if os.geteuid() == 0 else "plain"
        guard = [str(os.getpid()), str(int(self.stop_signal)), mode]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program and paths
                [sys.executable, "-I", str(SPAWN), *guard, *self._command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                # Its own group: Ctrl-C in the terminal is for the launcher, which ends us in order.
                process_group=0,
            )

    def _choose_port(self) -> None:
        """The given port, else the one this folder had before if it is free, else a free one."""
        if self._wanted_port is not None:
            if not is_free(self._wanted_port):
                raise LaunchError(f"{self.title}: port {self._wanted_port} is taken")
            self.port = self._wanted_port
            return
        note = self.folder / "port"
        earlier = int(note.read_text("ascii")) if note.exists() else 0
        self.port = earlier if earlier and is_free(earlier) else free_port()
        note.write_text(str(self.port), "ascii")

    def _last_log_line(self) -> str:
        lines = (
            self.log.read_text("utf-8", "replace").strip().splitlines() if self.log.exists() else []
        )
        return lines[-1] if lines else "no output"
