"""The verifier of one proof: what is valid, what is refused and as what."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernels.bn254.integers import P, R
from kernels.groth16 import (
    Malformed,
    Proof,
    Verdict,
    VerifyingKey,
    parse_key,
    parse_proof,
    parse_signals,
    verify,
)
from tests.unit.bn254_memory import compiled
from tests.unit.groth16_instances import (
    Trapdoor,
    g1,
    g2,
    outside_subgroup,
    snarkjs_key,
    snarkjs_proof,
)

# The first call of a kernel compiles it, or loads it from the cache.
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not compiled, reason="the kernels are machine code only"),
]


@pytest.fixture(autouse=True, params=["one_by_one", "eight_lanes"])
def per_proof(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with either backend; without IFMA the lanes run on ordinary multiplications."""
    chosen = getattr(importlib.import_module("kernels.groth16.per_proof"), request.param)
    module = importlib.import_module("kernels.groth16.verify")
    monkeypatch.setattr(module, "per_proof", chosen)


TRAPDOOR = Trapdoor.random(inputs=3, seed=1)
SIGNALS = (5, R - 1, 2**200)
scalars = st.integers(1, R - 1)


@pytest.fixture(scope="module")
def key() -> VerifyingKey:
    return parse_key(snarkjs_key(TRAPDOOR.key()))


@pytest.fixture(scope="module")
def proof() -> Proof:
    return TRAPDOOR.proof(SIGNALS, 123456789, 987654321)


# ---------------------------------------------------------------------------------- valid
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(*[st.integers(0, R - 1)] * 3), scalars, scalars)
def test_honest_proofs_are_valid(signals: tuple[int, ...], a: int, b: int) -> None:
    assert verify(TRAPDOOR.key(), TRAPDOOR.proof(signals, a, b), signals) is Verdict.VALID


@pytest.mark.parametrize("inputs", [0, 1, 2, 33])
def test_keys_of_any_number_of_inputs(inputs: int) -> None:
    trapdoor = Trapdoor.random(inputs, seed=inputs)
    signals = tuple(range(1, inputs + 1))
    proof = trapdoor.proof(signals, 3, 5)
    assert verify(trapdoor.key(), proof, signals) is Verdict.VALID
    if inputs:
        other = (*signals[:-1], 0)
        assert verify(trapdoor.key(), proof, other) is Verdict.PAIRING_FAILED


def test_inputs_whose_sum_is_infinity_or_doubles_on_the_way() -> None:
    """ic such that the additions meet equal and opposite points."""
    trapdoor = Trapdoor(3, 5, 7, 11, (1, 1, R - 1))
    for signals in ((0, 1), (1, 0), (1, 2), (1, 1), (7, 9), (R - 1, 0)):
        proof = trapdoor.proof(signals, 13, 17)
        assert verify(trapdoor.key(), proof, signals) is Verdict.VALID
        wrong = trapdoor.proof((signals[0], signals[1] + 1), 13, 17)
        assert verify(trapdoor.key(), wrong, signals) is Verdict.PAIRING_FAILED


def test_malleated_proofs_are_valid_too(key: VerifyingKey, proof: Proof) -> None:
    """(-A, -B, C) verifies: so a proof's bytes are no identity, only its nullifier is."""
    (ax, ay), (bx, (by0, by1)) = proof.a, proof.b
    negated = Proof((ax, P - ay), (bx, (-by0 % P, -by1 % P)), proof.c)
    assert verify(key, negated, SIGNALS) is Verdict.VALID


# -------------------------------------------------------------------------------- refused
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scalars, scalars, scalars)
def test_random_points_fail(a: int, b: int, c: int) -> None:
    proof = Proof(g1(a), g2(b), g1(c))
    assert verify(TRAPDOOR.key(), proof, SIGNALS) is Verdict.PAIRING_FAILED


def test_each_point_matters(key: VerifyingKey, proof: Proof) -> None:
    for wrong in (
        Proof(g1(5), proof.b, proof.c),
        Proof(proof.a, g2(5), proof.c),
        Proof(proof.a, proof.b, g1(5)),
        Proof((proof.a[0], P - proof.a[1]), proof.b, proof.c),
        Proof(proof.c, proof.b, proof.a),
    ):
        assert verify(key, wrong, SIGNALS) is Verdict.PAIRING_FAILED


@pytest.mark.parametrize("place", range(3))
def test_each_signal_matters(key: VerifyingKey, proof: Proof, place: int) -> None:
    signals = list(SIGNALS)
    signals[place] = (signals[place] + 1) % R
    assert verify(key, proof, signals) is Verdict.PAIRING_FAILED


def test_wrong_counts_of_signals(key: VerifyingKey, proof: Proof) -> None:
    for signals in ((), SIGNALS[:2], (*SIGNALS, 0)):
        assert verify(key, proof, signals) is Verdict.WRONG_INPUT_COUNT


