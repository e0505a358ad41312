"""The locks carry hashes and no addresses; the rooms import downwards only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")
NODE_LOCKS = (
    "benchmarks/peers/package-lock.json",
    "circuits/package-lock.json",
    "simulators/oidc/package-lock.json",
    "tests/data/package-lock.json",
    "web/prover/package-lock.json",
)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_no_address(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert not re.search(r"://|--index-url|--find-links|@ file", text)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash(name: str) -> None:
    pins = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text("utf-8").strip())
    assert len(pins) > 50
    assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_the_lock_keeps_the_extras_that_requirements_name() -> None:
    """In hash mode pip refuses `coverage[toml]` where the lock only says `coverage`."""
    text = (ROOT / "requirements-dev.lock").read_text("utf-8")
    found = re.findall(r"^([a-z0-9.-]+)(?:\[([a-z0-9,-]+)\])?==", text, re.MULTILINE)
    locked = {name: set(filter(None, extras.split(","))) for name, extras in found}
    wanted = [
        (needed, asked.extras)
        for name, extras in locked.items()
        for needed, asked in _requirements(name, extras)
    ]
    assert any(extras for _, extras in wanted)
    assert [w for w in wanted if w[0] in locked and w[1] - locked[w[0]]] == []


def _requirements(name: str, extras: set[str]) -> Iterator[tuple[str, Requirement]]:
    """What an installed package asks for here, with its extras; nothing if it is not installed."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # locked for another platform
        return
    for asked in map(Requirement, lines):
        active = not asked.marker or any(
            asked.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if active:
            yield canonicalize_name(asked.name), asked


@pytest.mark.parametrize("name", NODE_LOCKS)
def test_node_lock_holds_hashes_and_no_address(name: str) -> None:
    packages = json.loads((ROOT / name).read_text("utf-8"))["packages"]
    installed = [package for path, package in packages.items() if path]
    assert installed
    assert [p for p in installed if "resolved" in p or "integrity" not in p] == []


def test_inputs_are_pinned_exactly() -> None:
    for name in ("requirements.in", "requirements-dev.in"):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            if line and not line.startswith(("#", "-r")):
                assert "==" in line, f"{name}: {line}"


def test_import_arrows() -> None:
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    found = subprocess.run(lint, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
