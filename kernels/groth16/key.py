"""What is computed once for a verification key: tables of its G1 points, lines of its G2 points,
e(alpha, beta)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from kernels.bn254 import scalar
from kernels.bn254.fixed_base import SCALAR_BITS, fixed_base_table
from kernels.bn254.integers import Fp2, G1Point, G2Point, P
from kernels.bn254.tower.fp12 import E12
from kernels.bn254.tower.g1 import AFFINE, JACOBIAN
from kernels.bn254.tower.miller import FIXED_LINES, PAIR, miller
from kernels.bn254.twist import fixed_lines
from kernels.groth16.formats import VerifyingKey

Words = npt.NDArray[np.uint64]

KEPT_KEYS = 8
# A table of 8-bit windows is half a megabyte an input: one addition for each byte of an input. Many
# inputs get 4-bit windows, an eighth of the space and twice the additions.
WIDE_WINDOW, NARROW_WINDOW = 8, 4
WIDE_INPUTS = 32

# The block of a key in memory: what single and batch verification read besides the tables.
ALPHA_BETA = 0
IC_0 = E12
LINES = IC_0 + AFFINE
BLOCK = LINES + 3 * FIXED_LINES


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Arrays that the kernels read; equal only to itself, so more may be kept by it.

    block: at ALPHA_BETA the Miller value of (-alpha, beta), at IC_0 the constant point, at LINES
    those of delta, gamma, beta. tables: of ic[1], .., ic[n], ic[0], alpha, in windows of `bits`.
    """

    inputs: int
    bits: int
    block: Words
    tables: Words


def words(values: list[int]) -> Words:
    """Elements of Fp in Montgomery form, in a row."""
    return np.array([word for value in values for word in scalar.encode(value)], np.uint64)


def _flat(point: G2Point | tuple[Fp2, Fp2]) -> list[int]:
    return [value for element in point for value in element]


@lru_cache(maxsize=KEPT_KEYS)
def prepare(key: VerifyingKey) -> Prepared:
    """Fill the arrays of a key: some milliseconds an input."""
    bits = WIDE_WINDOW if key.inputs <= WIDE_INPUTS else NARROW_WINDOW
    block = np.zeros(BLOCK // 8, np.uint64)
    block[ALPHA_BETA // 8 : IC_0 // 8] = _miller_alpha_beta(key)
    block[IC_0 // 8 : LINES // 8] = words(list(key.ic[0]))
    lines = [line for point in (key.delta, key.gamma, key.beta) for line in fixed_lines(point)]
    block[LINES // 8 :] = words([value for line in lines for value in _flat(line)])
    tables = _tables([*key.ic[1:], key.ic[0], key.alpha], bits)
    for array in (block, tables):
        array.flags.writeable = False
    return Prepared(key.inputs, bits, block, tables)


def _miller_alpha_beta(key: VerifyingKey) -> Words:
    pair = np.zeros(PAIR // 8, np.uint64)
    x, y = key.alpha
    point = words([x, P - y, *_flat(key.beta)])
    pair[: len(point)] = point
    value = np.zeros(E12 // 8, np.uint64)
    miller(value.ctypes.data, pair.ctypes.data, 1, 0, 0, 0)
    return value


def table_words(bits: int) -> int:
    """Words of one point's table."""
    return SCALAR_BITS // bits * ((1 << bits) - 1) * AFFINE // 8


def _tables(points: list[G1Point], bits: int) -> Words:
    size = table_words(bits)
    tables = np.empty(len(points) * size, np.uint64)
    work = np.empty((JACOBIAN + scalar.E1) // 8 << bits, np.uint64)
    for i, point in enumerate(points):
        base = words(list(point))
        table = tables[i * size :]
        fixed_base_table(table.ctypes.data, base.ctypes.data, bits, work.ctypes.data)
    return tables
