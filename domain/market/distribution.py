"""Revenue: received, then split among those who hold shares at the record date. Pure.

The record date is the place of the command in the journal of the issue's owner, through whom every
purchase, trade and lock goes as well: what came before counts, what comes after does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from domain.decision import Decision
from domain.market.holders import owners
from domain.market.state import Changes, Deciders, Market, Reserves
from domain.market.statements import Part, leaf, leaf_salt, root_of
from domain.market.status import require_shares
from domain.policy import BPS, MarketPolicy
from messages.keys import derive_key, is_id
from messages.ledger import LedgerTransaction, Posting, currency_of, transfer
from messages.market import (
    PLATFORM,
    BadRevenue,
    DistributeRevenue,
    MarketEvent,
    ReceiveRevenue,
    RevenueDistributed,
    RevenueInsufficient,
    RevenuePaid,
    RevenueReceived,
)
from messages.market.accounts import (
    PURPOSE_DISTRIBUTION,
    PURPOSE_REVENUE,
    available,
    fees,
    revenue,
)
from messages.money import split_by_weight

Outcome: TypeAlias = Decision[MarketEvent]
MAX_LINES = 999  # of a ledger transaction, beside the one that they are taken from
REMEMBERED = 1_000  # distributions whose repetition is answered; the table knows of all
_SALT = re.compile(r"[0-9a-f]{32}")


class Split(NamedTuple):
    """What a distribution gives: the platform's part, the artist's, then the holders' by id."""

    parts: tuple[Part, ...]
    fee_minor: int
    artist_minor: int
    holders_minor: int


def split(policy: MarketPolicy, market: Market, amount_minor: int, salt: str) -> Split:
    """Split revenue over the shares of this moment; unsold ones count as the artist's.

    The parts sum to `amount_minor` (largest remainder; the artist's comes first among equals).
    """
    artist = market.issue.artist_user_id
    held = owners(market.holders)
    shares = {artist: held.pop(artist, 0) + market.issue.unsold}
    shares.update(sorted(held.items()))
    assert sum(shares.values()) == market.issue.shares, "every share is somebody's"
    fee = amount_minor * policy.revenue_fee_bps // BPS
    artist_minor, *rest = split_by_weight(amount_minor - fee, list(shares.values()))
    paid = [(PLATFORM, 0, fee), (artist, shares.pop(artist), artist_minor)]
    paid += [(user_id, n, part) for (user_id, n), part in zip(shares.items(), rest, strict=True)]
    parts = tuple(Part(*each, leaf_salt(salt, index)) for index, each in enumerate(paid))
    return Split(parts, fee, artist_minor, sum(rest))


def receive_reserve(
    policy: MarketPolicy, market: Market, command: ReceiveRevenue, now_ms: int
) -> tuple[LedgerTransaction, ...]:
    """The money itself, from where it comes."""
    _check_received(policy, market, command)
    return (
        transfer(
            derive_key("revenue-received", market.issue_id, command.revenue_id),
            command.source_account,
            revenue(market.issue_id, market.issue.currency),
            command.amount_minor,
            cause=f"revenue-received:{command.revenue_id}",
            purpose=PURPOSE_REVENUE,
        ),
    )


def _receive(policy: MarketPolicy, market: Market, command: ReceiveRevenue, now_ms: int) -> Outcome:
    _check_received(policy, market, command)
    event = RevenueReceived(
        market.issue_id,
        command.revenue_id,
        market.issue.currency,
        command.amount_minor,
        market.revenue_minor + command.amount_minor,
        now_ms,
    )
    return Decision((event,), event)


def _check_received(policy: MarketPolicy, market: Market, command: ReceiveRevenue) -> None:
    require_shares(market)
    if not 0 < command.amount_minor <= policy.max_revenue_minor - market.revenue_minor:
        raise BadRevenue("the amount is out of range", field="amount_minor")
    if not is_id(command.revenue_id):
        raise BadRevenue("the id is none", field="revenue_id")
    code = command.source_account
    own = revenue(market.issue_id, market.issue.currency)
    if code == own or code.count("/") != 1 or currency_of(code) != market.issue.currency:
        raise BadRevenue("the source is no other account of the currency", field="source_account")


def _distribute(
    policy: MarketPolicy, market: Market, command: DistributeRevenue, now_ms: int
) -> Outcome:
    if (known := market.distributions.get(command.distribution_id)) is not None:
        return Decision(answer=known)
    require_shares(market)
    if not is_id(command.distribution_id) or not _SALT.fullmatch(command.salt):
        raise BadRevenue("the id or the salt is none", field="distribution_id")
    amount = command.amount_minor or market.revenue_minor
    if not 0 < amount <= market.revenue_minor:
        raise RevenueInsufficient(left_minor=market.revenue_minor)
    parts, fee, artist_minor, holders_minor = split(policy, market, amount, command.salt)
    root = root_of([leaf(command.distribution_id, part) for part in parts])
    assert root.sum_minor == amount, "the parts make the whole"
    event = RevenueDistributed(
        issue_id=market.issue_id,
        distribution_id=command.distribution_id,
        currency=market.issue.currency,
        amount_minor=amount,
        fee_minor=fee,
        artist_minor=artist_minor,
        holders_minor=holders_minor,
        holders=len(parts) - 2,
        parts=len(parts),
        root=root.hash.hex(),
        fee_salt=parts[0].salt,
        waiting_minor=market.revenue_minor - amount,
        at_ms=now_ms,
    )
    told = [_told(event, index, part) for index, part in enumerate(parts) if index]
    return Decision((event, *told), event, transactions=_payments(event, parts))


def _told(event: RevenueDistributed, index: int, part: Part) -> RevenuePaid:
    return RevenuePaid(
        event.issue_id,
        event.distribution_id,
        part.owner,
        event.currency,
        part.shares,
        part.amount_minor,
        index,
        part.salt,
        event.at_ms,
    )


def _payments(event: RevenueDistributed, parts: Sequence[Part]) -> tuple[LedgerTransaction, ...]:
    """As many transactions as the ledger's limit on lines asks for, each balanced."""
    source = revenue(event.issue_id, event.currency)
    lines = [Posting(_account(part, event.currency), part.amount_minor) for part in parts]
    paid = [line for line in lines if line.amount_minor]
    chunks = [paid[start : start + MAX_LINES] for start in range(0, len(paid), MAX_LINES)]
    return tuple(
        LedgerTransaction(
            derive_key("distribution", event.issue_id, event.distribution_id, number),
            f"distribution:{event.distribution_id}",
            PURPOSE_DISTRIBUTION,
            (Posting(source, -sum(line.amount_minor for line in chunk)), *chunk),
        )
        for number, chunk in enumerate(chunks)
    )


def _account(part: Part, currency: str) -> str:
    return fees(currency) if part.owner == PLATFORM else available(part.owner, currency)


def _received(market: Market, event: RevenueReceived) -> None:
    market.revenue_minor = event.waiting_minor


def _distributed(market: Market, event: RevenueDistributed) -> None:
    market.revenue_minor = event.waiting_minor
    market.distributions[event.distribution_id] = event
    if len(market.distributions) > REMEMBERED:
        del market.distributions[next(iter(market.distributions))]


def _was_paid(market: Market, event: RevenuePaid) -> None:
    """Money is the ledger's to remember."""


DECIDERS: Deciders = {ReceiveRevenue: _receive, DistributeRevenue: _distribute}
CHANGES: Changes = {
    RevenueReceived: _received,
    RevenueDistributed: _distributed,
    RevenuePaid: _was_paid,
}
RESERVES: Reserves = {ReceiveRevenue: receive_reserve}
