"""Which backend does the parts of a batch that are per proof: eight lanes where the processor has
them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from kernels.bn254.lanes_values import HAS_IFMA, LANES
from kernels.compile import njit
from kernels.groth16.batch import WORK, Places, multiply_moving, weight_batch
from kernels.groth16.key import Words


class PerProof(NamedTuple):
    """weight(chosen, kept, planes) and multiply(value, chosen, kept, codes), on arrays."""

    weight: Callable[[Places, Words, Words], None]
    multiply: Callable[[Words, Places, Words, Places], bool]


def per_proof() -> PerProof:
    """The fastest that this machine runs."""
    return eight_lanes() if HAS_IFMA else one_by_one()


@njit(error_model="numpy")
def _weight(chosen: Places, kept: Words, planes: Words, work: Words) -> None:
    """`batch.weight_batch` on arrays."""
    weight_batch(chosen, kept.ctypes.data, planes.ctypes.data, work.ctypes.data)


@njit(error_model="numpy")
def _multiply(value: Words, chosen: Places, kept: Words, codes: Places) -> bool:
    """`batch.multiply_moving` on arrays."""
    return multiply_moving(value.ctypes.data, chosen, kept.ctypes.data, codes)


def one_by_one() -> PerProof:
    """Kernels of the scalar backend."""

    def weight(chosen: Places, kept: Words, planes: Words) -> None:
        _weight(chosen, kept, planes, np.empty(len(chosen) * WORK // 8, np.uint64))

    return PerProof(weight, _multiply)


@cache
def eight_lanes() -> PerProof:
    """Kernels of the backend of lanes, which no other machine needs to load."""
    from kernels.groth16 import lanes

    def weight(chosen: Places, kept: Words, planes: Words) -> None:
        groups = -(-len(chosen) // LANES)
        raw = np.empty(groups * lanes.WORK + 64, np.uint8)
        start = -raw.ctypes.data % 64
        work = raw[start : start + groups * lanes.WORK].view(np.uint64)
        lanes.weight_arrays(chosen, kept, planes, work)

    return PerProof(weight, lanes.multiply_arrays)
