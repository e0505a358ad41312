"""A backend in plain Python that follows values and bounds: what `lanes` may hold, step by step.

Memory maps addresses to (value, bound): the integer modulo p and what it is at most, in units of p,
if the operation before it had the worst operands. Each operation checks what `lanes` needs of its
operands and gives the bound of its result. So one run of a function on worst operands proves
that its lanes never overflow, and compares its result with py_ecc on the way. No operation's
bound depends on a value, and no branch of the tower does: one run speaks for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernels.bn254 import forms
from kernels.bn254.integers import P
from kernels.bn254.lanes_values import MONTGOMERY
from kernels.bn254.parameters import constants

LANES, LIMBS = 1, 1
E1, E2 = 1, 2
# What five limbs of 52 bits hold, in units of p.
ROOM = MONTGOMERY / P

memory: dict[int, tuple[int, float]] = {}
largest: dict[str, float] = {}
_TABLE = 1 << 40
_frames = [1 << 41]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def stack(size: int) -> int:
    """A frame of its own for each call: what is read before it is written is not there."""
    _frames[0] += size
    return _frames[0] - size


def noinline() -> None:
    pass


def table_address() -> int:
    for i, element in enumerate(constants(1)):
        for j, value in enumerate(element):
            memory[_TABLE + 2 * i + j] = (value, 1)
    return _TABLE


def check(what: str, bound: float, most: float) -> None:
    largest[what] = max(largest.get(what, 0), bound)
    assert bound <= most, f"{what}: {bound} p, above {most} p"


def put(address: int, value: int, bound: float, what: str) -> None:
    check(what, bound, ROOM)
    memory[address] = (value % P, bound)


def _reduced(bound: float) -> float:
    """After `reduce`: the quotient is at most one, and the estimate's fraction, too small."""
    check("reduce", bound, ROOM)
    return 1.001 + (ROOM - int(ROOM)) * bound / ROOM


def fp_add(d: int, a: int, b: int) -> None:
    (x, m), (y, n) = memory[a], memory[b]
    put(d, x + y, m + n, "fp_add")


def _subtract(d: int, a: int, b: int, most: int) -> None:
    (x, m), (y, n) = memory[a], memory[b]
    check("subtrahend", n, most)
    put(d, x - y, m + most, "fp_sub")


def fp_sub(d: int, a: int, b: int) -> None:
    _subtract(d, a, b, 2)


def fp_sub_4p(d: int, a: int, b: int) -> None:
    _subtract(d, a, b, 4)


def fp_neg(d: int, a: int) -> None:
    x, m = memory[a]
    check("negated", m, 2)
    put(d, -x, 2, "fp_neg")


def fp_mul(d: int, a: int, b: int) -> None:
    (x, m), (y, n) = memory[a], memory[b]
    put(d, x * y, 1 + m * n / ROOM, "fp_mul")


def fp_sqr(d: int, a: int) -> None:
    fp_mul(d, a, a)


def fp_copy(d: int, a: int) -> None:
    memory[d] = memory[a]


def fp_reduce(a: int) -> None:
    x, m = memory[a]
    memory[a] = (x, _reduced(m))


def _both(operation: Callable[..., None]) -> Callable[..., None]:
    def two(*addresses: int) -> None:
        kept = [[memory[address + i] for address in addresses[1:]] for i in range(2)]
        for i in range(2):
            places = [stack(1) for _ in kept[i]]
            memory.update(zip(places, kept[i], strict=True))
            operation(addresses[0] + i, *places)

    return two


f2_sum = _both(fp_add)
f2_neg = _both(fp_neg)
f2_copy = _both(fp_copy)


def f2_conj(d: int, a: int) -> None:
    fp_copy(d, a)
    fp_neg(d + 1, a + 1)


def f2_mul(d: int, a: int, b: int) -> None:
    (x0, m0), (x1, m1) = memory[a], memory[a + 1]
    (y0, n0), (y1, n1) = memory[b], memory[b + 1]
    for bound in (m0, m1, n0, n1):
        check("factor", bound, 8)
    check("sum of a factor", max(m0 + m1, n0 + n1), ROOM)
    put(d, x0 * y0 - x1 * y1, 1 + (m0 * n0 + 64) / ROOM, "f2_mul")
    put(d + 1, x0 * y1 + x1 * y0, 1 + (m0 * n1 + m1 * n0) / ROOM, "f2_mul")


def f2_sqr(d: int, a: int) -> None:
    (x0, m0), (x1, m1) = memory[a], memory[a + 1]
    check("squared", max(m0, m1), 8)
    put(d, x0 * x0 - x1 * x1, 1 + (m0 + m1) * (m0 + 8) / ROOM, "f2_sqr")
    put(d + 1, 2 * x0 * x1, 1 + 2 * m0 * m1 / ROOM, "f2_sqr")


def f2_scale(d: int, a: int, k: int) -> None:
    factor = memory[k]
    place = stack(1)
    memory[place] = factor
    for i in range(2):
        fp_mul(d + i, a + i, place)


def _form(form: forms.Form) -> Callable[..., None]:
    def operation(d: int, *addresses: int) -> None:
        operands = [(memory[address], memory[address + 1]) for address in addresses]
        rows: list[list[tuple[int, int, tuple[int, float]]]] = [[], []]
        for i, ((c0, c1), (a0, a1)) in enumerate(zip(form, operands, strict=True)):
            most = 2 if i else 3
            rows[0] += [(c0, most, a0), (-c1, most, a1)]
            rows[1] += [(c0, most, a1), (c1, most, a0)]
        for i, terms in enumerate(rows):
            total, bound = 0, 0.0
            for factor, most, (value, size) in terms:
                total += factor * value
                if factor < 0:
                    check("subtrahend of a form", size, most)
                bound += factor * size if factor > 0 else -factor * most
            check("form", bound, ROOM)
            memory[d + i] = (total % P, _reduced(bound))

    return operation


f2_double = _form(forms.DOUBLE)
f2_triple = _form(forms.TRIPLE)
f2_xi = _form(forms.TIMES_XI)
f2_add = _form(forms.SUM)
f2_sub = _form(forms.DIFFERENCE)
f2_plus_xi = _form(forms.PLUS_XI)
f2_plus_3 = _form(forms.PLUS_3)
f2_minus_3 = _form(forms.MINUS_3)
f2_minus_12 = _form(forms.MINUS_12)
f2_cyclotomic_odd = _form(forms.CYCLOTOMIC_ODD)
f2_cyclotomic_even = _form(forms.CYCLOTOMIC_EVEN)
f2_minus_minus = _form(forms.MINUS_MINUS)
f2_minus_plus = _form(forms.MINUS_PLUS)
f2_minus_minus_xi = _form(forms.MINUS_MINUS_XI)
f2_xi_difference_plus = _form(forms.XI_DIFFERENCE_PLUS)
f2_four_minus_minus = _form(forms.FOUR_MINUS_MINUS)
f2_plus_minus_2 = _form(forms.PLUS_MINUS_2)
f2_karatsuba_0 = _form(forms.KARATSUBA_0)
f2_karatsuba_1 = _form(forms.KARATSUBA_1)
f2_karatsuba_2 = _form(forms.KARATSUBA_2)
