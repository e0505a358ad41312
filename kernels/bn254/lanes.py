"""Backend of eight elements at a time: AVX-512 with IFMA, Fp in five limbs of 52 bits, 2^260.

The instructions vpmadd52luq and vpmadd52huq add the low or high 52 bits of a 52 x 52 bit product to
each of eight lanes (Gueron, Krasnov, "Accelerating big integer arithmetic using Intel IFMA
extensions", ARITH 2016). Limb i of eight elements is one vector, an element five vectors.

Values are reduced late: they are below 2p, sums of them below 4p or 8p where the tower says so, and
84 p is all that 260 bits hold. `tests/unit/bn254_bounds.py` follows the bounds through the whole
tower. On a machine without IFMA the same code runs, slowly, on ordinary multiplications: so it is
tested everywhere, and used only where `lanes_values.HAS_IFMA`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from kernels.bn254 import forms
from kernels.bn254.integers import P
from kernels.bn254.lanes_values import (
    LANES,
    LIMBS,
    MASK,
    MONTGOMERY,
    Lanes,
    add,
    f2_linear,
    montgomery,
    product,
    read,
    reduce,
    select,
    subtract,
    vector,
    wide_limbs,
    write,
    zero,
)
from kernels.bn254.llvm import (
    INLINE,
    operation2,
    operation3,
    operation4,
    operation5,
    reduction,
    table,
)
from kernels.bn254.parameters import constants
from kernels.compile import njit

E1: Final = 8 * LANES * LIMBS
E2: Final = 2 * E1


kernel = njit(error_model="numpy")


def encode(value: int) -> list[int]:
    """An integer's limbs in Montgomery form."""
    value = value * MONTGOMERY % P
    return [value >> 52 * i & MASK for i in range(LIMBS)]


def decode(words: Sequence[int]) -> int:
    """The integer of limbs in Montgomery form."""
    value = sum(int(word) << 52 * i for i, word in enumerate(words))
    return value * pow(MONTGOMERY, -1, P) % P


table_address = table(
    "bn254_lanes_constants",
    [
        word
        for element in constants(MONTGOMERY)
        for value in element
        for limb in encode(value)
        for word in [limb] * LANES
    ],
)


# ---------------------------------------------------------------------------------- bodies
def _each(offsets: Sequence[int], rule: Callable[..., Lanes]) -> Callable[..., None]:
    """Apply a rule at each offset; all operands are read before a result is written."""

    def body(builder: Any, d: Any, *operands: Any) -> None:
        results = [
            rule(builder, *[read(builder, operand, offset) for operand in operands])
            for offset in offsets
        ]
        for offset, result in zip(offsets, results, strict=True):
            write(builder, d, result, offset)

    return body


def _copy(_builder: Any, a: Lanes) -> Lanes:
    return a


def _subtract(multiple: int) -> Callable[..., Lanes]:
    def rule(builder: Any, a: Lanes, b: Lanes) -> Lanes:
        return subtract(builder, a, b, multiple)

    return rule


def _negate(builder: Any, a: Lanes) -> Lanes:
    return subtract(builder, zero(), a, 2)


def _multiply(builder: Any, a: Lanes, b: Lanes) -> Lanes:
    return montgomery(builder, product(builder, a, b))


def _square(builder: Any, a: Lanes) -> Lanes:
    return _multiply(builder, a, a)


def _reduce_in_place(builder: Any, a: Any) -> None:
    write(builder, a, reduce(builder, read(builder, a)))


def _f2_conjugate(builder: Any, d: Any, a: Any) -> None:
    real, imaginary = read(builder, a), read(builder, a, E1)
    write(builder, d, real)
    write(builder, d, _negate(builder, imaginary), E1)


def _f2_multiply(builder: Any, d: Any, a: Any, b: Any) -> None:
    """Karatsuba on products of ten limbs, two reductions; operands below 8p.

    64 p^2 is added to the real part, so that it is not negative.
    """
    a0, a1 = read(builder, a), read(builder, a, E1)
    b0, b1 = read(builder, b), read(builder, b, E1)
    low, high = product(builder, a0, b0), product(builder, a1, b1)
    cross = product(builder, add(builder, a0, a1), add(builder, b0, b1))
    offset = wide_limbs(64 * P * P)
    real = [
        builder.add(builder.sub(x, y), vector(z)) for x, y, z in zip(low, high, offset, strict=True)
    ]
    imaginary = [
        builder.sub(builder.sub(x, y), z) for x, y, z in zip(cross, low, high, strict=True)
    ]
    write(builder, d, montgomery(builder, real))
    write(builder, d, montgomery(builder, imaginary), E1)


def _f2_square(builder: Any, d: Any, a: Any) -> None:
    """(a0 + a1)(a0 - a1 + 8p) and 2 a0 a1; operands below 8p."""
    a0, a1 = read(builder, a), read(builder, a, E1)
    total, difference = add(builder, a0, a1), subtract(builder, a0, a1, 8)
    twice = add(builder, a0, a0)
    real, imaginary = _multiply(builder, total, difference), _multiply(builder, twice, a1)
    write(builder, d, real)
    write(builder, d, imaginary, E1)


