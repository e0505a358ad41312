"""Logarithms and powers in integers, against decimal arithmetic of forty digits."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.twap.fixed import FRACTION_BITS, MAX_VALUE, ONE, log2, power2

UNITS = 3  # that a logarithm may lack


def exact_log2(value: int) -> Decimal:
    with localcontext() as context:
        context.prec = 40
        return Decimal(value).ln() / Decimal(2).ln() * ONE


@given(st.integers(1, MAX_VALUE))
def test_log2_is_at_most_three_units_below(value: int) -> None:
    lacks = exact_log2(value) - log2(value)
    assert -Decimal("1e-20") <= lacks < UNITS


@pytest.mark.parametrize("exponent", range(31))
def test_powers_of_two_are_exact(exponent: int) -> None:
    assert log2(1 << exponent) == exponent * ONE
    assert power2(exponent * ONE, 1_000) == 1_000 << exponent


@given(st.integers(1, MAX_VALUE - 1))
def test_log2_never_falls(value: int) -> None:
    assert log2(value) <= log2(value + 1)


@given(st.integers(0, 32 * ONE), st.integers(1, 10**6))
def test_power2_is_the_nearest(logarithm: int, scale: int) -> None:
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(2) ** (Decimal(logarithm) / ONE) * scale
    assert abs(power2(logarithm, scale) - exact) <= Decimal("0.5") + exact * Decimal(2) ** -55


def test_a_price_comes_back_from_its_logarithm() -> None:
    assert FRACTION_BITS == 30
    for price in range(1, 200_000, 37):
        assert power2(log2(price), 1_000) == 1_000 * price
