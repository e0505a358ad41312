"""A server in a process of its own that a benchmark talks to in lines."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
ERROR_CHARS = 4_000


class Child:
    """A process that says `ready …` when it is, obeys lines, and ends when its input ends.

    said: what it said after `ready`.  Raises RuntimeError if it ends before. What it writes to its
    standard error is shown if it fails.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        stop_s: float = 5.0,
    ) -> None:
        pipe = subprocess.PIPE
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=pipe,
            stdout=pipe,
            stderr=self._errors,
            bufsize=0,
        )
        self._stop_s = stop_s
        self._watched = psutil.Process(self._process.pid)
        word, _, self.said = self.line().partition(" ")
        if word != "ready":
            self.stop()
            raise RuntimeError(f"it did not start: {' '.join(command[:4])}")

    def tell(self, line: str) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def line(self) -> str:
        """What it says next; empty at its end."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def memory_bytes(self) -> int:
        """Its share of the memory (PSS) or, where that is not known, all that it has in memory."""
        full = self._watched.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)

    def busy_s(self) -> float:
        """Seconds that it has computed."""
        spent = self._watched.cpu_times()
        return float(spent.user + spent.system)

    def stop(self) -> None:
        """End its input, and itself if that is not enough."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        if self._process.returncode:
            self._errors.seek(0)
            sys.stderr.write(self._errors.read().decode("utf-8", "replace")[-ERROR_CHARS:])
        self._errors.close()
