"""The sum of one proof's inputs in lanes: an eighth of the windows each, added up at the end.

As `single.total_of_inputs`. The additions are incomplete; where they met a doubling or infinity the
end has Z = 0, and the sum is done again one point at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.bn254.fixed_base import SCALAR_BITS, fixed_base_sum, g1_from_affine
from kernels.bn254.lanes import E1, E2, fp_select, kernel, table_address
from kernels.bn254.lanes_exchange import SCALAR, gather, scatter, to_lanes_form, to_scalar_form
from kernels.bn254.lanes_values import LANES
from kernels.bn254.llvm import load, noinline, stack, store
from kernels.bn254.parameters import ONE
from kernels.bn254.scalar_values import LIMBS
from kernels.bn254.tower.g1 import AFFINE as SCALAR_AFFINE
from kernels.bn254.tower.g1 import JACOBIAN as SCALAR_JACOBIAN
from kernels.bn254.tower.g1 import g1_add
from kernels.bn254.words import INTEGER, below_r, clear, is_zero
from kernels.groth16.key import IC_0
from kernels.groth16.lanes import AFFINE, JACOBIAN, g1_add_affine

MASK = 8 * LANES


@kernel
def _next_points(point: int, some: int, table: int, word: Any, bits: int) -> None:
    """Each lane's point for its digit of the word; some: a mask of the digits that are not 0."""
    digits = (1 << bits) - 1
    for lane in range(LANES):
        digit: Any = np.int64(word >> np.uint64(lane * bits)) & digits
        store(some + 8 * lane, ~np.uint64(0) if digit != 0 else np.uint64(0))
        source = table + (lane * digits + max(digit - 1, 0)) * SCALAR_AFFINE
        gather(point, lane, source)
        gather(point + E1, lane, source + SCALAR)
    to_lanes_form(point, 2)


@kernel
def _add_some(t: int, begun: int, point: int, some: int) -> None:
    """t = t + point where `some` says so; the point itself in lanes that had not begun."""
    added = stack(JACOBIAN)
    g1_add_affine(added, t, point)
    fp_select(added, added, point, begun)
    fp_select(added + E1, added + E1, point + E1, begun)
    fp_select(added + 2 * E1, added + 2 * E1, table_address() + ONE * E2, begun)
    for i in range(3):
        fp_select(t + i * E1, added + i * E1, t + i * E1, some)
    for lane in range(LANES):
        place = 8 * lane
        store(begun + place, load(begun + place) | load(some + place))


@kernel
def total_of_inputs(
    total: int, inputs: int, count: int, block: int, tables: int, bits: int
) -> bool:
    """total = L, Jacobian; False where an input is not below r. Eight windows at a time: a power of
    two of them, so they are of one input and one word."""
    noinline()
    t, point, part = stack(JACOBIAN), stack(AFFINE), stack(SCALAR_JACOBIAN)
    some, begun = stack(MASK), stack(MASK)
    clear(t, JACOBIAN // 8)
    clear(begun, LANES)
    windows, in_word = SCALAR_BITS // bits, 64 // bits
    row = ((1 << bits) - 1) * SCALAR_AFFINE
    for k in range(0, count * windows, LANES):
        word = load(inputs + k // windows * INTEGER + k % windows // in_word * 8)
        _next_points(point, some, tables + k * row, word >> np.uint64(k % in_word * bits), bits)
        _add_some(t, begun, point, some)
    to_scalar_form(t, 3)
    g1_from_affine(total, block + IC_0)
    for lane in range(LANES):
        if load(begun + 8 * lane) != 0:
            for i in range(3):
                scatter(part + i * SCALAR, t + i * E1, lane)
            g1_add(total, total, part)
    if is_zero(total + 2 * SCALAR, LIMBS):
        g1_from_affine(total, block + IC_0)
        fixed_base_sum(total, tables, inputs, count, bits)
    return below_r(inputs, count)
