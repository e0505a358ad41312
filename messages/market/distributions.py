"""Revenue of an issue: received, and distributed to those who hold shares at that moment."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

PLATFORM = "platform"  # whose part of a distribution the fee is


class ReceiveRevenue(msgspec.Struct, frozen=True, tag=True):
    """Move `amount_minor` from `source_account` to what waits for the holders."""

    revenue_id: str
    source_account: str
    amount_minor: int


class DistributeRevenue(msgspec.Struct, frozen=True, tag=True):
    """Pay out `amount_minor` of what waits, or all of it (0), to the holders of this moment.

    The record date is the command's own place in the journal: what was decided before counts, what
    comes after does not. Asked again with the same id, it answers the same and pays nothing.
    salt: 32 hex digits that nobody can guess; makes the statement's leaves unreadable to others.
    """

    distribution_id: str
    salt: str
    amount_minor: int = 0


DistributionCommand: TypeAlias = ReceiveRevenue | DistributeRevenue


class RevenueReceived(msgspec.Struct, frozen=True, tag=True):
    """Public: revenue came in. `waiting_minor`: what is to be distributed, with this."""

    issue_id: str
    revenue_id: str
    currency: str
    amount_minor: int
    waiting_minor: int
    at_ms: int


class RevenueDistributed(msgspec.Struct, frozen=True, tag=True):
    """Public: names nobody; `amount_minor` was split, the platform's fee first.

    artist_minor: of retained and unsold shares.  holders: how many others got holders_minor.
    root: of the statement's Merkle-sum tree over all `parts`, in hex; its sum is amount_minor.
    fee_salt: of the first leaf, which is the platform's.
    """

    issue_id: str
    distribution_id: str
    currency: str
    amount_minor: int
    fee_minor: int
    artist_minor: int
    holders_minor: int
    holders: int
    parts: int
    root: str
    fee_salt: str
    waiting_minor: int
    at_ms: int


class RevenuePaid(msgspec.Struct, frozen=True, tag=True):
    """Public: to the holder alone; a part of a distribution. `index` and `salt`: of its leaf."""

    issue_id: str
    distribution_id: str
    user_id: str
    currency: str
    shares: int
    amount_minor: int
    index: int
    salt: str
    at_ms: int


DistributionEvent: TypeAlias = RevenueReceived | RevenueDistributed | RevenuePaid
DistributionAnswer: TypeAlias = RevenueReceived | RevenueDistributed
PUBLIC_DISTRIBUTION_EVENTS = frozenset({RevenueReceived, RevenueDistributed, RevenuePaid})
