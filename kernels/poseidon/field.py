"""The scalar field of BN254 in machine code: residues as four 64-bit limbs, Montgomery form.

An element is a tuple of four `uint64`, least significant first, below 2r, that stands for
a·2^-256 mod r. With r < 0.19·2^256 there is room to leave out most final subtractions (Walter,
"Montgomery exponentiation needs no final subtractions", 1999); each function says what bounds it.
Nothing here is constant-time: all that is hashed is known to this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from kernels.compile import njit
from kernels.poseidon.words import ZERO, multiply_add, subtract_once, wide_add

ORDER = 0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001  # r
LIMBS = 4
ELEMENT_BYTES = 32
MONTGOMERY = 1 << 256
MAX_SUMMANDS = 10  # of one reduction in `dot`
FEW_SUMMANDS = 7  # of one reduction in `dot` after which one subtraction is enough

Limbs = npt.NDArray[np.uint64]
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


MODULUS, TWICE_MODULUS = _element(ORDER), _element(2 * ORDER)
MODULUS_0, MODULUS_1, MODULUS_2, MODULUS_3 = MODULUS
NEGATIVE_INVERSE = np.uint64(-pow(ORDER, -1, 1 << 64) % (1 << 64))  # -1/r mod 2^64
MONTGOMERY_SQUARED = _element(MONTGOMERY * MONTGOMERY % ORDER)
ZERO_ELEMENT, PLAIN_ONE = _element(0), _element(1)


@njit()
def load(limbs: Limbs, row: int) -> Element:
    """The element in a row of (n, 4) limbs."""
    return limbs[row, 0], limbs[row, 1], limbs[row, 2], limbs[row, 3]


@njit()
def store(limbs: Limbs, row: int, a: Element) -> None:
    """Put an element into a row of (n, 4) limbs."""
    limbs[row, 0], limbs[row, 1], limbs[row, 2], limbs[row, 3] = a


@njit()
def add(a: Element, b: Element) -> Element:
    """a + b: below 4r < 2^256, then below 2r."""
    return subtract_once(wide_add(a, b), TWICE_MODULUS)  # type: ignore[no-any-return]


@njit()
def _multiply_limb(total: Element, a: Element, limb: np.uint64) -> Element:
    """(total + a·limb + the multiple of r that lets 2^64 divide it) / 2^64.

    Below 3r + 1 where the total is and a is below 2r, so four limbs hold it (CIOS without its extra
    word: Koç, Acar, Kaliski, "Analyzing and comparing Montgomery multiplication algorithms", 1996).
    """
    low, carry = multiply_add(a[0], limb, total[0], ZERO)
    factor = low * NEGATIVE_INVERSE
    _, reduced = multiply_add(factor, MODULUS_0, low, ZERO)
    low, carry = multiply_add(a[1], limb, total[1], carry)
    t0, reduced = multiply_add(factor, MODULUS_1, low, reduced)
    low, carry = multiply_add(a[2], limb, total[2], carry)
    t1, reduced = multiply_add(factor, MODULUS_2, low, reduced)
    low, carry = multiply_add(a[3], limb, total[3], carry)
    t2, reduced = multiply_add(factor, MODULUS_3, low, reduced)
    return t0, t1, t2, carry + reduced


@njit()
def multiply(a: Element, b: Element) -> Element:
    """a·b / 2^256: the product in Montgomery form, below 4r²/2^256 + r < 2r."""
    total = _multiply_limb(ZERO_ELEMENT, a, b[0])
    total = _multiply_limb(total, a, b[1])
    total = _multiply_limb(total, a, b[2])
    return _multiply_limb(total, a, b[3])


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
def _row(above: Element, a: Element, limb: np.uint64) -> tuple[np.uint64, Element]:
    """(the lowest word, the four above it) of above + a·limb."""
    low, carry = multiply_add(a[0], limb, above[0], ZERO)
    t0, carry = multiply_add(a[1], limb, above[1], carry)
    t1, carry = multiply_add(a[2], limb, above[2], carry)
    t2, t3 = multiply_add(a[3], limb, above[3], carry)
    return low, (t0, t1, t2, t3)


@njit()
def _wide_product(a: Element, b: Element) -> tuple[np.uint64, ...]:
    """a·b in eight words."""
    p0, above = _row(ZERO_ELEMENT, a, b[0])
    p1, above = _row(above, a, b[1])
    p2, above = _row(above, a, b[2])
    p3, above = _row(above, a, b[3])
    return p0, p1, p2, p3, above[0], above[1], above[2], above[3]


@njit()
def _fold_limb(low: Element) -> Element:
    """The number plus the multiple of r that lets 2^64 divide it, divided by it."""
    factor = low[0] * NEGATIVE_INVERSE
    _, carry = multiply_add(factor, MODULUS_0, low[0], ZERO)
    t0, carry = multiply_add(factor, MODULUS_1, low[1], carry)
    t1, carry = multiply_add(factor, MODULUS_2, low[2], carry)
    t2, carry = multiply_add(factor, MODULUS_3, low[3], carry)
    return t0, t1, t2, carry


@njit()
def _dot_some(x: Limbs, y: Limbs, first: int, end: int) -> Element:
    """Sum of x[j]·y[j] over 1 to MAX_SUMMANDS rows, with one reduction for all.

    k products are below 2k·r² < 2^512; reduced they are below (2k·r/2^256 + 1)·r, which is below
    4.8r < 2^256 for k = 10 and below 4r for k = 7.
    """
    total = _wide_product(load(x, first), load(y, first))
    for row in range(first + 1, end):
        total = wide_add(total, _wide_product(load(x, row), load(y, row)))
    low = _fold_limb(_fold_limb(_fold_limb(_fold_limb(total[:4]))))  # type: ignore[arg-type]
    reduced = subtract_once(wide_add(low, total[4:]), TWICE_MODULUS)
    if end - first > FEW_SUMMANDS:
        reduced = subtract_once(reduced, TWICE_MODULUS)
    return reduced  # type: ignore[no-any-return]


@njit()
def dot(x: Limbs, y: Limbs) -> Element:
    """Sum of x[j]·y[j] over the rows of two (n, 4) arrays, n up to 2·MAX_SUMMANDS.

    x is below 2r, y (constants) below r.
    """
    count = x.shape[0]
    if count <= MAX_SUMMANDS:
        return _dot_some(x, y, 0, count)
    return add(_dot_some(x, y, 0, MAX_SUMMANDS), _dot_some(x, y, MAX_SUMMANDS, count))
