"""The verifier's calls: from parsed values to verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.groth16.formats import Proof, VerifyingKey
from kernels.groth16.key import Prepared, Words, prepare
from kernels.groth16.single import VERDICTS, verify_one
from kernels.groth16.verdict import Verdict


def proof_bytes(proof: Proof) -> bytes:
    """A proof's eight coordinates, 32 bytes each, little-endian; OverflowError where one does not
    fit."""
    (ax, ay), (cx, cy) = proof.a, proof.c
    (bx0, bx1), (by0, by1) = proof.b
    return b"".join(value.to_bytes(32, "little") for value in (ax, ay, bx0, bx1, by0, by1, cx, cy))


def signals_bytes(signals: Sequence[int]) -> bytes:
    """Inputs of 32 bytes each, little-endian; OverflowError where one does not fit."""
    return b"".join(value.to_bytes(32, "little") for value in signals)


def verify(key: VerifyingKey, proof: Proof, signals: Sequence[int]) -> Verdict:
    """Check one proof wholly: its points, its inputs, its equation. Not constant-time: all is
    public."""
    if len(signals) != key.inputs:
        return Verdict.WRONG_INPUT_COUNT
    prepared = prepare(key)
    try:
        inputs = np.frombuffer(signals_bytes(signals), np.uint64)
    except OverflowError:
        return Verdict.INPUT_NOT_IN_FIELD
    try:
        points = np.frombuffer(proof_bytes(proof), np.uint64)
    except OverflowError:
        return Verdict.COORDINATE_NOT_IN_FIELD
    return VERDICTS[verify_words(prepared, points, inputs)]


def verify_words(prepared: Prepared, points: Words, inputs: Words) -> int:
    """The verdict's place in VERDICTS, for a proof and inputs as words."""
    return verify_one(
        points.ctypes.data,
        inputs.ctypes.data,
        prepared.inputs,
        prepared.block.ctypes.data,
        prepared.tables.ctypes.data,
        prepared.bits,
    )
