"""The circuit, by node's own tests: what it accepts, one cheat for each constraint, nothing free."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from integrations.proof_artifacts import FOLDER, load

if TYPE_CHECKING:
    from tests.circuits.conftest import NodeTests

from tests.circuits.conftest import CIRCUITS, SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]


def test_the_circuit_accepts_and_refuses(node_tests: NodeTests) -> None:
    node_tests(CIRCUITS, "listen.test.mjs")


def test_no_signal_is_free(node_tests: NodeTests) -> None:
    node_tests(CIRCUITS, "determined.test.mjs")


def test_the_artifacts_are_of_these_sources(node_tests: NodeTests) -> None:
    node_tests(CIRCUITS, "artifacts.test.mjs")


def test_the_ceremony_publishes_what_it_verified(node_tests: NodeTests) -> None:
    node_tests(CIRCUITS, "ceremony.test.mjs")


def test_the_transcript_names_the_pinned_files() -> None:
    artifacts = load()
    transcript = json.loads((FOLDER / "listen-v1" / "transcript.json").read_text("utf-8"))
    for name, file in transcript["files"].items():
        assert file["sha256"] == artifacts.pins["listen-v1"][name].sha256
    key = hashlib.sha256(artifacts.verification_key("listen-v1")).hexdigest()
    assert key == transcript["files"]["verification_key.json"]["sha256"]
    contributors = [c for c in transcript["phase2"] if "beacon" not in c]
    assert len(contributors) >= 2
    assert "beacon" in transcript["phase1"][-1]
    assert "beacon" in transcript["phase2"][-1]
