"""A user's payout methods: where money may go, and what happened to them.

Facts carry neither address nor account: they outlive both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.payments.payout_orders import PayoutProvider


class PayoutMethodState(StrEnum):
    """pending: the provider still wants something of its owner.  ready: money may go there.
    restricted: the provider stopped it.
    """

    PENDING = "pending"
    READY = "ready"
    RESTRICTED = "restricted"


class ConnectedAccount(msgspec.Struct, frozen=True):
    """What a provider says of an account of a user's with it.

    submitted: its owner did their part.  payouts: whether it may be paid.
    """

    ref: str
    submitted: bool
    payouts: bool

    @property
    def state(self) -> PayoutMethodState:
        """What that makes of the payout method."""
        if self.payouts:
            return PayoutMethodState.READY
        return PayoutMethodState.RESTRICTED if self.submitted else PayoutMethodState.PENDING


class PayoutMethodAdded(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: money may go somewhere else from now on."""

    user_id: str
    method_id: str
    provider: PayoutProvider
    at_ms: int


class PayoutMethodRemoved(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: no money goes there any more."""

    user_id: str
    method_id: str
    provider: PayoutProvider
    at_ms: int


class PayoutMethodChanged(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: what its provider says of it."""

    user_id: str
    method_id: str
    provider: PayoutProvider
    state: PayoutMethodState
    at_ms: int


PayoutMethodEvent: TypeAlias = PayoutMethodAdded | PayoutMethodRemoved | PayoutMethodChanged
