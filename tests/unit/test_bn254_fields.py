"""Each layer of the tower on each backend against py_ecc, on random and on extreme elements."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc.fields import bn128_FQ2 as FQ2

from kernels.bn254 import forms, integers
from kernels.bn254.integers import P, R, X
from kernels.bn254.parameters import (
    ATE_DIGITS,
    BETA,
    LAMBDA,
    windowed_non_adjacent_form,
)
from tests.unit.bn254_memory import (
    Backend,
    backends,
    fq2,
    fq6,
    fq12,
    from_fq2,
    from_fq6,
    from_fq12,
)

# Montgomery's factor and its neighbours meet the carries that random numbers miss.
CORNERS = [0, 1, 2, P - 1, P - 2, (P - 1) // 2, 2**256 % P, -(2**256) % P, 2**253, 2**64 - 1]
elements = st.one_of(st.sampled_from(CORNERS), st.integers(0, P - 1))
Rows = list[list[int]]

# The first call of a kernel compiles it, or loads it from the cache.
pytestmark = pytest.mark.timeout(900)

every_backend = pytest.mark.parametrize("backend", backends(), ids=repr)


def rows(backend: Backend, width: int, data: st.DataObject) -> Rows:
    row = st.lists(elements, min_size=width, max_size=width)
    return [data.draw(row) for _ in range(backend.lanes)]


def agree(
    backend: Backend,
    function: Callable[..., Any],
    oracle: Callable[..., list[int]],
    *operands: Rows,
) -> None:
    out = len(oracle(*[operand[0] for operand in operands]))
    result = backend.call(function, out, *operands)
    for lane, row in enumerate(result):
        assert row == oracle(*[operand[lane] for operand in operands])


def test_the_orders_are_those_of_eip_196() -> None:
    assert P == 21888242871839275222246405745257275088696311157297823662689037894645226208583
    assert R == 21888242871839275222246405745257275088548364400416034343698204186575808495617


def test_beta_and_lambda_are_cube_roots_of_unity_that_belong_together() -> None:
    from tests.unit.groth16_instances import g1

    assert BETA != 1
    assert pow(BETA, 3, P) == 1
    assert pow(LAMBDA, 3, R) == 1
    assert g1(LAMBDA) == (BETA, 2)


@given(st.integers(1, 2**70), st.integers(2, 6))
def test_windowed_digits_give_the_number_back(number: int, width: int) -> None:
    digits = windowed_non_adjacent_form(number, width)
    assert sum(digit << i for i, digit in enumerate(reversed(digits))) == number
    assert all(digit == 0 or (digit % 2 and abs(digit) < 2 ** (width - 1)) for digit in digits)
    places = [i for i, digit in enumerate(digits) if digit]
    assert all(b - a >= width for a, b in pairwise(places))
    assert windowed_non_adjacent_form(6 * X + 2, 2)[1:] == ATE_DIGITS


@given(st.tuples(elements, elements), st.tuples(elements, elements))
def test_fp2_on_integers(a: integers.Fp2, b: integers.Fp2) -> None:
    x, y = FQ2(list(a)), FQ2(list(b))
    assert list(integers.fp2_add(a, b)) == from_fq2(x + y)
    assert list(integers.fp2_subtract(a, b)) == from_fq2(x - y)
    assert list(integers.fp2_multiply(a, b)) == from_fq2(x * y)
    assert list(integers.fp2_negate(a)) == from_fq2(-x)
    assert list(integers.fp2_power(a, 5)) == from_fq2(x**5)
    if any(a):
        assert integers.fp2_multiply(a, integers.fp2_inverse(a)) == (1, 0)
    else:
        with pytest.raises(ZeroDivisionError):
            integers.fp2_inverse(a)


@every_backend
@given(data=st.data())
def test_fp(backend: Backend, data: st.DataObject) -> None:
    field = backend.field
    a, b = rows(backend, 1, data), rows(backend, 1, data)
    agree(backend, field.fp_add, lambda x, y: [(x[0] + y[0]) % P], a, b)
    agree(backend, field.fp_sub, lambda x, y: [(x[0] - y[0]) % P], a, b)
    agree(backend, field.fp_sub_4p, lambda x, y: [(x[0] - y[0]) % P], a, b)
    agree(backend, field.fp_mul, lambda x, y: [x[0] * y[0] % P], a, b)
    agree(backend, field.fp_neg, lambda x: [-x[0] % P], a)
    agree(backend, field.fp_sqr, lambda x: [x[0] ** 2 % P], a)
    agree(backend, field.fp_copy, lambda x: x, a)


@every_backend
@settings(max_examples=30)
@given(data=st.data())
def test_inverses(backend: Backend, data: st.DataObject) -> None:
    module = backend["fp2"]
    agree(backend, module.fp_inv, lambda x: [pow(x[0], P - 2, P)], rows(backend, 1, data))
    a = rows(backend, 2, data)
    agree(backend, module.f2_inv, lambda x: from_fq2(fq2(x).inv()) if any(x) else [0, 0], a)


@every_backend
@given(data=st.data())
def test_fp2(backend: Backend, data: st.DataObject) -> None:
    field = backend.field
    a, b, k = rows(backend, 2, data), rows(backend, 2, data), rows(backend, 1, data)
    agree(backend, field.f2_mul, lambda x, y: from_fq2(fq2(x) * fq2(y)), a, b)
    agree(backend, field.f2_scale, lambda x, y: from_fq2(fq2(x) * y[0]), a, k)
    agree(backend, field.f2_neg, lambda x: from_fq2(-fq2(x)), a)
    agree(backend, field.f2_conj, lambda x: [x[0], -x[1] % P], a)
    agree(backend, field.f2_sqr, lambda x: from_fq2(fq2(x) * fq2(x)), a)
    agree(backend, field.f2_copy, lambda x: x, a)


def evaluate(form: forms.Form, operands: tuple[list[int], ...]) -> list[int]:
    total = FQ2([0, 0])
    for coefficient, operand in zip(form, operands, strict=True):
        total += FQ2([value % P for value in coefficient]) * fq2(operand)
    return from_fq2(total)


FORMS = {
    "f2_double": forms.DOUBLE,
    "f2_triple": forms.TRIPLE,
    "f2_xi": forms.TIMES_XI,
    "f2_add": forms.SUM,
    "f2_sub": forms.DIFFERENCE,
    "f2_plus_xi": forms.PLUS_XI,
    "f2_plus_3": forms.PLUS_3,
    "f2_minus_3": forms.MINUS_3,
    "f2_minus_12": forms.MINUS_12,
    "f2_cyclotomic_odd": forms.CYCLOTOMIC_ODD,
    "f2_cyclotomic_even": forms.CYCLOTOMIC_EVEN,
    "f2_minus_minus": forms.MINUS_MINUS,
    "f2_minus_plus": forms.MINUS_PLUS,
    "f2_minus_minus_xi": forms.MINUS_MINUS_XI,
    "f2_xi_difference_plus": forms.XI_DIFFERENCE_PLUS,
    "f2_four_minus_minus": forms.FOUR_MINUS_MINUS,
    "f2_plus_minus_2": forms.PLUS_MINUS_2,
    "f2_karatsuba_0": forms.KARATSUBA_0,
    "f2_karatsuba_1": forms.KARATSUBA_1,
    "f2_karatsuba_2": forms.KARATSUBA_2,
}


@every_backend
@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=8)
@given(data=st.data())
def test_linear_forms(backend: Backend, name: str, data: st.DataObject) -> None:
    form = FORMS[name]
    operands = [rows(backend, 2, data) for _ in form]
    operation = getattr(backend.field, name)
    agree(backend, operation, lambda *values: evaluate(form, values), *operands)


@every_backend
@pytest.mark.parametrize("name", FORMS)
def test_linear_forms_at_their_extremes(backend: Backend, name: str) -> None:
    """Each coefficient at its largest and smallest: where a quotient's estimate errs first."""
    form = FORMS[name]
    for row in itertools.product(*[[[0, 0], [P - 1, P - 1], [0, P - 1], [P - 1, 0]]] * len(form)):
        operands = [[part] * backend.lanes for part in row]
        operation = getattr(backend.field, name)
        agree(backend, operation, lambda *values: evaluate(form, values), *operands)


