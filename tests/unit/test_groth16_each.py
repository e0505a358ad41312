"""Proofs side by side, each on its own equation: the same verdicts as one by one."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.bn254.integers import R
from kernels.groth16 import (
    Malformed,
    Proof,
    PublicSignals,
    Verdict,
    each,
    parse_key,
    parse_proof,
    parse_signals,
    verify_each,
)
from tests.unit import groth16_vectors as vectors
from tests.unit.bn254_memory import compiled
from tests.unit.groth16_cases import GOOD, KEY, Case, bad_cases
from tests.unit.groth16_instances import Trapdoor

# The first call of a kernel compiles it, or loads it from the cache.
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not compiled, reason="the kernels are machine code only"),
]


@pytest.fixture(autouse=True, params=["one_by_one", "eight_lanes"])
def per_proof(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with either backend; without IFMA the lanes run on ordinary multiplications."""
    chosen = getattr(importlib.import_module("kernels.groth16.per_proof"), request.param)
    monkeypatch.setattr(each, "per_proof", chosen)


def agree(cases: Sequence[Case]) -> None:
    found = verify_each(KEY, [case[0] for case in cases], [case[1] for case in cases])
    assert found == [case[2] for case in cases]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 17])
def test_any_number_of_honest_proofs(count: int) -> None:
    agree([GOOD[i % len(GOOD)] for i in range(count)])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*GOOD, *bad_cases()]), max_size=20))
def test_any_mixture(cases: list[Case]) -> None:
    agree(cases)


@pytest.mark.parametrize("bad", bad_cases(), ids=lambda case: str(case[2]))
def test_a_bad_proof_in_each_lane(bad: Case) -> None:
    for place in range(8):
        cases = list(GOOD[:8])
        cases[place] = bad
        agree(cases)


def test_two_that_are_wrong_alike_do_not_help_each_other() -> None:
    """Their C are exchanged: the product of both equations holds, neither does."""
    (first, x, _), (second, y, _) = GOOD[:2]
    swapped = [Proof(first.a, first.b, second.c), Proof(second.a, second.b, first.c)]
    assert verify_each(KEY, swapped, [x, y]) == [Verdict.PAIRING_FAILED] * 2


@pytest.mark.parametrize("inputs", [0, 1, 33])
def test_keys_of_other_sizes(inputs: int) -> None:
    trapdoor = Trapdoor.random(inputs, seed=inputs)
    signals = tuple(range(inputs))
    proofs = [trapdoor.proof(signals, a, 5) for a in range(1, 6)]
    proofs[3] = Proof(proofs[0].a, proofs[3].b, proofs[3].c)
    expected = [Verdict.VALID] * 3 + [Verdict.PAIRING_FAILED, Verdict.VALID]
    assert verify_each(trapdoor.key(), proofs, [signals] * 5) == expected


def test_sums_that_are_infinity_or_double_on_the_way() -> None:
    """ic such that the additions meet equal and opposite points, in some lanes only."""
    trapdoor = Trapdoor(3, 5, 7, 11, (1, 1, R - 1))
    signals = [(0, 1), (5, 2), (1, 0), (1, 2), (7, 9), (1, 1), (R - 1, 0), (2**99, 3), (4, 4)]
    honest = [trapdoor.proof(pair, 13, 17) for pair in signals]
    assert set(verify_each(trapdoor.key(), honest, signals)) == {Verdict.VALID}
    forged = [trapdoor.proof((x, y + 1), 13, 17) for x, y in signals]
    assert set(verify_each(trapdoor.key(), forged, signals)) == {Verdict.PAIRING_FAILED}


@pytest.mark.parametrize("circuit", vectors.CIRCUITS)
def test_snarkjs_proofs_honest_and_tampered(circuit: str) -> None:
    key = parse_key(vectors.key_file(circuit).read_bytes())
    cases = [
        *(case | {"expected": "valid"} for case in vectors.proofs(circuit)),
        *(case for case in vectors.tampered() if case["key"] == circuit),
    ]
    read = [(parsed(case), case["expected"]) for case in cases]
    readable = [(pair, expected) for pair, expected in read if pair is not None]
    proofs, signals = [pair[0] for pair, _ in readable], [pair[1] for pair, _ in readable]
    found = [str(verdict) for verdict in verify_each(key, proofs, signals)]
    assert found == [expected for _, expected in readable]


def parsed(case: dict[str, Any]) -> tuple[Proof, PublicSignals] | None:
    try:
        return parse_proof(case["proof"]), parse_signals(case["publicSignals"])
    except Malformed:
        return None


def test_as_many_signals_as_proofs() -> None:
    proof, signals, _ = GOOD[0]
    for proofs, inputs in (([proof], []), ([], [signals])):
        with pytest.raises(ValueError, match=r"shorter|longer"):
            verify_each(KEY, proofs, inputs)