@pytest.mark.parametrize("value", [R, R + 5, 2**254, 2**256 - 1, 2**256, 2**300, -1])
def test_signals_outside_the_field(key: VerifyingKey, proof: Proof, value: int) -> None:
    for place in range(3):
        signals = [*SIGNALS[:place], value, *SIGNALS[place + 1 :]]
        assert verify(key, proof, signals) is Verdict.INPUT_NOT_IN_FIELD


@pytest.mark.parametrize("more", [P, 2**256, -(2**256)])
def test_coordinates_outside_the_field(key: VerifyingKey, proof: Proof, more: int) -> None:
    (ax, ay), (bx, (by0, by1)), (cx, cy) = proof.a, proof.b, proof.c
    for wrong in (
        Proof((ax + more, ay), proof.b, proof.c),
        Proof((ax, ay + more), proof.b, proof.c),
        Proof(proof.a, (bx, (by0, by1 + more)), proof.c),
        Proof(proof.a, ((bx[0] + more, bx[1]), (by0, by1)), proof.c),
        Proof(proof.a, proof.b, (cx, cy + more)),
    ):
        assert verify(key, wrong, SIGNALS) is Verdict.COORDINATE_NOT_IN_FIELD


def test_points_at_infinity(key: VerifyingKey, proof: Proof) -> None:
    nothing = (0, 0)
    for wrong in (
        Proof(nothing, proof.b, proof.c),
        Proof(proof.a, (nothing, nothing), proof.c),
        Proof(proof.a, proof.b, nothing),
    ):
        assert verify(key, wrong, SIGNALS) is Verdict.POINT_AT_INFINITY


def test_points_off_their_curve(key: VerifyingKey, proof: Proof) -> None:
    (ax, ay), (bx, (by0, by1)), (cx, cy) = proof.a, proof.b, proof.c
    for wrong in (
        Proof((ax, ay ^ 1), proof.b, proof.c),
        Proof((0, 1), proof.b, proof.c),
        Proof(proof.a, (bx, (by0 ^ 1, by1)), proof.c),
        Proof(proof.a, (bx, (by0, by1 ^ 1)), proof.c),
        Proof(proof.a, proof.b, (cx ^ 1, cy)),
    ):
        assert verify(key, wrong, SIGNALS) is Verdict.POINT_OFF_CURVE


@pytest.mark.parametrize("seed", range(3))
def test_points_outside_the_subgroup(key: VerifyingKey, proof: Proof, seed: int) -> None:
    wrong = Proof(proof.a, outside_subgroup(seed), proof.c)
    assert verify(key, wrong, SIGNALS) is Verdict.POINT_OUTSIDE_SUBGROUP


# -------------------------------------------------------------------------------- parsing
def refusal(parse: Any, source: Any) -> Verdict:
    with pytest.raises(Malformed) as caught:
        parse(source)
    assert caught.value.code == str(caught.value.verdict)
    return caught.value.verdict


def test_files_and_decoded_objects_parse_the_same(key: VerifyingKey, proof: Proof) -> None:
    for value, parse, expected in (
        (snarkjs_key(key), parse_key, key),
        (snarkjs_proof(proof), parse_proof, proof),
        ([str(value) for value in SIGNALS], parse_signals, SIGNALS),
        (list(SIGNALS), parse_signals, SIGNALS),
    ):
        text = json.dumps(value)
        for source in (value, text, text.encode(), bytearray(text.encode())):
            assert parse(source) == expected


