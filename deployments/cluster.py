"""The engine as a supervised child of `make run`: started, watched, replaced, and fully ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
# Every process of one engine carries this variable, so that none can outlive it unnoticed.
MARK = "VIBESTREAM_ENGINE_ID"
STOP_SECONDS = 15.0

Report = Callable[[str], None]


class EngineFailed(Exception):  # noqa: N818 - reads as the event it is
    """The engine did not come up; the message is the operator's one line."""


class EngineProcess:
    """`python -m deployments.engine` with the given environment, and everything it started."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self._mark = ""
        self.last_words = ""

    def start(self, report: Report) -> None:
        """Start and return when it answers. Raises EngineFailed with its reason."""
        self._mark = uuid.uuid4().hex
        environment = {**os.environ, **self._environment, MARK: self._mark}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deployments.engine"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            self._await_ready(report)
        except BaseException:
            self.stop()
            raise

    def _await_ready(self, report: Report) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "ready":
                # The pipe must not fill: nobody else reads what the engine says later.
                threading.Thread(target=self._drain, daemon=True).start()
                return
            if word == "step":
                report(rest)
            elif word == "failed":
                raise EngineFailed(f"{rest} (see {self._log})")
        raise EngineFailed(f"the engine process ended while starting (see {self._log})")

    def _drain(self) -> None:
        assert self._process is not None
        stream = self._process.stdout
        assert stream is not None
        with suppress(ValueError):
            for line in stream:
                self.last_words = line.strip() or self.last_words

    def is_alive(self) -> bool:
        """Whether the process runs. It ends by itself when its Ray node breaks."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the engine and whatever it left. Returns when no process of it remains."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        kill_marked(self._mark)


def kill_marked(mark: str) -> None:
    """SIGKILL every process whose environment carries the mark."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        found = [process for process in psutil.process_iter() if _carries(process, mark)]
        if not found:
            return
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=2)


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark and process.pid != os.getpid()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError):
        return False
