"""Which backend does what is per proof: eight lanes where the processor has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from kernels.bn254.lanes_values import HAS_IFMA, LANES
from kernels.bn254.llvm import ALIGNMENT
from kernels.groth16.batch import WORK, Places, multiply_moving, weight_batch
from kernels.groth16.key import KEPT_KEYS, Prepared, Words
from kernels.groth16.single import PROOF
from kernels.groth16.verify import verify_words

Each = Callable[[Prepared, Places, Places, Words, Words], None]


class PerProof(NamedTuple):
    """A batch's parts, weight(chosen, kept, planes) on arrays and multiply(f, chosen, kept, codes)
    on addresses; each(key, codes, chosen, proofs, signals) gives verdicts without a batch.

    few: so many proofs are verified each on its own rather than by a common equation, and so many
    as `failed` once their common equation has failed.
    """

    weight: Callable[[Places, Words, Words], None]
    multiply: Callable[[int, Places, int, Places], bool]
    each: Each
    few: int
    failed: int


def per_proof() -> PerProof:
    """The fastest that this machine runs."""
    return eight_lanes() if HAS_IFMA else one_by_one()


def one_by_one() -> PerProof:
    """Kernels of the scalar backend. A batch's own part costs about as much as one proof."""

    def weight(chosen: Places, kept: Words, planes: Words) -> None:
        work = np.empty(len(chosen) * WORK // 8, np.uint64)
        weight_batch(chosen, kept.ctypes.data, planes.ctypes.data, work.ctypes.data)

    return PerProof(weight, multiply_moving, _each_alone, few=3, failed=3)


def _each_alone(
    key: Prepared, codes: Places, chosen: Places, proofs: Words, signals: Words
) -> None:
    proof, inputs = PROOF // 8, 4 * key.inputs
    for place in map(int, chosen):
        codes[place] = verify_words(
            key,
            proofs[place * proof : (place + 1) * proof],
            signals[place * inputs : (place + 1) * inputs],
        )


@cache
def eight_lanes() -> PerProof:
    """Kernels of the backend of lanes, which no other machine needs to load."""
    from kernels.bn254.lanes_exchange import SCALAR, spread
    from kernels.groth16 import lanes, lanes_each

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
        _each_alone(key, codes, rest, proofs, signals)

    return PerProof(weight, lanes.multiply_moving, each, few=8, failed=128)


def _aligned(size: int) -> Words:
    """So many bytes, from an address that vectors may be loaded from."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(np.uint64)