@pytest.mark.parametrize(
    "source",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\xff", "{}", "[" * 5000, 3, None, b"1" * 5000],
    ids=repr,
)
def test_malformed_json(source: Any) -> None:
    assert refusal(parse_key, source) is Verdict.MALFORMED
    assert refusal(parse_proof, source) is Verdict.MALFORMED
    if source != b"[]":
        assert refusal(parse_signals, source) is Verdict.MALFORMED


BAD_NUMBERS = ["", "-1", "1.5", "0x5", " 1", "1 ", "1_0", "١", 1.5, True, None, -1, [], {}]


@pytest.mark.parametrize("value", BAD_NUMBERS, ids=repr)
def test_bad_numbers(proof: Proof, value: Any) -> None:
    assert refusal(parse_signals, [value]) is Verdict.MALFORMED
    written = snarkjs_proof(proof)
    written["pi_a"][0] = value
    assert refusal(parse_proof, written) is Verdict.MALFORMED


@pytest.mark.parametrize("name", ["pi_a", "pi_b", "pi_c"])
def test_malformed_points(proof: Proof, name: str) -> None:
    for wrong in (None, [], ["1", "2"], ["1", "2", "3", "4"], ["1", "2", "2"], "12", {"x": 1}):
        assert refusal(parse_proof, snarkjs_proof(proof) | {name: wrong}) is Verdict.MALFORMED
    written = snarkjs_proof(proof)
    del written[name]
    assert refusal(parse_proof, written) is Verdict.MALFORMED


def test_other_protocols_and_curves(key: VerifyingKey, proof: Proof) -> None:
    changes: list[dict[str, Any]] = [{"protocol": "plonk"}, {"curve": "bls12381"}, {"curve": []}]
    for change in changes:
        assert refusal(parse_proof, snarkjs_proof(proof) | change) is Verdict.MALFORMED
        assert refusal(parse_key, snarkjs_key(key) | change) is Verdict.MALFORMED


def test_infinity_and_range_are_seen_while_parsing(proof: Proof) -> None:
    for point in (["0", "1", "0"], ["0", "0", "1"]):
        written = snarkjs_proof(proof) | {"pi_a": point}
        assert refusal(parse_proof, written) is Verdict.POINT_AT_INFINITY
    infinity = [["0", "0"], ["1", "0"], ["0", "0"]]
    written = snarkjs_proof(proof) | {"pi_b": infinity}
    assert refusal(parse_proof, written) is Verdict.POINT_AT_INFINITY
    written = snarkjs_proof(proof) | {"pi_c": [str(P), "2", "1"]}
    assert refusal(parse_proof, written) is Verdict.COORDINATE_NOT_IN_FIELD
    assert refusal(parse_signals, [str(R)]) is Verdict.INPUT_NOT_IN_FIELD
    assert refusal(parse_signals, ["9" * 900]) is Verdict.INPUT_NOT_IN_FIELD


# ----------------------------------------------------------------------------------- keys
def test_a_key_without_a_phase_2_is_refused(key: VerifyingKey) -> None:
    written = snarkjs_key(key)
    assert refusal(parse_key, written | {"vk_delta_2": written["vk_gamma_2"]}) is (
        Verdict.KEY_NO_PHASE_2
    )
    opposite = snarkjs_key(TRAPDOOR.key()) | {
        "vk_delta_2": [
            written["vk_gamma_2"][0],
            [str(P - int(value)) for value in written["vk_gamma_2"][1]],
            ["1", "0"],
        ]
    }
    assert refusal(parse_key, opposite) is Verdict.KEY_NO_PHASE_2


def test_a_forgery_under_such_a_key_would_verify() -> None:
    """Why it is refused: with gamma = delta, (alpha, beta, -L) is a proof of anything."""
    trapdoor = Trapdoor(3, 5, 7, 7, (11, 13))
    forged = Proof(g1(3), g2(5), g1(-trapdoor.total((99,))))
    assert verify(trapdoor.key(), forged, (99,)) is Verdict.VALID


@pytest.mark.parametrize("name", ["vk_beta_2", "vk_gamma_2", "vk_delta_2"])
def test_points_of_a_key_on_the_twist(key: VerifyingKey, name: str) -> None:
    def point(q: Any) -> list[list[str]]:
        return [[str(value) for value in element] for element in (*q, (1, 0))]

    written = snarkjs_key(key)
    outside = written | {name: point(outside_subgroup(9))}
    assert refusal(parse_key, outside) is Verdict.KEY_OUTSIDE_SUBGROUP
    off = written | {name: point(((1, 2), (3, 4)))}
    assert refusal(parse_key, off) is Verdict.KEY_OFF_CURVE
    infinite = written | {name: [["0", "0"], ["1", "0"], ["0", "0"]]}
    assert refusal(parse_key, infinite) is Verdict.KEY_AT_INFINITY
    large = written | {name: [[str(P), "0"], ["1", "0"], ["1", "0"]]}
    assert refusal(parse_key, large) is Verdict.COORDINATE_NOT_IN_FIELD


def test_points_of_a_key_in_g1(key: VerifyingKey) -> None:
    written = snarkjs_key(key)
    for wrong, verdict in (
        (["1", "3", "1"], Verdict.KEY_OFF_CURVE),
        (["0", "1", "0"], Verdict.KEY_AT_INFINITY),
        (["1", "2", "5"], Verdict.MALFORMED),
    ):
        assert refusal(parse_key, written | {"vk_alpha_1": wrong}) is verdict
        for place in range(4):
            ic = [*written["IC"][:place], wrong, *written["IC"][place + 1 :]]
            assert refusal(parse_key, written | {"IC": ic}) is verdict


def test_counts_of_a_key(key: VerifyingKey) -> None:
    written = snarkjs_key(key)
    changes: list[dict[str, Any]] = [{"nPublic": 2}, {"nPublic": "3"}, {"nPublic": True}]
    for change in [*changes, {"IC": []}, {"IC": None}]:
        assert refusal(parse_key, written | change) is Verdict.MALFORMED
    for name in ("IC", "vk_alpha_1", "vk_beta_2", "vk_gamma_2", "vk_delta_2"):
        without = {field: value for field, value in written.items() if field != name}
        assert refusal(parse_key, without) is Verdict.MALFORMED
    without = {field: value for field, value in written.items() if field != "nPublic"}
    assert parse_key(without) == key
