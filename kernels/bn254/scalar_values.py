"""Arithmetic modulo p on values in LLVM's registers: what the operations of `scalar` are made of.

An element is a 256-bit integer. Products are written as 64 x 64 -> 128 bit multiplications, which
LLVM turns into the machine's wide multiplication: coarsely integrated operand scanning (Koc, Acar,
Kaliski, "Analyzing and comparing Montgomery multiplication algorithms", IEEE Micro 16, 1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llvmlite import ir

from kernels.bn254.integers import Fp2, P
from kernels.bn254.llvm import I64, pointer

LIMBS: Final = 4
MONTGOMERY: Final = 1 << 64 * LIMBS
MASK: Final = (1 << 64) - 1

I128 = ir.IntType(128)
I256 = ir.IntType(256)
I320 = ir.IntType(320)
I512 = ir.IntType(512)
P_LIMBS = [P >> 64 * i & MASK for i in range(LIMBS)]
P_NEGATIVE_INVERSE = -pow(P, -1, 1 << 64) & MASK

# Real and imaginary part, in registers.
Fp2Value = tuple[Any, ...]


def read(builder: Any, address: Any, offset: int = 0) -> Any:
    return builder.load(pointer(builder, address, I256, offset), align=8)


def write(builder: Any, address: Any, value: Any, offset: int = 0) -> None:
    builder.store(value, pointer(builder, address, I256, offset), align=8)


def split_words(builder: Any, value: Any, count: int) -> list[Any]:
    kind = value.type
    shifted = [value] + [builder.lshr(value, kind(64 * i)) for i in range(1, count)]
    return [builder.trunc(word, I64) for word in shifted]


def join_words(builder: Any, words: Sequence[Any], kind: Any) -> Any:
    value = builder.zext(words[0], kind)
    for i, word in enumerate(words[1:], 1):
        value = builder.or_(value, builder.shl(builder.zext(word, kind), kind(64 * i)))
    return value


def low_word(builder: Any, value: Any) -> Any:
    return builder.trunc(value, I64)


def high_word(builder: Any, value: Any) -> Any:
    return builder.trunc(builder.lshr(value, I128(64)), I64)


def multiply_add(builder: Any, a: Any, b: Any, *addends: Any) -> tuple[Any, Any]:
    """a b + the addends (at most two, all 64 bits): cannot overflow 128 bits. (low, high)."""
    total = builder.mul(builder.zext(a, I128), builder.zext(b, I128))
    for addend in addends:
        total = builder.add(total, builder.zext(addend, I128))
    return low_word(builder, total), high_word(builder, total)


def reduce_once(builder: Any, value: Any) -> Any:
    """value < 2p to below p."""
    less = builder.sub(value, I256(P))
    return builder.select(builder.icmp_signed("<", less, I256(0)), value, less)


def add(builder: Any, a: Any, b: Any) -> Any:
    return reduce_once(builder, builder.add(a, b))


def subtract(builder: Any, a: Any, b: Any) -> Any:
    difference = builder.sub(a, b)
    negative = builder.icmp_signed("<", difference, I256(0))
    return builder.add(difference, builder.select(negative, I256(P), I256(0)))


def negate(builder: Any, a: Any) -> Any:
    zero = builder.icmp_unsigned("==", a, I256(0))
    return builder.select(zero, a, builder.sub(I256(P), a))


def multiply(builder: Any, a: Any, b: Any) -> Any:
    """a b / 2^256 mod p. As p < 2^254 the carries of a round fit into one word."""
    a_words, b_words = split_words(builder, a, LIMBS), split_words(builder, b, LIMBS)
    total: list[Any] = [None] * LIMBS
    for round_, b_word in enumerate(b_words):
        kept = [[word] if round_ else [] for word in total]
        low, carry = multiply_add(builder, a_words[0], b_word, *kept[0])
        factor = builder.mul(low, I64(P_NEGATIVE_INVERSE))
        _, carry_p = multiply_add(builder, factor, I64(P_LIMBS[0]), low)
        for j in range(1, LIMBS):
            low, carry = multiply_add(builder, a_words[j], b_word, *kept[j], carry)
            total[j - 1], carry_p = multiply_add(builder, factor, I64(P_LIMBS[j]), low, carry_p)
        total[LIMBS - 1] = builder.add(carry, carry_p)
    return reduce_once(builder, join_words(builder, total, I256))


def product(builder: Any, a: Any, b: Any) -> Any:
    """The whole product of two numbers below 2^256, 512 bits wide."""
    a_words, b_words = split_words(builder, a, LIMBS), split_words(builder, b, LIMBS)
    total: list[Any] = [None] * (2 * LIMBS)
    for i in range(LIMBS):
        carry: list[Any] = []
        for j in range(LIMBS):
            kept = [] if total[i + j] is None else [total[i + j]]
            total[i + j], high = multiply_add(builder, a_words[j], b_words[i], *kept, *carry)
            carry = [high]
        total[i + LIMBS] = carry[0]
    return join_words(builder, total, I512)


def montgomery(builder: Any, value: Any) -> Any:
    """value / 2^256 mod p for 0 <= value < 2^256 p."""
    words = split_words(builder, value, 2 * LIMBS)
    over = I64(0)
    for i in range(LIMBS):
        factor = builder.mul(words[i], I64(P_NEGATIVE_INVERSE))
        carry: list[Any] = []
        for j in range(LIMBS):
            words[i + j], high = multiply_add(
                builder, factor, I64(P_LIMBS[j]), words[i + j], *carry
            )
            carry = [high]
        total = builder.add(builder.zext(words[i + LIMBS], I128), builder.zext(carry[0], I128))
        total = builder.add(total, builder.zext(over, I128))
        words[i + LIMBS], over = low_word(builder, total), high_word(builder, total)
    return reduce_once(builder, join_words(builder, words[LIMBS:], I256))


# ------------------------------------------------------------------------------ linear forms
# Below FOUR_P two conditional subtractions reduce; above, a quotient is estimated from the bits
# from SHIFT on: q = h MULTIPLIER / 2^16 is the quotient or one less for any form below MOST_P p.
FOUR_P = 4
MOST_P = 100
SHIFT = 248
MULTIPLIER = (1 << SHIFT + 16) // P
_MULTIPLES = "bn254_scalar_multiples"


def _multiple_of_p(builder: Any, quotient: Any) -> Any:
    """quotient p modulo 2^256, from a table."""
    variable = builder.module.globals.get(_MULTIPLES)
    if variable is None:
        content = [I256(q * P % MONTGOMERY) for q in range(MOST_P + 1)]
        kind = ir.ArrayType(I256, len(content))
        variable = ir.GlobalVariable(builder.module, kind, _MULTIPLES)
        variable.initializer = ir.Constant(kind, content)
        variable.global_constant = True
        variable.linkage = "linkonce_odr"
        variable.align = 64
    return builder.load(builder.gep(variable, [I64(0), quotient]), align=8)


def _times(builder: Any, value: Any, factor: int) -> Any:
    """value times a small positive constant, by shifts."""
    total = None
    for bit in range(factor.bit_length()):
        if factor >> bit & 1:
            part = builder.shl(value, value.type(bit)) if bit else value
            total = part if total is None else builder.add(total, part)
    return total


def linear(builder: Any, terms: Sequence[tuple[int, Any]]) -> Any:
    """The sum of factor times value, reduced; factors are small integers, values below p."""
    groups: dict[int, list[tuple[int, Any]]] = {}
    for factor, value in terms:
        groups.setdefault(abs(factor), []).append((factor, value))
    offset = sum(-factor for factor, _ in terms if factor < 0)
    bound = sum(factor for factor, _ in terms if factor > 0) + offset
    assert bound <= MOST_P, "a form too large for the estimate of its quotient"
    kind = I256 if bound <= FOUR_P else I320
    total = kind(offset * P)
    for size, members in groups.items():
        inner = kind(0)
        for factor, value in members:
            wide = value if kind is I256 else builder.zext(value, kind)
            inner = builder.add(inner, wide) if factor > 0 else builder.sub(inner, wide)
        total = builder.add(total, _times(builder, inner, size))
    if kind is I256:
        if bound > 2:
            less = builder.sub(total, I256(2 * P))
            total = builder.select(builder.icmp_unsigned("<", total, I256(2 * P)), total, less)
        return reduce_once(builder, total)
    high = builder.trunc(builder.lshr(total, I320(SHIFT)), I64)
    quotient = builder.lshr(builder.mul(high, I64(MULTIPLIER)), I64(16))
    return reduce_once(
        builder, builder.sub(builder.trunc(total, I256), _multiple_of_p(builder, quotient))
    )


def f2_linear(builder: Any, coefficients: Sequence[Fp2], operands: Sequence[Fp2Value]) -> Fp2Value:
    """The sum of coefficient times operand in Fp2, for small integer coefficients."""
    real, imaginary = [], []
    for (c0, c1), (a0, a1) in zip(coefficients, operands, strict=True):
        real += [(c0, a0), (-c1, a1)]
        imaginary += [(c0, a1), (c1, a0)]
    return tuple(
        linear(builder, [(factor, value) for factor, value in terms if factor])
        for terms in (real, imaginary)
    )
