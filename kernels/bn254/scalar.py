"""Backend of one element at a time: Fp in four 64-bit limbs, Montgomery form with 2^256.

Values are always reduced (0 <= a < p), so that equality is equality of words. Products are written
as 64 x 64 -> 128 bit multiplications, which LLVM turns into the machine's wide multiplication:
coarsely integrated operand scanning (Koc, Acar, Kaliski, "Analyzing and comparing Montgomery
multiplication algorithms", IEEE Micro 16, 1996). In Fp2 three products are formed at full width and
reduced twice (lazy reduction: Aranha et al., "Faster explicit formulas for computing pairings over
ordinary curves", EUROCRYPT 2011). Nothing here is constant-time; every value it sees is public.

Operations are named after the field and take addresses: f(destination, a, b). A destination may be
one of the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from llvmlite import ir

from kernels.bn254.integers import P
from kernels.bn254.llvm import (
    I64,
    nothing,
    operation2,
    operation3,
    pointer,
    table,
)
from kernels.bn254.parameters import constants
from kernels.compile import njit

LANES: Final = 1
LIMBS: Final = 4
MONTGOMERY: Final = 1 << 256

E1: Final = 8 * LIMBS
E2: Final = 2 * E1

_I128 = ir.IntType(128)
_I256 = ir.IntType(256)
_I512 = ir.IntType(512)
_MASK = (1 << 64) - 1
_P_LIMBS = [P >> 64 * i & _MASK for i in range(LIMBS)]
_P_NEGATIVE_INVERSE = -pow(P, -1, 1 << 64) & _MASK

kernel = njit(error_model="numpy")


def encode(value: int) -> list[int]:
    """An integer's words in Montgomery form."""
    value = value * MONTGOMERY % P
    return [value >> 64 * i & _MASK for i in range(LIMBS)]


def decode(words: Sequence[int]) -> int:
    """The integer of words in Montgomery form."""
    value = sum(int(word) << 64 * i for i, word in enumerate(words))
    return value * pow(MONTGOMERY, -1, P) % P


table_address = table(
    "bn254_scalar_constants",
    [word for element in constants(MONTGOMERY) for value in element for word in encode(value)],
)


# ------------------------------------------------------------------ values in LLVM's registers
def _constant(kind: Any, value: int) -> Any:
    return ir.Constant(kind, value)


def _read(builder: Any, address: Any, offset: int = 0) -> Any:
    return builder.load(pointer(builder, address, _I256, offset), align=8)


def _write(builder: Any, address: Any, value: Any, offset: int = 0) -> None:
    builder.store(value, pointer(builder, address, _I256, offset), align=8)


def _words(builder: Any, value: Any, count: int) -> list[Any]:
    kind = value.type
    shifted = [value] + [builder.lshr(value, kind(64 * i)) for i in range(1, count)]
    return [builder.trunc(word, I64) for word in shifted]


def _join(builder: Any, words: Sequence[Any], kind: Any) -> Any:
    value = builder.zext(words[0], kind)
    for i, word in enumerate(words[1:], 1):
        value = builder.or_(value, builder.shl(builder.zext(word, kind), kind(64 * i)))
    return value


def _low(builder: Any, value: Any) -> Any:
    return builder.trunc(value, I64)


def _high(builder: Any, value: Any) -> Any:
    return builder.trunc(builder.lshr(value, _I128(64)), I64)


def _multiply_add(builder: Any, a: Any, b: Any, *addends: Any) -> tuple[Any, Any]:
    """a b + the addends (at most two, all 64 bits): cannot overflow 128 bits. (low, high)."""
    total = builder.mul(builder.zext(a, _I128), builder.zext(b, _I128))
    for addend in addends:
        total = builder.add(total, builder.zext(addend, _I128))
    return _low(builder, total), _high(builder, total)


def _reduce_once(builder: Any, value: Any) -> Any:
    """value < 2p to below p."""
    less = builder.sub(value, _I256(P))
    return builder.select(builder.icmp_signed("<", less, _I256(0)), value, less)


def _add(builder: Any, a: Any, b: Any) -> Any:
    return _reduce_once(builder, builder.add(a, b))


def _subtract(builder: Any, a: Any, b: Any) -> Any:
    difference = builder.sub(a, b)
    negative = builder.icmp_signed("<", difference, _I256(0))
    return builder.add(difference, builder.select(negative, _I256(P), _I256(0)))


