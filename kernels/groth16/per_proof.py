"""Which backend does what is per proof: eight lanes where the processor has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from kernels.bn254.lanes_values import HAS_IFMA, LANES
from kernels.bn254.llvm import ALIGNMENT
from kernels.bn254.tower.g1 import JACOBIAN
from kernels.groth16.batch import WORK, Places, multiply_moving, weight_batch
from kernels.groth16.key import KEPT_KEYS, Prepared, Words
from kernels.groth16.single import INPUT, PROOF, total_of_inputs, verify_one

Total = Callable[[int, int, int, int, int, int], bool]
One = Callable[[Prepared, Words, Words], int]
Each = Callable[[Prepared, Places, Places, Words, Words], None]


class PerProof(NamedTuple):
    """A batch's parts, weight(chosen, kept, planes) on arrays and multiply(f, chosen, kept, codes)
    on addresses. one(key, proof, signals) is a proof's place in VERDICTS, each(key, codes, chosen,
    proofs, signals) gives many theirs without a batch.

    few: so many proofs are verified each on its own rather than by a common equation, and so many
    as `failed` once their common equation has failed.
    """

    weight: Callable[[Places, Words, Words], None]
    multiply: Callable[[int, Places, int, Places], bool]
    one: One
    each: Each
    few: int
    failed: int


def per_proof() -> PerProof:
    """The fastest that this machine runs."""
    return eight_lanes() if HAS_IFMA else one_by_one()


@cache
def one_by_one() -> PerProof:
    """Kernels of the scalar backend. A batch's own part costs about as much as one proof."""

    def weight(chosen: Places, kept: Words, planes: Words) -> None:
        work = np.empty(len(chosen) * WORK // 8, np.uint64)
        weight_batch(chosen, kept.ctypes.data, planes.ctypes.data, work.ctypes.data)

    one = _one(total_of_inputs)
    return PerProof(weight, multiply_moving, one, _one_after_another(one), few=3, failed=3)


def _one(total: Total) -> One:
    def one(key: Prepared, proof: Words, signals: Words) -> int:
        known = np.empty(JACOBIAN // 8, np.uint64)
        at, block = known.ctypes.data, key.block.ctypes.data
        if not total(at, signals.ctypes.data, key.inputs, block, key.tables.ctypes.data, key.bits):
            return INPUT
        return verify_one(proof.ctypes.data, at, block)

    return one


def _one_after_another(one: One) -> Each:
    def each(key: Prepared, codes: Places, chosen: Places, proofs: Words, signals: Words) -> None:
        proof, inputs = PROOF // 8, 4 * key.inputs
        for place in map(int, chosen):
            codes[place] = one(
                key,
                proofs[place * proof : (place + 1) * proof],
                signals[place * inputs : (place + 1) * inputs],
            )

    return each


@cache
def eight_lanes() -> PerProof:
    """Kernels of the backend of lanes, which no other machine needs to load."""
    from kernels.bn254.lanes_exchange import SCALAR, spread
    from kernels.groth16 import lanes, lanes_each, lanes_total

    one = _one(lanes_total.total_of_inputs)
    alone = _one_after_another(one)

    @lru_cache(maxsize=KEPT_KEYS)
    def spread_block(key: Prepared) -> Words:
        block = _aligned(lanes_each.BLOCK)
        spread(block.ctypes.data, key.block.ctypes.data, lanes_each.SCALAR_BLOCK // SCALAR)
        return block

    def weight(chosen: Places, kept: Words, planes: Words) -> None:
        work = _aligned(-(-len(chosen) // LANES) * lanes.WORK)
        lanes.weight_batch(chosen, kept.ctypes.data, planes.ctypes.data, work.ctypes.data)

    def each(key: Prepared, codes: Places, chosen: Places, proofs: Words, signals: Words) -> None:
        lanes_each.verify_lanes(
            codes,
            chosen,
            proofs.ctypes.data,
            signals.ctypes.data,
            key.inputs,
            spread_block(key).ctypes.data,
            key.tables.ctypes.data,
            key.bits,
        )
        rest = chosen[codes[chosen] == lanes_each.UNDECIDED]
        alone(key, codes, rest, proofs, signals)

    return PerProof(weight, lanes.multiply_moving, one, each, few=8, failed=128)


def _aligned(size: int) -> Words:
    """So many bytes, from an address that vectors may be loaded from."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.uint64)
