"""The verifier's call for one proof."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.groth16.formats import Proof, VerifyingKey
from kernels.groth16.key import prepare
from kernels.groth16.per_proof import per_proof
from kernels.groth16.single import VERDICTS
from kernels.groth16.verdict import Verdict
from kernels.groth16.written import write


def verify(key: VerifyingKey, proof: Proof, signals: Sequence[int]) -> Verdict:
    """Check one proof wholly: its points, its inputs, its equation. Not constant-time: all is
    public."""
    written = write(key, proof, signals)
    if isinstance(written, Verdict):
        return written
    points, inputs = (np.frombuffer(part, np.uint64) for part in written)
    return VERDICTS[per_proof().one(prepare(key), points, inputs)]
