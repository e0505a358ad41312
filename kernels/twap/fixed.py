"""Binary logarithms and powers in integers alone: the same bits on any machine.

A logarithm is an integer in units of 2^-FRACTION_BITS. libm's differ in their last place from one
machine to another, and a price that was published must come out again from the same record.
"""

from __future__ import annotations

from functools import cache
from math import isqrt

FRACTION_BITS = 30
ONE = 1 << FRACTION_BITS
MAX_VALUE = (1 << 31) - 1
POWER_BITS = 62


def log2(value: int) -> int:
    """The logarithm of an integer from 1 to MAX_VALUE, three units below the true one at most.

    A bit of the fraction a turn: the mantissa is squared, and what leaves its range is the bit
    (Knuth, The Art of Computer Programming 1, exercise 1.2.2-25). Products stay below 2^62, so
    that compiled code may run it on 64 bits.
    """
    exponent = 0
    while value >> (exponent + 1):
        exponent += 1
    mantissa = value << (FRACTION_BITS - exponent)
    found = exponent
    for _ in range(FRACTION_BITS):
        mantissa = (mantissa * mantissa) >> FRACTION_BITS
        found <<= 1
        if mantissa >> (FRACTION_BITS + 1):
            mantissa >>= 1
            found |= 1
    return found


def power2(logarithm: int, scale: int) -> int:
    """2^logarithm times `scale`, to the nearest integer (half up). The logarithm is not negative.

    Exact to some 2^-55 of itself; what `log2` lacked is three units, 2e-9 of the value.
    """
    whole, fraction = divmod(logarithm, ONE)
    product = 1 << POWER_BITS
    for place, root in enumerate(roots(), 1):
        if fraction >> (FRACTION_BITS - place) & 1:
            product = product * root >> POWER_BITS
    scaled = product * scale << whole
    return (scaled + (1 << (POWER_BITS - 1))) >> POWER_BITS


@cache
def roots() -> tuple[int, ...]:
    """2^(1/2), 2^(1/4), … as multiples of 2^-POWER_BITS."""
    roots = [isqrt(2 << (2 * POWER_BITS))]
    while len(roots) < FRACTION_BITS:
        roots.append(isqrt(roots[-1] << POWER_BITS))
    return tuple(roots)