def _f2_scale(builder: Any, d: Any, a: Any, k: Any) -> None:
    """k a for k in Fp."""
    factor = read(builder, k)
    results = [_multiply(builder, read(builder, a, offset), factor) for offset in (0, E1)]
    for offset, result in zip((0, E1), results, strict=True):
        write(builder, d, result, offset)


def _form(form: forms.Form) -> Callable[..., None]:
    """The body of a linear form; the first operand below 3p, others below 2p."""

    def body(builder: Any, d: Any, *addresses: Any) -> None:
        operands = [(read(builder, place), read(builder, place, E1)) for place in addresses]
        real, imaginary = f2_linear(builder, form, operands)
        write(builder, d, real)
        write(builder, d, imaginary, E1)

    return body


def _select(builder: Any, d: Any, a: Any, b: Any, mask: Any) -> None:
    """d = a in lanes whose mask is all ones, b in those whose mask is zero."""
    write(builder, d, select(builder, read(builder, a), read(builder, b), mask))


_ONE = (0,)
_TWO = (0, E1)
_NAME = "bn254_lanes_"

fp_add = operation3(_NAME + "fp_add", _each(_ONE, add))
fp_sub = operation3(_NAME + "fp_sub", _each(_ONE, _subtract(2)))
fp_sub_4p = operation3(_NAME + "fp_sub_4p", _each(_ONE, _subtract(4)))
fp_neg = operation2(_NAME + "fp_neg", _each(_ONE, _negate))
fp_mul = operation3(_NAME + "fp_mul", _each(_ONE, _multiply))
fp_sqr = operation2(_NAME + "fp_sqr", _each(_ONE, _square))
fp_copy = operation2(INLINE, _each(_ONE, _copy))
fp_reduce = reduction(_NAME + "fp_reduce", _reduce_in_place)
fp_select = operation4(_NAME + "fp_select", _select)
f2_sum = operation3(_NAME + "f2_sum", _each(_TWO, add))
f2_neg = operation2(_NAME + "f2_neg", _each(_TWO, _negate))
f2_conj = operation2(_NAME + "f2_conj", _f2_conjugate)
f2_mul = operation3(_NAME + "f2_mul", _f2_multiply)
f2_sqr = operation2(_NAME + "f2_sqr", _f2_square)
f2_scale = operation3(_NAME + "f2_scale", _f2_scale)
f2_copy = operation2(INLINE, _each(_TWO, _copy))

f2_double = operation2(_NAME + "f2_double", _form(forms.DOUBLE))
f2_triple = operation2(_NAME + "f2_triple", _form(forms.TRIPLE))
f2_xi = operation2(_NAME + "f2_xi", _form(forms.TIMES_XI))
f2_add = operation3(_NAME + "f2_add", _form(forms.SUM))
f2_sub = operation3(_NAME + "f2_sub", _form(forms.DIFFERENCE))
f2_plus_xi = operation3(_NAME + "f2_plus_xi", _form(forms.PLUS_XI))
f2_plus_3 = operation3(_NAME + "f2_plus_3", _form(forms.PLUS_3))
f2_minus_3 = operation3(_NAME + "f2_minus_3", _form(forms.MINUS_3))
f2_minus_12 = operation3(_NAME + "f2_minus_12", _form(forms.MINUS_12))
f2_cyclotomic_odd = operation3(_NAME + "f2_cyclotomic_odd", _form(forms.CYCLOTOMIC_ODD))
f2_cyclotomic_even = operation4(_NAME + "f2_cyclotomic_even", _form(forms.CYCLOTOMIC_EVEN))
f2_minus_minus = operation4(_NAME + "f2_minus_minus", _form(forms.MINUS_MINUS))
f2_minus_plus = operation4(_NAME + "f2_minus_plus", _form(forms.MINUS_PLUS))
f2_minus_minus_xi = operation4(_NAME + "f2_minus_minus_xi", _form(forms.MINUS_MINUS_XI))
f2_xi_difference_plus = operation4(_NAME + "f2_xi_difference", _form(forms.XI_DIFFERENCE_PLUS))
f2_four_minus_minus = operation4(_NAME + "f2_four_minus_minus", _form(forms.FOUR_MINUS_MINUS))
f2_plus_minus_2 = operation4(_NAME + "f2_plus_minus_2", _form(forms.PLUS_MINUS_2))
f2_karatsuba_0 = operation5(_NAME + "f2_karatsuba_0", _form(forms.KARATSUBA_0))
f2_karatsuba_1 = operation5(_NAME + "f2_karatsuba_1", _form(forms.KARATSUBA_1))
f2_karatsuba_2 = operation5(_NAME + "f2_karatsuba_2", _form(forms.KARATSUBA_2))
