"""Payees: what accrues for a user or an artist until it reaches the minimum payout."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class CreditPayee(msgspec.Struct, frozen=True, tag=True):
    """`amount_minor` arrived on the payee's accrued account, by a payment or an artist's share."""

    credit_id: str
    amount_minor: int


class GetPayee(msgspec.Struct, frozen=True, tag=True):
    """Query: what has accrued."""


PayeeCommand: TypeAlias = CreditPayee | GetPayee


class PayeeView(msgspec.Struct, frozen=True):
    """What waits for the minimum payout, and how often and how much was paid out."""

    accrued_minor: int
    payouts: int
    paid_out_minor: int


class PayeeCredited(msgspec.Struct, frozen=True, tag=True):
    """Journal only. `payout` is the number of the payout that this credit will be part of."""

    payee_id: str
    # In journals under the name that it had when every credit was a session's.
    credit_id: str = msgspec.field(name="session_id")
    amount_minor: int
    accrued_minor: int
    payout: int
    at_ms: int


class RewardPaidOut(msgspec.Struct, frozen=True, tag=True):
    """Public: what had accrued reached the minimum payout and moved to the available balance."""

    payee_id: str
    amount_minor: int
    payout: int
    at_ms: int


PayeeEvent: TypeAlias = PayeeCredited | RewardPaidOut

PUBLIC_PAYEE_EVENTS = frozenset({RewardPaidOut})
