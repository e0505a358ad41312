"""Proofs of one key with the verdict of each: honest ones, and one that is wrong in each way."""

from __future__ import annotations

import random

from kernels.bn254.integers import P, R
from kernels.groth16 import Proof, Verdict
from tests.unit.groth16_instances import Trapdoor, outside_subgroup

TRAPDOOR = Trapdoor.random(inputs=2, seed=3)
KEY = TRAPDOOR.key()
Case = tuple[Proof, tuple[int, ...], Verdict]


def honest(seed: int) -> Case:
    draw = random.Random(seed)
    signals = (draw.randrange(R), draw.randrange(R))
    proof = TRAPDOOR.proof(signals, draw.randrange(1, R), draw.randrange(1, R))
    return proof, signals, Verdict.VALID


GOOD = [honest(seed) for seed in range(10)]


def bad_cases() -> list[Case]:
    proof, signals, _ = GOOD[0]
    (ax, ay), (bx, by), (cx, cy) = proof.a, proof.b, proof.c
    return [
        (proof, (signals[0], (signals[1] + 1) % R), Verdict.PAIRING_FAILED),
        (Proof(proof.c, proof.b, proof.a), signals, Verdict.PAIRING_FAILED),
        (Proof((ax, P - ay), proof.b, proof.c), signals, Verdict.PAIRING_FAILED),
        (proof, (signals[0],), Verdict.WRONG_INPUT_COUNT),
        (proof, (signals[0], R), Verdict.INPUT_NOT_IN_FIELD),
        (proof, (2**256, signals[1]), Verdict.INPUT_NOT_IN_FIELD),
        (Proof((ax + P, ay), proof.b, proof.c), signals, Verdict.COORDINATE_NOT_IN_FIELD),
        (Proof((ax, -1), proof.b, proof.c), signals, Verdict.COORDINATE_NOT_IN_FIELD),
        (Proof((0, 0), proof.b, proof.c), signals, Verdict.POINT_AT_INFINITY),
        (Proof(proof.a, proof.b, (0, 0)), signals, Verdict.POINT_AT_INFINITY),
        (Proof((ax, ay ^ 1), proof.b, proof.c), signals, Verdict.POINT_OFF_CURVE),
        (Proof(proof.a, (by, bx), proof.c), signals, Verdict.POINT_OFF_CURVE),
        (Proof(proof.a, proof.b, (cy, cx)), signals, Verdict.POINT_OFF_CURVE),
        (Proof(proof.a, outside_subgroup(4), proof.c), signals, Verdict.POINT_OUTSIDE_SUBGROUP),
    ]