@every_backend
@given(data=st.data())
def test_products_of_sums(backend: Backend, data: st.DataObject) -> None:
    """Operands of a product may be sums that nothing has reduced."""
    field = backend.field
    a, b = backend.put(rows(backend, 2, data)), backend.put(rows(backend, 2, data))
    c, d = backend.put(rows(backend, 2, data)), backend.put(rows(backend, 2, data))
    addresses = [memory.ctypes.data for memory in (a, b, c, d)]
    x, y, z, w = (backend.get(memory) for memory in (a, b, c, d))
    backend.apply(field.f2_sum, addresses[0], addresses[0], addresses[1])
    backend.apply(field.f2_sum, addresses[2], addresses[2], addresses[3])
    backend.apply(field.f2_mul, addresses[0], addresses[0], addresses[2])
    for lane, row in enumerate(backend.get(a)):
        left, right = fq2(x[lane]) + fq2(y[lane]), fq2(z[lane]) + fq2(w[lane])
        assert row == from_fq2(left * right)


@every_backend
@settings(max_examples=6)
@given(data=st.data())
def test_fp6(backend: Backend, data: st.DataObject) -> None:
    module = backend["fp6"]
    a, b = rows(backend, 6, data), rows(backend, 6, data)
    v = fq12([0, 0, 1, *[0] * 9])
    agree(backend, module.f6_add, lambda x, y: from_fq6(fq6(x) + fq6(y)), a, b)
    c = rows(backend, 6, data)
    agree(
        backend,
        module.f6_minus_minus,
        lambda x, y, z: from_fq6(fq6(x) - fq6(y) - fq6(z)),
        a,
        b,
        c,
    )
    agree(
        backend,
        module.f6_minus_minus_v,
        lambda x, y, z: from_fq6(fq6(x) - fq6(y) - fq6(z) * v),
        a,
        b,
        c,
    )
    agree(backend, module.f6_plus_v, lambda x, y: from_fq6(fq6(x) + fq6(y) * v), a, b)
    agree(backend, module.f6_neg, lambda x: from_fq6(-fq6(x)), a)
    agree(backend, module.f6_mul, lambda x, y: from_fq6(fq6(x) * fq6(y)), a, b)
    low, high = [row[:2] for row in b], [row[2:4] for row in b]
    agree(
        backend,
        module.f6_mul_01,
        lambda x, y, z: from_fq6(fq6(x) * fq6([*y, *z, 0, 0])),
        a,
        low,
        high,
    )
    if all(any(row) for row in a):
        agree(backend, module.f6_inv, lambda x: from_fq6(fq6(x).inv()), a)


