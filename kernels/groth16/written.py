"""Parsed proofs and signals as the words that kernels read: 32 bytes a number, little-endian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernels.groth16.formats import Proof, PublicSignals, VerifyingKey, integers
from kernels.groth16.key import Words
from kernels.groth16.verdict import Verdict


def write(key: VerifyingKey, proof: Proof, signals: Sequence[int]) -> tuple[bytes, bytes] | Verdict:
    """A proof and its signals, or why they cannot be written: a refusal."""
    if len(signals) != key.inputs:
        return Verdict.WRONG_INPUT_COUNT
    inputs = signals.words if isinstance(signals, PublicSignals) else integers(signals)
    if inputs is None:
        return Verdict.INPUT_NOT_IN_FIELD
    if proof.words is None:
        return Verdict.COORDINATE_NOT_IN_FIELD
    return proof.words, inputs


@dataclass(frozen=True, slots=True)
class Written:
    """Proofs of one key: the verdicts of those that cannot be written, the words of the others.

    places: where each row of words is among the verdicts.
    """

    verdicts: list[Verdict]
    places: list[int]
    proofs: Words
    signals: Words


def write_all(
    key: VerifyingKey, proofs: Sequence[Proof], signals: Sequence[Sequence[int]]
) -> Written:
    """Words of all that can be written; the others have their verdicts."""
    verdicts = [Verdict.VALID] * len(proofs)
    places: list[int] = []
    rows: list[tuple[bytes, bytes]] = []
    for i, (proof, inputs) in enumerate(zip(proofs, signals, strict=True)):
        row = write(key, proof, inputs)
        if isinstance(row, Verdict):
            verdicts[i] = row
        else:
            places.append(i)
            rows.append(row)
    # A key without inputs still gets an array with an address.
    written = [b"".join(row[part] for row in rows) or bytes(8) for part in range(2)]
    return Written(verdicts, places, *[np.frombuffer(part, np.uint64) for part in written])