def _negate(builder: Any, a: Any) -> Any:
    zero = builder.icmp_unsigned("==", a, _I256(0))
    return builder.select(zero, a, builder.sub(_I256(P), a))


def _multiply(builder: Any, a: Any, b: Any) -> Any:
    """a b / 2^256 mod p. As p < 2^254 the carries of a round fit into one word."""
    a_words, b_words = _words(builder, a, LIMBS), _words(builder, b, LIMBS)
    total: list[Any] = [None] * LIMBS
    for round_, b_word in enumerate(b_words):
        kept = [[word] if round_ else [] for word in total]
        low, carry = _multiply_add(builder, a_words[0], b_word, *kept[0])
        factor = builder.mul(low, I64(_P_NEGATIVE_INVERSE))
        _, carry_p = _multiply_add(builder, factor, I64(_P_LIMBS[0]), low)
        for j in range(1, LIMBS):
            low, carry = _multiply_add(builder, a_words[j], b_word, *kept[j], carry)
            total[j - 1], carry_p = _multiply_add(builder, factor, I64(_P_LIMBS[j]), low, carry_p)
        total[LIMBS - 1] = builder.add(carry, carry_p)
    return _reduce_once(builder, _join(builder, total, _I256))


def _product(builder: Any, a: Any, b: Any) -> Any:
    """The whole product of two numbers below 2^256, 512 bits wide."""
    a_words, b_words = _words(builder, a, LIMBS), _words(builder, b, LIMBS)
    total: list[Any] = [None] * (2 * LIMBS)
    for i in range(LIMBS):
        carry: list[Any] = []
        for j in range(LIMBS):
            kept = [] if total[i + j] is None else [total[i + j]]
            total[i + j], high = _multiply_add(builder, a_words[j], b_words[i], *kept, *carry)
            carry = [high]
        total[i + LIMBS] = carry[0]
    return _join(builder, total, _I512)


def _montgomery(builder: Any, value: Any) -> Any:
    """value / 2^256 mod p for 0 <= value < 2^256 p."""
    words = _words(builder, value, 2 * LIMBS)
    over = I64(0)
    for i in range(LIMBS):
        factor = builder.mul(words[i], I64(_P_NEGATIVE_INVERSE))
        carry: list[Any] = []
        for j in range(LIMBS):
            words[i + j], high = _multiply_add(
                builder, factor, I64(_P_LIMBS[j]), words[i + j], *carry
            )
            carry = [high]
        total = builder.add(builder.zext(words[i + LIMBS], _I128), builder.zext(carry[0], _I128))
        total = builder.add(total, builder.zext(over, _I128))
        words[i + LIMBS], over = _low(builder, total), _high(builder, total)
    return _reduce_once(builder, _join(builder, words[LIMBS:], _I256))


# ---------------------------------------------------------------------------------- bodies
def _each(offsets: Sequence[int], rule: Callable[..., Any]) -> Callable[..., None]:
    """Apply a rule at each offset; all operands are read before a result is written."""

    def body(builder: Any, d: Any, *operands: Any) -> None:
        results = [
            rule(builder, *[_read(builder, operand, offset) for operand in operands])
            for offset in offsets
        ]
        for offset, result in zip(offsets, results, strict=True):
            _write(builder, d, result, offset)

    return body


def _copy(_builder: Any, a: Any) -> Any:
    return a


def _square(builder: Any, a: Any) -> Any:
    return _multiply(builder, a, a)


def _f2_conjugate(builder: Any, d: Any, a: Any) -> None:
    real, imaginary = _read(builder, a), _read(builder, a, E1)
    _write(builder, d, real)
    _write(builder, d, _negate(builder, imaginary), E1)


