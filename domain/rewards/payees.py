"""Payees: what accrues for a user or an artist is paid out once it reaches the minimum."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from domain.decision import Decision
from domain.policy import RewardPolicy
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, transfer
from messages.rewards import (
    PURPOSE_PAYOUT,
    BadAmount,
    CreditPayee,
    PayeeCommand,
    PayeeCredited,
    PayeeEvent,
    PayeeView,
    RewardPaidOut,
    accrued_account,
    available_account,
)

Outcome: TypeAlias = Decision[PayeeEvent]


class Payee(msgspec.Struct, frozen=True):
    """The entity id is the head of the account codes: `user:<id>` or `artist:<id>`.

    accrued_minor: of the accrued account, the part this entity was told of; a payment commits
    before its credit, so the account never holds less.
    """

    payee_id: str
    accrued_minor: int = 0
    payouts: int = 0
    paid_out_minor: int = 0


def initial(entity_id: str) -> Payee:
    """A payee to whom nothing was ever paid."""
    return Payee(entity_id)


def decide(policy: RewardPolicy, state: Payee, command: PayeeCommand, now_ms: int) -> Outcome:
    """What a command does. Raises BadAmount."""
    if not isinstance(command, CreditPayee):
        return Decision(answer=_view(state))
    if command.amount_minor <= 0:
        raise BadAmount
    credited = PayeeCredited(
        state.payee_id,
        command.credit_id,
        command.amount_minor,
        state.accrued_minor + command.amount_minor,
        state.payouts + 1,
        now_ms,
    )
    after = evolve(state, credited)
    if after.accrued_minor < policy.minimum_payout_minor:
        return Decision((credited,), _view(after))
    paid = RewardPaidOut(state.payee_id, after.accrued_minor, credited.payout, now_ms)
    moved = (_payout(paid),)
    return Decision((credited, paid), _view(evolve(after, paid)), transactions=moved)


def evolve(state: Payee, event: PayeeEvent) -> Payee:
    """The payee after a fact."""
    if isinstance(event, PayeeCredited):
        return replace(state, accrued_minor=event.accrued_minor)
    return replace(
        state,
        accrued_minor=state.accrued_minor - event.amount_minor,
        payouts=event.payout,
        paid_out_minor=state.paid_out_minor + event.amount_minor,
    )


def _payout(paid: RewardPaidOut) -> LedgerTransaction:
    return transfer(
        derive_key(PURPOSE_PAYOUT, paid.payee_id, paid.payout),
        accrued_account(paid.payee_id),
        available_account(paid.payee_id),
        paid.amount_minor,
        cause=f"payout:{paid.payee_id}:{paid.payout}",
        purpose=PURPOSE_PAYOUT,
    )


def _view(state: Payee) -> PayeeView:
    return PayeeView(state.accrued_minor, state.payouts, state.paid_out_minor)
