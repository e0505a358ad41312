"""Node packages of the circuits and the prover, installed once by `npm ci` where they lie."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.node import missing

ROOT = Path(__file__).resolve().parents[2]
CIRCUITS = ROOT / "circuits"
PROVER = ROOT / "web" / "prover"
SECONDS = 900  # compiling the circuit twice, on a busy machine

NodeTests = Callable[[Path, str], None]


@pytest.fixture(scope="session")
def node_tests() -> NodeTests:
    """Runs a file of node's own tests; fails with what it said."""
    for folder in (CIRCUITS, PROVER):
        if reason := missing(folder):
            pytest.fail(f"{folder.name}: {reason} (Node 20 and npm are needed)")

    def run(folder: Path, name: str) -> None:
        command = ["node", "--test", "--test-reporter=tap", f"test/{name}"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert "\n# pass 0\n" not in done.stdout, "no test ran"
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"

    return run