def _f2_multiply(builder: Any, d: Any, a: Any, b: Any) -> None:
    """Karatsuba: a0 b0, a1 b1 and (a0 + a1)(b0 + b1) at full width, then two reductions.

    The middle product is below (2p)^2 < 2^256 p. A negative real part gets 2^256 p added.
    """
    a0, a1 = _read(builder, a), _read(builder, a, E1)
    b0, b1 = _read(builder, b), _read(builder, b, E1)
    low = _product(builder, a0, b0)
    high = _product(builder, a1, b1)
    cross = _product(builder, builder.add(a0, a1), builder.add(b0, b1))
    imaginary = builder.sub(builder.sub(cross, low), high)
    real = builder.sub(low, high)
    negative = builder.icmp_signed("<", real, _I512(0))
    real = builder.add(real, builder.select(negative, _I512(P << 256), _I512(0)))
    _write(builder, d, _montgomery(builder, real))
    _write(builder, d, _montgomery(builder, imaginary), E1)


def _f2_square(builder: Any, d: Any, a: Any) -> None:
    """(a0 + a1)(a0 - a1) and 2 a0 a1."""
    a0, a1 = _read(builder, a), _read(builder, a, E1)
    product = _multiply(builder, a0, a1)
    real = _multiply(builder, _add(builder, a0, a1), _subtract(builder, a0, a1))
    _write(builder, d, real)
    _write(builder, d, _add(builder, product, product), E1)


def _f2_scale(builder: Any, d: Any, a: Any, k: Any) -> None:
    """k a for k in Fp."""
    a0, a1 = _read(builder, a), _read(builder, a, E1)
    factor = _read(builder, k)
    _write(builder, d, _multiply(builder, a0, factor))
    _write(builder, d, _multiply(builder, a1, factor), E1)


def _f2_times_xi(builder: Any, d: Any, a: Any) -> None:
    """(9 + u) a = (9 a0 - a1) + (9 a1 + a0) u."""
    a0, a1 = _read(builder, a), _read(builder, a, E1)
    nine = []
    for value in (a0, a1):
        eight = value
        for _ in range(3):
            eight = _add(builder, eight, eight)
        nine.append(_add(builder, eight, value))
    _write(builder, d, _subtract(builder, nine[0], a1))
    _write(builder, d, _add(builder, nine[1], a0), E1)


def _accumulate(builder: Any, total: Any, a: Any, k: Any) -> None:
    """Six words += four words times one word, as integers."""
    factor = builder.load(pointer(builder, k, I64), align=8)
    carry: list[Any] = []
    for i in range(LIMBS + 2):
        place = pointer(builder, total, I64, 8 * i)
        kept = builder.load(place, align=8)
        if i < LIMBS:
            word = builder.load(pointer(builder, a, I64, 8 * i), align=8)
            low, high = _multiply_add(builder, word, factor, kept, *carry)
        else:
            low, high = _multiply_add(builder, carry[0], I64(1), kept)
        builder.store(low, place, align=8)
        carry = [high]


_ONE = (0,)
_TWO = (0, E1)
_NAME = "bn254_scalar_"

fp_add = operation3(_NAME + "fp_add", _each(_ONE, _add))
fp_sub = operation3(_NAME + "fp_sub", _each(_ONE, _subtract))
fp_neg = operation2(_NAME + "fp_neg", _each(_ONE, _negate))
fp_mul = operation3(_NAME + "fp_mul", _each(_ONE, _multiply))
fp_sqr = operation2(_NAME + "fp_sqr", _each(_ONE, _square))
fp_copy = operation2(_NAME + "fp_copy", _each(_ONE, _copy))
f2_add = operation3(_NAME + "f2_add", _each(_TWO, _add))
f2_sub = operation3(_NAME + "f2_sub", _each(_TWO, _subtract))
f2_neg = operation2(_NAME + "f2_neg", _each(_TWO, _negate))
f2_conj = operation2(_NAME + "f2_conj", _f2_conjugate)
f2_mul = operation3(_NAME + "f2_mul", _f2_multiply)
f2_sqr = operation2(_NAME + "f2_sqr", _f2_square)
f2_scale = operation3(_NAME + "f2_scale", _f2_scale)
f2_xi = operation2(_NAME + "f2_xi", _f2_times_xi)
f2_copy = operation2(_NAME + "f2_copy", _each(_TWO, _copy))

# Sums of products of integers, not of the field: total (48 bytes) += a (32 bytes) k (8 bytes).
integer_accumulate = operation3(_NAME + "integer_accumulate", _accumulate)

# Values are always reduced here; the backend of lanes reduces late and asks for these.
fp_sub_4p = fp_sub
f2_sub_4p = f2_sub
fp_reduce = nothing()
f2_reduce = nothing()
