"""Amounts as providers write them: exact, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.money import MINOR_DIGITS, decimal_of, parse_decimal


@pytest.mark.parametrize(
    ("amount_minor", "currency", "digits", "text"),
    [
        (1_234, "USD", None, "12.34"),
        (5, "USD", None, "0.05"),
        (12_340_000, "USDC", 2, "12.34"),
        (1, "USDC", None, "0.000001"),
        (12_000_000, "USDC", 0, "12"),
        (10**26, "ETH", None, "100000000.000000000000000000"),
    ],
)
def test_decimals(amount_minor: int, currency: str, digits: int | None, text: str) -> None:
    assert decimal_of(amount_minor, currency, digits) == text
    assert parse_decimal(text, currency) == amount_minor


@given(st.integers(0, 10**30), st.sampled_from(sorted(MINOR_DIGITS)))
def test_there_and_back(amount_minor: int, currency: str) -> None:
    assert parse_decimal(decimal_of(amount_minor, currency), currency) == amount_minor


def test_digits_that_say_nothing_more() -> None:
    assert parse_decimal("1.2300000", "USD") == 123
    assert parse_decimal("7", "USD") == 700


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.", ".5", "1e3", "1,00", " 1", "1.001", "NaN", "\u0661", "1" * 31]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal|minor unit"):
        parse_decimal(text, "USD")


@pytest.mark.parametrize(("amount_minor", "digits"), [(-1, None), (12_345, 2), (1, 0)])
def test_what_digits_cannot_say(amount_minor: int, digits: int | None) -> None:
    with pytest.raises(ValueError, match="minor units"):
        decimal_of(amount_minor, "USDC", digits)
