"""Arithmetic modulo p on eight lanes in LLVM's registers: what the operations of `lanes` are made
of.

A value is a list of five vectors of eight 64-bit lanes: its limbs of 52 bits, lowest first, the top
one with what is above. Limbs are signed between carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import llvmlite.binding as llvm
from llvmlite import ir

from kernels.bn254.integers import Fp2, P
from kernels.bn254.llvm import I64, pointer

LANES: Final = 8
LIMBS: Final = 5
BITS: Final = 52
MONTGOMERY: Final = 1 << BITS * LIMBS
MASK: Final = (1 << BITS) - 1
VECTOR = ir.VectorType(I64, LANES)
WIDE = ir.VectorType(ir.IntType(128), LANES)
# Asked before any code is made: the instruction on another processor ends the process.
HAS_IFMA: Final[bool] = bool(llvm.get_host_cpu_features().get("avx512ifma", False))

Lanes = list[Any]

_P_NEGATIVE_INVERSE = -pow(P, -1, 1 << BITS) & MASK
# floor(x / p) from the bits of x from 208 on: this many / 2^52, or one less.
_TOP = BITS * (LIMBS - 1)
_QUOTIENT = (1 << _TOP + BITS) // P


def limbs(value: int, count: int = LIMBS) -> list[int]:
    """An integer's limbs, the top one with what is above."""
    low = [value >> BITS * i & MASK for i in range(count - 1)]
    return [*low, value >> BITS * (count - 1)]


def wide_limbs(value: int) -> list[int]:
    """The limbs of a product."""
    return limbs(value, 2 * LIMBS)


def vector(value: int) -> Any:
    """The same 64-bit number in each lane."""
    return ir.Constant(VECTOR, [value & (1 << 64) - 1] * LANES)


def zero() -> Lanes:
    """Zero in each lane."""
    return [vector(0)] * LIMBS


def read(builder: Any, address: Any, offset: int = 0) -> Lanes:
    """Five vectors from an aligned address."""
    return [
        builder.load(pointer(builder, address, VECTOR, offset + 64 * i), align=64)
        for i in range(LIMBS)
    ]


def write(builder: Any, address: Any, value: Lanes, offset: int = 0) -> None:
    """Five vectors to an aligned address."""
    for i in range(LIMBS):
        builder.store(value[i], pointer(builder, address, VECTOR, offset + 64 * i), align=64)


def _instruction(builder: Any, half: str, total: Any, a: Any, b: Any) -> Any:
    name = f"llvm.x86.avx512.vpmadd52{half}.uq.512"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), name
    )
    return builder.call(function, [total, a, b])


def _ordinary(builder: Any, half: str, total: Any, a: Any, b: Any) -> Any:
    """The same by ordinary multiplications, in a function of its own: each has eight of them."""
    name = f"bn254_lanes_ordinary_{half}"
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block("entry"))
        start, *factors = function.args
        whole = inner.mul(*[inner.zext(inner.and_(x, vector(MASK)), WIDE) for x in factors])
        if half == "h":
            part = inner.trunc(inner.lshr(whole, ir.Constant(WIDE, [BITS] * LANES)), VECTOR)
        else:
            part = inner.and_(inner.trunc(whole, VECTOR), vector(MASK))
        inner.ret(inner.add(start, part))
    return builder.call(function, [total, a, b])


_multiply_add = _instruction if HAS_IFMA else _ordinary


def multiply_low(builder: Any, total: Any, a: Any, b: Any) -> Any:
    """total + the low 52 bits of a b, of the low 52 bits of each."""
    return _multiply_add(builder, "l", total, a, b)


def multiply_high(builder: Any, total: Any, a: Any, b: Any) -> Any:
    """total + the bits of a b from 52 on, of the low 52 bits of each."""
    return _multiply_add(builder, "h", total, a, b)


def carry(builder: Any, value: Lanes) -> Lanes:
    """Limbs below 2^52 again, the top one takes what is left."""
    result = list(value)
    for i in range(LIMBS - 1):
        up = builder.ashr(result[i], vector(BITS))
        result[i] = builder.and_(result[i], vector(MASK))
        result[i + 1] = builder.add(result[i + 1], up)
    return result


def add(builder: Any, a: Lanes, b: Lanes) -> Lanes:
    """a + b."""
    return carry(builder, [builder.add(x, y) for x, y in zip(a, b, strict=True)])


def subtract(builder: Any, a: Lanes, b: Lanes, multiple: int) -> Lanes:
    """a - b + multiple p, for b below that."""
    offset = [vector(limb) for limb in limbs(multiple * P)]
    parts = zip(a, b, offset, strict=True)
    return carry(builder, [builder.add(builder.sub(x, y), z) for x, y, z in parts])


