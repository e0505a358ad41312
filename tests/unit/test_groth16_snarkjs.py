"""The verifier on what snarkjs made: keys and proofs of circuits with 0 to 40 public signals."""

from __future__ import annotations

from typing import Any

import pytest

from kernels.groth16 import (
    Malformed,
    Verdict,
    VerifyingKey,
    parse_key,
    parse_proof,
    parse_signals,
    verify,
)
from tests.unit import groth16_vectors as vectors

KEYS: dict[str, VerifyingKey] = {}


def key_of(circuit: str) -> VerifyingKey:
    if circuit not in KEYS:
        KEYS[circuit] = parse_key(vectors.key_file(circuit).read_bytes())
    return KEYS[circuit]


def verdict(circuit: str, case: dict[str, Any]) -> str:
    try:
        proof, signals = parse_proof(case["proof"]), parse_signals(case["publicSignals"])
        return verify(key_of(circuit), proof, signals)
    except Malformed as error:
        return error.code


@pytest.mark.parametrize("circuit", vectors.CIRCUITS)
def test_honest_proofs_are_valid_and_only_under_their_key(circuit: str) -> None:
    cases = vectors.proofs(circuit)
    assert len(cases) >= 2
    assert key_of(circuit).inputs == int(circuit.removeprefix("public"))
    assert {verdict(circuit, case) for case in cases} == {Verdict.VALID}
    for other in vectors.CIRCUITS:
        if other != circuit:
            assert verdict(other, cases[0]) == Verdict.WRONG_INPUT_COUNT


@pytest.mark.parametrize(
    "case", vectors.tampered(), ids=lambda case: f"{case['key']}: {case['why']}"
)
def test_a_changed_proof_gets_its_own_verdict(case: dict[str, Any]) -> None:
    assert verdict(case["key"], case) == case["expected"]


def test_the_vectors_say_what_snarkjs_says() -> None:
    """What it refuses we refuse; what it accepts we accept but for numbers that are not reduced."""
    accepted = {case["expected"] for case in vectors.tampered() if case["snarkjs"] == "true"}
    refused = {case["expected"] for case in vectors.tampered() if case["snarkjs"] != "true"}
    assert accepted == {"valid", "coordinate-not-in-field"}
    assert "valid" not in refused


@pytest.mark.parametrize("case", vectors.keys(), ids=lambda case: case["why"])
def test_a_changed_key_is_refused_whole(case: dict[str, Any]) -> None:
    try:
        found = "valid" if parse_key(case["key"]) else ""
    except Malformed as error:
        found = error.code
    assert found == case["expected"]


def test_two_proofs_of_a_circuit_do_not_share_signals() -> None:
    first, second, *_ = vectors.proofs("public9")
    crossed = {"proof": first["proof"], "publicSignals": second["publicSignals"]}
    assert verdict("public9", crossed) == Verdict.PAIRING_FAILED
