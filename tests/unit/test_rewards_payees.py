"""Payees: small rewards wait, and are paid out together once they reach the minimum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.errors import Refusal
from messages.rewards import (
    CreditPayee,
    GetPayee,
    PayeeCredited,
    PayeeView,
    RewardPaidOut,
    accrued_account,
    available_account,
)
from tests.unit.rewards_entities import T0, USER, VIBES, Ledger, new_payee, session

PAYEE = f"user:{USER}"


def ledger(amount: int) -> Ledger:
    found = Ledger()
    found.balances[accrued_account(PAYEE)] = amount
    return found


def test_a_table_of_credits() -> None:
    # credit | accrued, payouts, paid out
    table = """
        400000  |  400000 0 0
        599999  |  999999 0 0
        1       |       0 1 1000000
        250000  |  250000 1 1000000
        4800000 |       0 2 6050000
    """
    payee = new_payee(PAYEE, ledger(6_050_000))
    for number, line in enumerate(table.strip().splitlines()):
        credit, *expected = (int(cell) for cell in line.replace("|", " ").split())
        view = payee.send(CreditPayee(session(number), credit))
        assert view == PayeeView(*expected)
    assert payee.ledger.balances == {accrued_account(PAYEE): 0, available_account(PAYEE): 6_050_000}


def test_a_payout_names_the_credits_it_is_made_of() -> None:
    payee = new_payee(PAYEE, ledger(2 * VIBES))
    for number, amount in enumerate((600_000, 600_000, 800_000)):
        payee.send(CreditPayee(session(number), amount))
    credited = [e.payout for e in payee.events if isinstance(e, PayeeCredited)]
    assert credited == [1, 1, 2]
    [paid] = [e for e in payee.events if isinstance(e, RewardPaidOut)]
    assert paid == RewardPaidOut(PAYEE, 1_200_000, 1, T0)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_credit_is_positive(amount: int) -> None:
    payee = new_payee(PAYEE)
    with pytest.raises(Refusal):
        payee.send(CreditPayee(session(1), amount))
    assert payee.send(GetPayee()) == PayeeView(0, 0, 0)


@given(st.lists(st.integers(1, 3 * VIBES), max_size=50))
def test_what_accrues_is_paid_out_or_waits(amounts: list[int]) -> None:
    payee = new_payee(PAYEE, ledger(sum(amounts)))
    for number, amount in enumerate(amounts):
        view = payee.send(CreditPayee(session(number), amount))
        assert view.accrued_minor < VIBES
        assert view.accrued_minor + view.paid_out_minor == sum(amounts[: number + 1])
    assert payee.ledger.balances[available_account(PAYEE)] == payee.state.paid_out_minor
    assert payee.ledger.balances[accrued_account(PAYEE)] == payee.state.accrued_minor
