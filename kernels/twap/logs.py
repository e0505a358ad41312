"""The logarithms and powers of `fixed`, over arrays: the same integers, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.compile import njit
from kernels.twap import fixed
from kernels.twap.fixed import FRACTION_BITS, POWER_BITS, roots

Integers = npt.NDArray[np.int64]

HALF_BITS = 31
LOW = (1 << HALF_BITS) - 1
MAX_SCALE = 1 << 20

log2 = njit()(fixed.log2)


@njit()
def _multiply(one: int, other: int) -> int:
    """one * other / 2^62, rounded down, for factors from 2^62 up to 2^63.

    In halves of 31 bits: no product or sum of theirs reaches 2^64.
    """
    a1, a0 = np.uint64(one >> HALF_BITS), np.uint64(one & LOW)
    b1, b0 = np.uint64(other >> HALF_BITS), np.uint64(other & LOW)
    shift = np.uint64(HALF_BITS)
    middle = a1 * b0 + a0 * b1 + ((a0 * b0) >> shift)
    return int(np.int64(a1 * b1 + (middle >> shift)))


@njit()
def power2(logarithm: int, scale: int, table: Integers) -> int:
    """As `fixed.power2`, for a logarithm below 31 and a scale up to MAX_SCALE."""
    whole, fraction = logarithm >> FRACTION_BITS, logarithm & ((1 << FRACTION_BITS) - 1)
    product = int(np.int64(1) << POWER_BITS)
    for place in range(FRACTION_BITS):
        if (fraction >> (FRACTION_BITS - 1 - place)) & 1:
            product = _multiply(product, int(table[place]))
    # scale * product * 2^whole / 2^62 in two halves, since the product alone fills 63 bits.
    places = POWER_BITS - whole
    low = (product & LOW) * scale + (1 << (places - 1))
    high = (product >> HALF_BITS) * scale
    return int((high + (low >> HALF_BITS)) >> (places - HALF_BITS))


@njit()
def _logarithms(values: Integers, out: Integers) -> None:
    for place in range(len(values)):
        if place and values[place] == values[place - 1]:
            out[place] = out[place - 1]
        else:
            out[place] = log2(values[place]) if values[place] else 0


def logarithms(values: Integers) -> Integers:
    """`fixed.log2` of each value from 1 to MAX_VALUE; 0 where the value is 0."""
    out = np.empty(len(values), np.int64)
    _logarithms(values, out)
    return out


def root_table() -> Integers:
    """What `power2` multiplies."""
    return np.array(roots(), np.int64)
