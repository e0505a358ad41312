"""Backend of one element at a time: Fp in four 64-bit limbs, Montgomery form with 2^256.

Values are always reduced (0 <= a < p), so that equality is equality of words; the one exception is
`f2_sum`, an operand of a product. In Fp2 three products are formed at full width and reduced twice
(lazy reduction: Aranha et al., "Faster explicit formulas for computing pairings over ordinary
curves", EUROCRYPT 2011). Nothing here is constant-time; every value it sees is public.

Operations are named after the field and take addresses: f(destination, a, b). A destination may be
one of the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from kernels.bn254 import forms
from kernels.bn254.integers import P
from kernels.bn254.llvm import (
    I64,
    INLINE,
    nothing,
    operation2,
    operation3,
    operation4,
    operation5,
    pointer,
    table,
)
from kernels.bn254.parameters import constants
from kernels.bn254.scalar_values import (
    I512,
    LIMBS,
    MASK,
    MONTGOMERY,
    add,
    f2_linear,
    montgomery,
    multiply,
    multiply_add,
    negate,
    product,
    read,
    subtract,
    write,
)
from kernels.compile import njit

LANES: Final = 1

E1: Final = 8 * LIMBS
E2: Final = 2 * E1

kernel = njit(error_model="numpy")


def encode(value: int) -> list[int]:
    """An integer's words in Montgomery form."""
    value = value * MONTGOMERY % P
    return [value >> 64 * i & MASK for i in range(LIMBS)]


def decode(words: Sequence[int]) -> int:
    """The integer of words in Montgomery form."""
    value = sum(int(word) << 64 * i for i, word in enumerate(words))
    return value * pow(MONTGOMERY, -1, P) % P


table_address = table(
    "bn254_scalar_constants",
    [word for element in constants(MONTGOMERY) for value in element for word in encode(value)],
)


# ---------------------------------------------------------------------------------- bodies
def _each(offsets: Sequence[int], rule: Callable[..., Any]) -> Callable[..., None]:
    """Apply a rule at each offset; all operands are read before a result is written."""

    def body(builder: Any, d: Any, *operands: Any) -> None:
        results = [
            rule(builder, *[read(builder, operand, offset) for operand in operands])
            for offset in offsets
        ]
        for offset, result in zip(offsets, results, strict=True):
            write(builder, d, result, offset)

    return body


def _copy(_builder: Any, a: Any) -> Any:
    return a


def _sum(builder: Any, a: Any, b: Any) -> Any:
    return builder.add(a, b)


def _square(builder: Any, a: Any) -> Any:
    return multiply(builder, a, a)


def _f2_conjugate(builder: Any, d: Any, a: Any) -> None:
    real, imaginary = read(builder, a), read(builder, a, E1)
    write(builder, d, real)
    write(builder, d, negate(builder, imaginary), E1)


def _f2_multiply(builder: Any, d: Any, a: Any, b: Any) -> None:
    """Karatsuba: a0 b0, a1 b1 and (a0 + a1)(b0 + b1) at full width, then two reductions.

    Operands below 2p, so the cross product is below 16 p^2 < 2^512. What is reduced must be below
    2^256 p > 5 p^2: a negative real part (above -4 p^2) gets that added, an imaginary part (below
    8 p^2) gets it subtracted where it can.
    """
    a0, a1 = read(builder, a), read(builder, a, E1)
    b0, b1 = read(builder, b), read(builder, b, E1)
    low = product(builder, a0, b0)
    high = product(builder, a1, b1)
    cross = product(builder, builder.add(a0, a1), builder.add(b0, b1))
    imaginary = builder.sub(builder.sub(cross, low), high)
    less = builder.sub(imaginary, I512(P << 256))
    negative = builder.icmp_signed("<", less, I512(0))
    imaginary = builder.select(negative, imaginary, less)
    real = builder.sub(low, high)
    negative = builder.icmp_signed("<", real, I512(0))
    real = builder.add(real, builder.select(negative, I512(P << 256), I512(0)))
    write(builder, d, montgomery(builder, real))
    write(builder, d, montgomery(builder, imaginary), E1)


def _f2_square(builder: Any, d: Any, a: Any) -> None:
    """(a0 + a1)(a0 - a1) and 2 a0 a1."""
    a0, a1 = read(builder, a), read(builder, a, E1)
    half = multiply(builder, a0, a1)
    real = multiply(builder, add(builder, a0, a1), subtract(builder, a0, a1))
    write(builder, d, real)
    write(builder, d, add(builder, half, half), E1)


def _f2_scale(builder: Any, d: Any, a: Any, k: Any) -> None:
    """k a for k in Fp."""
    a0, a1 = read(builder, a), read(builder, a, E1)
    factor = read(builder, k)
    write(builder, d, multiply(builder, a0, factor))
    write(builder, d, multiply(builder, a1, factor), E1)


def _form(form: forms.Form) -> Callable[..., None]:
    """The body of a linear form."""

    def body(builder: Any, d: Any, *addresses: Any) -> None:
        operands = [(read(builder, place), read(builder, place, E1)) for place in addresses]
        real, imaginary = f2_linear(builder, form, operands)
        write(builder, d, real)
        write(builder, d, imaginary, E1)

    return body


def _accumulate(builder: Any, total: Any, a: Any, k: Any) -> None:
    """Six words += four words times one word, as integers."""
    factor = builder.load(pointer(builder, k, I64), align=8)
    carry: list[Any] = []
    for i in range(LIMBS + 2):
        place = pointer(builder, total, I64, 8 * i)
        kept = builder.load(place, align=8)
        if i < LIMBS:
            word = builder.load(pointer(builder, a, I64, 8 * i), align=8)
            low, high = multiply_add(builder, word, factor, kept, *carry)
        else:
            low, high = multiply_add(builder, carry[0], I64(1), kept)
        builder.store(low, place, align=8)
        carry = [high]


_ONE = (0,)
_TWO = (0, E1)
_NAME = "bn254_scalar_"

fp_add = operation3(_NAME + "fp_add", _each(_ONE, add))
fp_sub = operation3(_NAME + "fp_sub", _each(_ONE, subtract))
fp_neg = operation2(_NAME + "fp_neg", _each(_ONE, negate))
fp_mul = operation3(_NAME + "fp_mul", _each(_ONE, multiply))
fp_sqr = operation2(_NAME + "fp_sqr", _each(_ONE, _square))
fp_copy = operation2(INLINE, _each(_ONE, _copy))
f2_sum = operation3(INLINE, _each(_TWO, _sum))
f2_neg = operation2(_NAME + "f2_neg", _each(_TWO, negate))
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

# Sums of products of integers, not of the field: total (48 bytes) += a (32 bytes) k (8 bytes).
integer_accumulate = operation3(_NAME + "integer_accumulate", _accumulate)

# Values are always reduced here; the backend of lanes reduces late and asks for these.
fp_sub_4p = fp_sub
fp_reduce = nothing()
