"""The verifier's call for one proof."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.groth16.formats import Proof, VerifyingKey
from kernels.groth16.key import Prepared, Words, prepare
from kernels.groth16.single import VERDICTS, verify_one
from kernels.groth16.verdict import Verdict
from kernels.groth16.written import write


def verify(key: VerifyingKey, proof: Proof, signals: Sequence[int]) -> Verdict:
    """Check one proof wholly: its points, its inputs, its equation. Not constant-time: all is
    public."""
    written = write(key, proof, signals)
    if isinstance(written, Verdict):
        return written
    points, inputs = (np.frombuffer(part, np.uint64) for part in written)
    return VERDICTS[verify_words(prepare(key), points, inputs)]


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