@every_backend
@settings(max_examples=4)
@given(data=st.data())
def test_fp12(backend: Backend, data: st.DataObject) -> None:
    module = backend["fp12"]
    a, b = rows(backend, 12, data), rows(backend, 12, data)
    agree(backend, module.f12_mul, lambda x, y: from_fq12(fq12(x) * fq12(y)), a, b)
    agree(backend, module.f12_sqr, lambda x: from_fq12(fq12(x) * fq12(x)), a)
    agree(backend, module.f12_conj, lambda x: [*x[:6], *[-value % P for value in x[6:]]], a)
    agree(backend, module.f12_copy, lambda x: x, a)
    if all(any(row) for row in a):
        agree(backend, module.f12_inv, lambda x: from_fq12(fq12(x).inv()), a)


@every_backend
def test_frobenius_is_the_power_by_p(backend: Backend) -> None:
    row = [pow(5, i, P) for i in range(1, 13)]
    expected = fq12(row)
    for k in (1, 2, 3):
        expected **= P
        result = backend.call(backend["fp12"].f12_frobenius, 12, [row] * backend.lanes, k)
        assert result == [from_fq12(expected)] * backend.lanes


@every_backend
@settings(max_examples=2)
@given(data=st.data())
def test_the_cyclotomic_square_is_the_square_after_the_easy_part(
    backend: Backend, data: st.DataObject
) -> None:
    a = rows(backend, 12, data)
    if not all(any(row) for row in a):
        return
    module = backend["fp12"]
    cyclotomic = backend.call(backend["final"].final_exponentiation, 12, a)
    agree(
        backend,
        module.f12_cyclotomic_sqr,
        lambda x: from_fq12(fq12(x) * fq12(x)),
        cyclotomic,
    )
    agree(
        backend,
        backend["final"].f12_power_minus_x,
        lambda x: from_fq12((fq12(x) ** X).inv()),
        cyclotomic,
    )


@every_backend
@settings(max_examples=10)
@given(data=st.data())
def test_products_with_lines(backend: Backend, data: st.DataObject) -> None:
    f = rows(backend, 12, data)
    c0, c3, c4 = (rows(backend, 2, data) for _ in range(3))
    memory = backend.put(f)
    lines = [backend.put(c) for c in (c0, c3, c4)]
    addresses = [line.ctypes.data for line in lines]
    backend["fp12"].f12_mul_034(memory.ctypes.data, *addresses)
    for lane, row in enumerate(backend.get(memory)):
        line = fq12([*c0[lane], 0, 0, 0, 0, *c3[lane], *c4[lane], 0, 0])
        assert row == from_fq12(fq12(f[lane]) * line)
    memory = backend.put(f)
    backend["fp12"].f12_mul_134(memory.ctypes.data, *addresses[1:])
    for lane, row in enumerate(backend.get(memory)):
        line = fq12([1, 0, 0, 0, 0, 0, *c3[lane], *c4[lane], 0, 0])
        assert row == from_fq12(fq12(f[lane]) * line)


@every_backend
@given(data=st.data())
def test_a_destination_may_be_an_operand(backend: Backend, data: st.DataObject) -> None:
    a = rows(backend, 12, data)
    for name in ("f12_mul", "f12_sqr"):
        function = getattr(backend["fp12"], name)
        operands = [a] * (2 if name == "f12_mul" else 1)
        expected = backend.call(function, 12, *operands)
        memory = backend.put(a)
        function(memory.ctypes.data, *[memory.ctypes.data] * len(operands))
        assert backend.get(memory) == expected
