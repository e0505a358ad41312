"""Many proofs at once: the same verdicts as one by one, whatever is wrong and wherever."""

from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.bn254.integers import P, R
from kernels.bn254.parameters import LAMBDA
from kernels.groth16 import MAX_BATCH, WEIGHT, Proof, Verdict, bisection, verify, verify_batch
from tests.unit.bn254_memory import compiled
from tests.unit.groth16_cases import GOOD, KEY, Case, bad_cases
from tests.unit.groth16_instances import Trapdoor, g1

# The first call of a kernel compiles it, or loads it from the cache.
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not compiled, reason="the kernels are machine code only"),
]


@pytest.fixture(autouse=True, params=["one_by_one", "eight_lanes"])
def per_proof(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with either backend; without IFMA the lanes run on ordinary multiplications."""
    chosen = getattr(importlib.import_module("kernels.groth16.per_proof"), request.param)
    monkeypatch.setattr(bisection, "per_proof", chosen)


def verdicts(cases: Sequence[Case], seed: int = 0) -> list[Verdict]:
    weights = random.Random(seed).randbytes(WEIGHT * len(cases))
    return verify_batch(KEY, [case[0] for case in cases], [case[1] for case in cases], weights)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 16, 17, 40])
def test_honest_batches_of_any_size(count: int) -> None:
    cases = [GOOD[i % len(GOOD)] for i in range(count)]
    assert verdicts(cases) == [Verdict.VALID] * count


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*GOOD, *bad_cases()]), max_size=24), st.integers())
def test_any_mixture_gets_the_verdicts_of_one_by_one(cases: list[Case], seed: int) -> None:
    assert verdicts(cases, seed) == [case[2] for case in cases]


@pytest.mark.parametrize("bad", bad_cases(), ids=lambda case: str(case[2]))
def test_one_bad_proof_among_many(bad: Case) -> None:
    assert verify(KEY, bad[0], bad[1]) is bad[2]
    for place in (0, 5, 11):
        cases = [GOOD[i % len(GOOD)] for i in range(11)]
        cases.insert(place, bad)
        assert verdicts(cases) == [case[2] for case in cases]


def test_all_bad() -> None:
    cases = bad_cases() * 2
    assert verdicts(cases) == [case[2] for case in cases]


def test_bad_proofs_far_apart() -> None:
    """So many that halves are tried with either backend."""
    failing, outside = bad_cases()[0], bad_cases()[-1]
    cases = [GOOD[i % len(GOOD)] for i in range(90)]
    for places in ((3,), (3, 71), (88,)):
        for bad in (failing, outside):
            mixed = [bad if i in places else case for i, case in enumerate(cases)]
            assert verdicts(mixed) == [case[2] for case in mixed]


def test_errors_that_cancel_unweighted_do_not_pass() -> None:
    """Two proofs whose C are exchanged: their plain product is still 1."""
    (first, x, _), (second, y, _) = GOOD[:2]
    swapped = [
        (Proof(first.a, first.b, second.c), x, Verdict.PAIRING_FAILED),
        (Proof(second.a, second.b, first.c), y, Verdict.PAIRING_FAILED),
    ]
    cases = [*swapped, *GOOD[2:8]]
    assert verdicts(cases) == [case[2] for case in cases]


@pytest.mark.parametrize("weights", [bytes(WEIGHT), b"\xff" * WEIGHT, b"\x00" * 8 + b"\xff" * 8])
def test_extreme_weights_and_equal_proofs(weights: bytes) -> None:
    """The sums meet equal and opposite points: additions must be complete where they can be met."""
    proof, signals, _ = GOOD[0]
    negated = Proof((proof.a[0], P - proof.a[1]), proof.b, (proof.c[0], P - proof.c[1]))
    result = verify_batch(KEY, [proof] * 9, [signals] * 9, weights * 9)
    assert result == [Verdict.VALID] * 9
    mixed = [proof, negated] * 4
    result = verify_batch(KEY, mixed, [signals] * 8, weights * 8)
    assert result == [Verdict.VALID, Verdict.PAIRING_FAILED] * 4


def test_proofs_whose_weighted_sums_vanish() -> None:
    """alpha = beta = .. small and L at infinity: each pair of the key's side may fall out."""
    trapdoor = Trapdoor(1, 1, 1, 2, (0 + R - 1, 1))
    proofs = [trapdoor.proof((1,), a, b) for a, b in ((1, 1), (2, 3), (5, 7), (1, R - 1), (9, 9))]
    proofs = [proof for proof in proofs if proof.c != (0, 0)]
    weights = bytes(range(WEIGHT)) * len(proofs)
    result = verify_batch(trapdoor.key(), proofs[1:], [(1,)] * (len(proofs) - 1), weights)
    assert result == [Verdict.VALID] * (len(proofs) - 1)


@pytest.mark.parametrize("inputs", [0, 33])
def test_keys_of_other_sizes(inputs: int) -> None:
    trapdoor = Trapdoor.random(inputs, seed=inputs)
    signals = tuple(range(inputs))
    proofs = [trapdoor.proof(signals, a, 5) for a in range(1, 6)]
    weights = bytes(range(WEIGHT * 5))
    assert set(verify_batch(trapdoor.key(), proofs, [signals] * 5, weights)) == {Verdict.VALID}


def test_what_a_batch_refuses_to_take() -> None:
    proof, signals, _ = GOOD[0]
    for proofs, inputs, weights in (
        ([proof], [], bytes(WEIGHT)),
        ([proof] * 2, [signals] * 2, bytes(WEIGHT * 2 - 1)),
        ([proof] * (MAX_BATCH + 1), [signals] * (MAX_BATCH + 1), bytes(WEIGHT * (MAX_BATCH + 1))),
    ):
        with pytest.raises(ValueError, match="at most"):
            verify_batch(KEY, proofs, inputs, weights)


def test_threads_share_a_key() -> None:
    cases = [*GOOD[:6], bad_cases()[0]]
    results: list[list[Verdict]] = []
    threads = [
        threading.Thread(target=lambda seed: results.append(verdicts(cases, seed)), args=(seed,))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[case[2] for case in cases]] * 4


# -------------------------------------------------------------------------------- weights
def naive_weight(weight: bytes) -> int:
    """The weight's value modulo r, digit by digit."""
    low, high = int.from_bytes(weight[:8], "little"), int.from_bytes(weight[8:], "little")
    total = 0
    for k in range(63, -1, -1):
        digit = (low >> k & 1) + 2 * (high >> k & 1)
        if k == 63 and digit == 0:
            digit = 1
        total = 2 * total + (0 if digit == 0 else pow(LAMBDA, digit - 1, R))
    return total % R


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=WEIGHT, max_size=WEIGHT), st.integers(1, R - 1))
def test_weighted_points_and_sums_are_multiples(weight: bytes, k: int) -> None:
    from kernels.bn254.tower.g1 import AFFINE, JACOBIAN
    from kernels.groth16.batch import sum_inputs, sum_points
    from kernels.groth16.weights import (
        IMAGES,
        PLANES,
        TOTAL,
        digit_planes,
        images,
        weighted,
        weighted_sums,
    )
    from tests.unit.bn254_memory import backends

    backend = next(backend for backend in backends() if backend.lanes == 1)
    planes = np.zeros(PLANES, np.uint64)
    drawn = np.frombuffer(weight, np.uint64)
    digit_planes(planes.ctypes.data, drawn.ctypes.data)
    three = backend.put([[0] * (IMAGES // AFFINE * 2)])
    images(three.ctypes.data, backend.put([list(g1(k))]).ctypes.data)
    point = backend.put([[0] * 3])
    expected = g1(naive_weight(weight) * k)
    chosen = np.zeros(1, np.int64)
    weighted(point.ctypes.data, three.ctypes.data, planes.ctypes.data)
    assert len(point) * 8 == JACOBIAN
    total = backend.put([[0] * 3])
    sum_points(total.ctypes.data, chosen, three.ctypes.data, planes.ctypes.data)
    for memory in (point, total):
        x, y, z = backend.get(memory)[0]
        inverse = pow(z, -1, P)
        assert (x * inverse**2 % P, y * inverse**3 % P) == expected
    number = np.frombuffer(k.to_bytes(32, "little"), np.uint64)
    totals = np.zeros(2 * PLANES * TOTAL // 8, np.uint64)
    sum_inputs(totals.ctypes.data, chosen, number.ctypes.data, 1, planes.ctypes.data)
    assert weighted_sums(totals) == [naive_weight(weight) * k % R, naive_weight(weight)]