def product(builder: Any, a: Lanes, b: Lanes) -> list[Any]:
    """The ten limbs of a b, not carried."""
    total = [vector(0)] * (2 * LIMBS)
    for i in range(LIMBS):
        for j in range(LIMBS):
            total[i + j] = multiply_low(builder, total[i + j], a[j], b[i])
        for j in range(LIMBS):
            total[i + j + 1] = multiply_high(builder, total[i + j + 1], a[j], b[i])
    return total


def montgomery(builder: Any, value: Sequence[Any]) -> Lanes:
    """value / 2^260 modulo p, below value / 2^260 + p; limbs may be negative, the value not."""
    total = list(value)
    p_limbs = [vector(limb) for limb in limbs(P)]
    for i in range(LIMBS):
        factor = multiply_low(builder, vector(0), total[i], vector(_P_NEGATIVE_INVERSE))
        for j in range(LIMBS):
            total[i + j] = multiply_low(builder, total[i + j], factor, p_limbs[j])
        total[i + 1] = builder.add(total[i + 1], builder.ashr(total[i], vector(BITS)))
        for j in range(LIMBS):
            total[i + j + 1] = multiply_high(builder, total[i + j + 1], factor, p_limbs[j])
    return carry(builder, total[LIMBS:])


def reduce(builder: Any, value: Lanes) -> Lanes:
    """A value of carried limbs to below 2p: subtract the estimated quotient times p."""
    quotient = multiply_high(builder, vector(0), value[-1], vector(_QUOTIENT))
    # Minus p modulo 2^260.
    minus_p = [vector(limb) for limb in limbs(MONTGOMERY - P)]
    total = list(value)
    for j in range(LIMBS):
        total[j] = multiply_low(builder, total[j], quotient, minus_p[j])
    for j in range(LIMBS - 1):
        total[j + 1] = multiply_high(builder, total[j + 1], quotient, minus_p[j])
    result = carry(builder, total)
    result[-1] = builder.and_(result[-1], vector(MASK))
    return result


def select(builder: Any, a: Lanes, b: Lanes, mask: Any) -> Lanes:
    """a where the lane's mask at an address is all ones, b where it is zero."""
    chosen = builder.load(pointer(builder, mask, VECTOR), align=64)
    other = builder.xor(chosen, vector(-1))
    return [
        builder.or_(builder.and_(x, chosen), builder.and_(y, other))
        for x, y in zip(a, b, strict=True)
    ]


# ------------------------------------------------------------------------------ linear forms
def _times(builder: Any, value: Any, factor: int) -> Any:
    """A vector times a small positive constant, by shifts."""
    total = None
    for bit in range(factor.bit_length()):
        if factor >> bit & 1:
            part = builder.shl(value, vector(bit)) if bit else value
            total = part if total is None else builder.add(total, part)
    return total


def linear(builder: Any, terms: Sequence[tuple[int, int, Lanes]]) -> Lanes:
    """The sum of factor times value, below 2p; terms are (factor, most, value), value below most
    p."""
    offset = sum(-factor * most for factor, most, _ in terms if factor < 0)
    groups: dict[int, list[tuple[int, Lanes]]] = {}
    for factor, _most, value in terms:
        groups.setdefault(abs(factor), []).append((factor, value))
    total = [vector(limb) for limb in limbs(offset * P)]
    for size, members in groups.items():
        inner = zero()
        for factor, value in members:
            combine = builder.add if factor > 0 else builder.sub
            inner = [combine(x, y) for x, y in zip(inner, value, strict=True)]
        parts = zip(total, inner, strict=True)
        total = [builder.add(x, _times(builder, y, size)) for x, y in parts]
    return reduce(builder, carry(builder, total))


def f2_linear(
    builder: Any, coefficients: Sequence[Fp2], operands: Sequence[tuple[Lanes, Lanes]]
) -> tuple[Lanes, ...]:
    """The sum of coefficient times operand in Fp2, for small integer coefficients.

    The first operand is below 3p (a product of sums), the others below 2p.
    """
    real, imaginary = [], []
    for i, ((c0, c1), (a0, a1)) in enumerate(zip(coefficients, operands, strict=True)):
        most = 2 if i else 3
        real += [(c0, most, a0), (-c1, most, a1)]
        imaginary += [(c0, most, a1), (c1, most, a0)]
    return tuple(
        linear(builder, [term for term in terms if term[0]]) for terms in (real, imaginary)
    )
