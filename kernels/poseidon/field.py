"""The scalar field of BN254 in machine code: residues as four 64-bit limbs, Montgomery form.

An element is a tuple of four `uint64`, least significant first, below 2r, that stands for
a·2^-256 mod r. With r < 0.19·2^256 there is room to leave out most final subtractions (Walter,
"Montgomery exponentiation needs no final subtractions", 1999); each function says what bounds it.
Nothing here is constant-time: all that is hashed is known to this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import overload

from kernels.compile import njit
from kernels.poseidon.words import (
    ZERO,
    accumulate,
    always_inline,
    subtract_once,
    wide_add,
)

ORDER = 0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001  # r
LIMBS = 4
ELEMENT_BYTES = 32
MONTGOMERY = 1 << 256
MAX_SUMMANDS = 39  # of `dot`; with so many its result is below 16r
SUMMANDS_BELOW_8, SUMMANDS_BELOW_4 = 18, 7  # the most with which it is below 8r, 4r

Limbs = npt.NDArray[np.uint64]
Column = tuple[np.uint64, np.uint64, np.uint64]  # a sum of products of words
Element = tuple[np.uint64, np.uint64, np.uint64, np.uint64]


def to_limbs(values: Iterable[int]) -> Limbs:
    """(n, 4) limbs of integers from 0 to 2^256 - 1, least significant first."""
    data = b"".join(value.to_bytes(ELEMENT_BYTES, "little") for value in values)
    return np.frombuffer(data, np.dtype("<u8")).astype(np.uint64).reshape(-1, LIMBS)


def from_limbs(limbs: Limbs) -> list[int]:
    """The integers that the last axis of (…, 4) limbs holds, in order."""
    data = np.ascontiguousarray(limbs, np.dtype("<u8")).tobytes()
    return [
        int.from_bytes(data[at : at + ELEMENT_BYTES], "little")
        for at in range(0, len(data), ELEMENT_BYTES)
    ]


def to_montgomery(values: Sequence[int]) -> Limbs:
    """(n, 4) limbs of the residues in Montgomery form, below r."""
    return to_limbs(value * MONTGOMERY % ORDER for value in values)


def _element(value: int) -> Element:
    first, second, third, fourth = to_limbs([value])[0]
    return first, second, third, fourth


# In five words, for sums that four may not hold.
WIDE_TWICE, WIDE_FOUR_TIMES, WIDE_EIGHT_TIMES = (
    (*_element(times * ORDER % 2**256), np.uint64(times * ORDER >> 256)) for times in (2, 4, 8)
)
MODULUS, TWICE_MODULUS = _element(ORDER), _element(2 * ORDER)
MODULUS_0, MODULUS_1, MODULUS_2, MODULUS_3 = MODULUS
NEGATIVE_INVERSE = np.uint64(-pow(ORDER, -1, 1 << 64) % (1 << 64))  # -1/r mod 2^64
MONTGOMERY_SQUARED = _element(MONTGOMERY * MONTGOMERY % ORDER)
ZERO_ELEMENT, PLAIN_ONE = _element(0), _element(1)


@njit()
def load(limbs: Limbs, row: int) -> Element:
    """The element in a row of (n, 4) limbs."""
    always_inline()
    return limbs[row, 0], limbs[row, 1], limbs[row, 2], limbs[row, 3]


@njit()
def store(limbs: Limbs, row: int, a: Element) -> None:
    """Put an element into a row of (n, 4) limbs."""
    always_inline()
    limbs[row, 0], limbs[row, 1], limbs[row, 2], limbs[row, 3] = a


@njit()
def add(a: Element, b: Element) -> Element:
    """a + b: below 4r < 2^256, then below 2r."""
    always_inline()
    return subtract_once(wide_add(a, b), TWICE_MODULUS)  # type: ignore[no-any-return]


def _products(total: Column, x: Any, y: Any, weight: int) -> Column:
    """total + the products of words of a weight (a constant) of two elements, or of two (n, 4)
    arrays row by row: x[…, i]·y[…, weight - i]."""
    raise NotImplementedError("compiled code has the overload for its types")


@overload(_products)
def _products_of(total: Any, x: Any, y: Any, weight: Any) -> Callable[..., Any]:
    def of_elements(total: Any, x: Any, y: Any, weight: Any) -> Any:
        always_inline()
        for i in range(max(0, weight - LIMBS + 1), min(LIMBS, weight + 1)):
            total = accumulate(total, x[i], y[weight - i])
        return total

    def of_rows(total: Any, x: Any, y: Any, weight: Any) -> Any:
        always_inline()
        for row in range(x.shape[0]):
            for i in range(max(0, weight - LIMBS + 1), min(LIMBS, weight + 1)):
                total = accumulate(total, x[row, i], y[row, weight - i])
        return total

    return of_rows if isinstance(x, types.Array) else of_elements


@njit()
def _cleared(total: Column) -> tuple[np.uint64, Column]:
    """(m, the words above) once m·r, of which this column takes m·r[0], made the lowest zero."""
    always_inline()
    factor = total[0] * NEGATIVE_INVERSE
    total = accumulate(total, factor, MODULUS_0)
    return factor, (total[1], total[2], ZERO)


@njit()
def _montgomery(x: Any, y: Any) -> tuple[np.uint64, ...]:
    """(x·y + a multiple of r) / 2^256 in five words, of elements or summed over the rows of arrays.

    The multiple is below 2^256·r, so the result is below x·y / 2^256 + r. Column by column,
    products and reduction together (FIPS in Koç, Acar, Kaliski, "Analyzing and comparing Montgomery
    multiplication algorithms", 1996): three words hold a column's sum.
    """
    always_inline()
    total = _products((ZERO, ZERO, ZERO), x, y, 0)
    m0, total = _cleared(total)
    total = _products(total, x, y, 1)
    m1, total = _cleared(accumulate(total, m0, MODULUS_1))
    total = _products(total, x, y, 2)
    total = accumulate(total, m0, MODULUS_2)
    m2, total = _cleared(accumulate(total, m1, MODULUS_1))
    total = _products(total, x, y, 3)
    total = accumulate(accumulate(total, m0, MODULUS_3), m1, MODULUS_2)
    m3, total = _cleared(accumulate(total, m2, MODULUS_1))
    total = _products(total, x, y, 4)
    total = accumulate(accumulate(total, m1, MODULUS_3), m2, MODULUS_2)
    t0, t1, t2 = accumulate(total, m3, MODULUS_1)
    total = _products((t1, t2, ZERO), x, y, 5)
    t1, t2, t3 = accumulate(accumulate(total, m2, MODULUS_3), m3, MODULUS_2)
    total = _products((t2, t3, ZERO), x, y, 6)
    t2, t3, t4 = accumulate(total, m3, MODULUS_3)
    return t0, t1, t2, t3, t4


@njit()
def multiply(a: Element, b: Element) -> Element:
    """a·b / 2^256: the product in Montgomery form, below 4r²/2^256 + r < 2r."""
    always_inline()
    t0, t1, t2, t3, _ = _montgomery(a, b)
    return t0, t1, t2, t3


@njit()
def fifth_power(a: Element) -> Element:
    """a^5, Poseidon's S-box."""
    square = multiply(a, a)
    return multiply(multiply(square, square), a)


@njit()
def to_plain(a: Element) -> Element:
    """Out of Montgomery form, below r."""
    return subtract_once(multiply(a, PLAIN_ONE), MODULUS)  # type: ignore[no-any-return]


@njit()
def _below_twice(total: tuple[np.uint64, ...], summands: int) -> Element:
    """The five words of a sum of so many products, taken below 2r."""
    always_inline()
    if summands > SUMMANDS_BELOW_8:
        total = subtract_once(total, WIDE_EIGHT_TIMES)
    if summands > SUMMANDS_BELOW_4:
        total = subtract_once(total, WIDE_FOUR_TIMES)
    total = subtract_once(total, WIDE_TWICE)
    return total[0], total[1], total[2], total[3]


@njit()
def dot(x: Limbs, y: Limbs) -> Element:
    """Sum of x[j]·y[j] over the rows of two (n, 4) arrays, n up to MAX_SUMMANDS, reduced once.

    x is below 2r, y (constants) below r: the sum is below (1 + 2n·r/2^256)·r before the last
    subtractions, which is 16r for n = 39, 8r for n = 18 and 4r for n = 7.
    """
    always_inline()
    return _below_twice(_montgomery(x, y), x.shape[0])
