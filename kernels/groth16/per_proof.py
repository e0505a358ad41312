"""Which backend does the parts of a batch that are per proof: eight lanes where the processor has
them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from kernels.bn254.lanes_values import HAS_IFMA, LANES
from kernels.bn254.llvm import ALIGNMENT
from kernels.groth16.batch import WORK, Places, multiply_moving, weight_batch
from kernels.groth16.key import Words


class PerProof(NamedTuple):
    """weight(chosen, kept, planes) on arrays; multiply(f, chosen, kept, codes) on addresses."""

    weight: Callable[[Places, Words, Words], None]
    multiply: Callable[[int, Places, int, Places], bool]


def per_proof() -> PerProof:
    """The fastest that this machine runs."""
    return eight_lanes() if HAS_IFMA else one_by_one()


def one_by_one() -> PerProof:
    """Kernels of the scalar backend."""

    def weight(chosen: Places, kept: Words, planes: Words) -> None:
        work = np.empty(len(chosen) * WORK // 8, np.uint64)
        weight_batch(chosen, kept.ctypes.data, planes.ctypes.data, work.ctypes.data)

    return PerProof(weight, multiply_moving)


@cache
def eight_lanes() -> PerProof:
    """Kernels of the backend of lanes, which no other machine needs to load."""
    from kernels.groth16 import lanes

    def weight(chosen: Places, kept: Words, planes: Words) -> None:
        groups = -(-len(chosen) // LANES)
        work = np.empty(groups * lanes.WORK + ALIGNMENT, np.uint8)
        address = work.ctypes.data + -work.ctypes.data % ALIGNMENT
        lanes.weight_batch(chosen, kept.ctypes.data, planes.ctypes.data, address)

    return PerProof(weight, lanes.multiply_moving)
