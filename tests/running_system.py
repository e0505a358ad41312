"""`vibestream run` as an operator has it: started once, read, hurt and ended from outside."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from demo.client import Letters
from deployments.launcher.server import is_free

ROOT = Path(__file__).resolve().parents[1]
# What `vibestream verify` says when nothing is wrong.
IN_ORDER = (
    "The ledger is in balance.\n"
    "Every order book is what its journal makes.\n"
    "Every share is somebody's, and every distribution is what its parts make.\n"
    "Every token is somebody's, and every escrow is what was invested.\n"
    "The audit log is as it was sealed.\n"
)
PATIENCE_S = 180.0  # a Ray node anew on two busy cores took 90


@dataclass
class Running:
    """A running VibeStream. `title`s are what Ray writes into its processes' command lines."""

    process: subprocess.Popen[str]
    url: str
    folder: Path

    def operator(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `vibestream` as an operator does in another terminal."""
        environment = {**os.environ, "VIBESTREAM_DATA_DIR": str(self.folder)}
        command = [sys.executable, "-m", "deployments.cli", *words]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150,
            check=False,
        )  # fmt: skip

    def descendants(self) -> list[psutil.Process]:
        """Every process below the launcher."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def titled(self, title: str) -> list[psutil.Process]:
        """The processes with these words in their command line."""
        return self._those(lambda process: title in " ".join(process.cmdline()))

    def named(self, *names: str) -> list[psutil.Process]:
        """The processes whose program has one of the names."""
        return self._those(lambda process: process.name() in names)

    def server(self, name: str) -> psutil.Process | None:
        """The first process of an embedded server."""
        return min(self.named(name), key=lambda process: process.create_time(), default=None)

    def _those(self, wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
        found = []
        for process in self.descendants():
            try:
                if wanted(process):
                    found.append(process)
            except psutil.NoSuchProcess:  # it ended since it was listed, or is a zombie
                continue
        return found

    def output(self) -> str:
        """What the launcher has said."""
        return (self.folder / "output").read_text("utf-8")

    @property
    def letters_url(self) -> str:
        """Where its mail server shows letters."""
        notes = json.loads((self.folder / "run.json").read_text("utf-8"))
        return str(notes["letters_url"])

    def letters(self) -> Letters:
        """What its mail server has taken."""
        return Letters(self.letters_url)

    def wait_for_the_demo(self) -> None:
        """Wait until the launcher says that all is there."""
        deadline = time.monotonic() + PATIENCE_S
        while "VibeStream is running." not in self.output():
            assert time.monotonic() < deadline, self.output()
            assert self.process.poll() is None, self.output()
            time.sleep(0.2)

    def readiness(self) -> dict[str, object] | None:
        """The report, if every critical part answers."""
        try:
            answer = httpx.get(f"{self.url}/health/ready", timeout=5)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def wait_ready(self) -> dict[str, object]:
        """Wait until it is ready; the report."""
        deadline = time.monotonic() + PATIENCE_S
        while (report := self.readiness()) is None:
            assert time.monotonic() < deadline, f"it did not become ready: {self.output()}"
            assert self.process.poll() is None, "the launcher ended"
            time.sleep(0.2)
        return report


def quiet_port() -> int:
    """A free port that no connection, worker of Ray or Serve replica is given meanwhile."""
    candidates = random.sample(range(20_000, 30_000), 100)
    return next(port for port in candidates if is_free(port))


@contextmanager
def run_system(folder: Path, **variables: str) -> Iterator[Running]:
    """A system of its own in `folder`, with its demo loaded; ended afterwards."""
    port = quiet_port()
    environment = {
        **os.environ,
        "VIBESTREAM_DATA_DIR": str(folder),
        "VIBESTREAM_HTTP_PORT": str(port),
        "VIBESTREAM_REALTIME_PORT": str(quiet_port()),
        "VIBESTREAM_DASHBOARD_PORT": str(quiet_port()),
        **variables,
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
    running = Running(process, f"http://127.0.0.1:{port}", folder)
    try:
        running.wait_for_the_demo()
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
