"""A commitment has one form and lies in the field."""

from __future__ import annotations

import pytest
from py_ecc.optimized_bn128.optimized_curve import curve_order

from domain.field import SCALAR_ORDER
from domain.users_identity import check_commitment
from messages.users import BadCommitment


def test_the_order_is_that_of_the_curve() -> None:
    assert curve_order == SCALAR_ORDER


@pytest.mark.parametrize("text", ["1", "10", str(SCALAR_ORDER - 1)])
def test_an_element_of_the_field_is_a_commitment(text: str) -> None:
    assert check_commitment(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "+1", "01", "1.0", "1e3", "0x1", " 1", "1\n", "١", str(SCALAR_ORDER), "9" * 78],
)
def test_anything_else_is_not(text: str) -> None:
    with pytest.raises(BadCommitment):
        check_commitment(text)
