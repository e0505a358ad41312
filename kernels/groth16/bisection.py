"""The verifier's call for many proofs: one equation if all is well, halves where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from kernels.bn254.tower.fp12 import E12
from kernels.bn254.tower.g1 import JACOBIAN
from kernels.groth16.batch import (
    KEPT,
    PLANES_BYTES,
    Places,
    equation_holds,
    planes_batch,
    screen_batch,
    sum_inputs,
    sum_points,
)
from kernels.groth16.formats import Proof, VerifyingKey, integers
from kernels.groth16.key import Prepared, Words, prepare
from kernels.groth16.per_proof import per_proof
from kernels.groth16.single import VALID, VERDICTS
from kernels.groth16.verdict import Verdict
from kernels.groth16.weights import IMAGES, PLANES, TOTAL, WEIGHT, weighted_sums
from kernels.groth16.written import Written, write_all

MAX_BATCH: Final = 4096


class _Batch:
    """Proofs of one key whose numbers fit into words, and what is known of each."""

    def __init__(self, key: Prepared, written: Written, weights: Words) -> None:
        count = len(written.places)
        self._key = key
        self._proofs, self._signals = written.proofs, written.signals
        self.codes = np.zeros(count, np.int64)
        self._kept = np.empty(count * KEPT // 8, np.uint64)
        self._images = np.empty(count * IMAGES // 8, np.uint64)
        self._planes = np.empty(count * PLANES_BYTES // 8, np.uint64)
        self._parts = per_proof()
        planes_batch(self._planes.ctypes.data, weights.ctypes.data, count)
        screen_batch(
            self.codes,
            self._kept.ctypes.data,
            self._images.ctypes.data,
            self._proofs.ctypes.data,
            self._signals.ctypes.data,
            key.inputs,
        )
        self.screened = np.flatnonzero(self.codes == VALID)
        if len(self.screened) > self._parts.few:
            self._parts.weight(self.screened, self._kept, self._planes)

    def settle(self, chosen: Places, *, wrong: bool = False) -> None:
        """Give each chosen proof its code; wrong: it is known that one of them is."""
        parts = self._parts
        if not wrong and len(chosen) > parts.few:
            if self._holds(chosen):
                return
            inside = chosen[self.codes[chosen] == VALID]
            if len(inside) < len(chosen):
                self.settle(inside)
                return
            wrong = True
        if len(chosen) <= (parts.failed if wrong else parts.few):
            parts.each(self._key, self.codes, chosen, self._proofs, self._signals)
            return
        left, right = np.array_split(chosen, 2)
        self.settle(left)
        self.settle(right, wrong=bool((self.codes[left] == VALID).all()))

    def _holds(self, chosen: Places) -> bool:
        """Whether the chosen proofs' common equation holds; else codes of the B outside the
        subgroup."""
        key = self._key
        value = np.empty(E12 // 8, np.uint64)
        kept, planes = self._kept.ctypes.data, self._planes.ctypes.data
        if not self._parts.multiply(value.ctypes.data, chosen, kept, self.codes):
            return False
        totals = np.zeros((key.inputs + 1) * PLANES * TOTAL // 8, np.uint64)
        total_c = np.empty(JACOBIAN // 8, np.uint64)
        sum_inputs(totals.ctypes.data, chosen, self._signals.ctypes.data, key.inputs, planes)
        sum_points(total_c.ctypes.data, chosen, self._images.ctypes.data, planes)
        sums = weighted_sums(totals)
        written = integers([*sums, sums[-1]])
        assert written is not None, "sums are below r"
        scalars = np.frombuffer(written, np.uint64)
        return equation_holds(
            value.ctypes.data,
            total_c.ctypes.data,
            scalars.ctypes.data,
            key.inputs,
            key.block.ctypes.data,
            key.tables.ctypes.data,
            key.bits,
        )


def verify_batch(
    key: VerifyingKey,
    proofs: Sequence[Proof],
    signals: Sequence[Sequence[int]],
    weights: bytes,
) -> list[Verdict]:
    """The verdict of each proof, as `verify` would give it, for about a third of the time.

    weights: WEIGHT (16) fresh bytes a proof from a cryptographic generator, unknown to whoever made
    the proofs. A false proof passes with probability below 2^-125. Where the common
    equation fails, halves are tried: a few bad proofs cost a few more equations.
    """
    count = len(proofs)
    if count > MAX_BATCH or count != len(signals) or len(weights) < count * WEIGHT:
        raise ValueError(f"at most {MAX_BATCH} proofs, signals and {WEIGHT} bytes for each")
    written = write_all(key, proofs, signals)
    verdicts = written.verdicts
    if written.places:
        drawn = np.frombuffer(weights, np.uint64, count * WEIGHT // 8).reshape(count, -1)
        batch = _Batch(prepare(key), written, drawn[written.places])
        batch.settle(batch.screened)
        for place, code in zip(written.places, batch.codes, strict=True):
            verdicts[place] = VERDICTS[code]
    return verdicts
