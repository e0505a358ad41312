"""The primary sale: offered shares for cash, within the cap. Pure.

The terms of an issue never change once it is drafted, so what `buy_reserve` takes by the state of
the batch's start is what the decision would take.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec.structs import replace

from domain.decision import Decision
from domain.market.state import Changes, Deciders, Issue, Market, Reserves
from domain.market.status import require_selling
from domain.market.views import after, changed, holding_view
from domain.policy import BPS, MarketPolicy
from messages.keys import derive_key, is_id
from messages.ledger import LedgerTransaction, Posting, transfer
from messages.market import (
    BadPurchase,
    BelowMinimum,
    BuyShares,
    HolderCap,
    IssueSoldOut,
    IssueStatus,
    MarketEvent,
    NotEnoughOffered,
    OwnIssue,
    PriceDiffers,
    PurchaseView,
    SharesBought,
    SharesSold,
)
from messages.market.accounts import PURPOSE_PURCHASE, available, fees, offered, share_currency

Outcome: TypeAlias = Decision[MarketEvent]


def check_cap(market: Market, user_id: str, shares: int) -> None:
    """Refuse a user who would own more than one may, open orders and all. Not the artist."""
    issue = market.issue
    if user_id == issue.artist_user_id:
        return
    left = issue.cap_shares - market.holding(user_id).exposure
    if shares > left:
        raise HolderCap(left=max(left, 0), cap=issue.cap_shares)


def buy_reserve(
    policy: MarketPolicy, market: Market, command: BuyShares, now_ms: int
) -> tuple[LedgerTransaction, ...]:
    """The cash of a purchase, from the buyer to the artist and the platform."""
    issue = _check(policy, market, command)
    paid, fee = _price(policy, command)
    lines = (
        Posting(available(command.user_id, issue.currency), -paid),
        Posting(available(issue.artist_user_id, issue.currency), paid - fee),
        Posting(fees(issue.currency), fee),
    )
    return (
        LedgerTransaction(
            derive_key("share-purchase", market.issue_id, command.purchase_id),
            f"share-purchase:{command.purchase_id}",
            PURPOSE_PURCHASE,
            tuple(line for line in lines if line.amount_minor),
        ),
    )


def _buy(policy: MarketPolicy, market: Market, command: BuyShares, now_ms: int) -> Outcome:
    issue = _check(policy, market, command)
    paid, fee = _price(policy, command)
    user_id, shares, sold = command.user_id, command.shares, issue.sold + command.shares
    bought = SharesBought(
        market.issue_id,
        command.purchase_id,
        user_id,
        issue.currency,
        shares,
        issue.price_minor,
        paid,
        fee,
        now_ms,
    )
    owned = after(market, user_id, lambda h: h.acquire(shares, paid))
    events: list[MarketEvent] = [
        bought,
        SharesSold(market.issue_id, shares, issue.price_minor, sold, now_ms),
        changed(market.issue_id, user_id, owned, now_ms),
    ]
    if sold == issue.shares - issue.retained:
        events.append(IssueSoldOut(market.issue_id, now_ms))
    moved = transfer(
        derive_key("share-delivery", market.issue_id, command.purchase_id),
        offered(market.issue_id),
        available(user_id, share_currency(market.issue_id)),
        shares,
        cause=f"share-purchase:{command.purchase_id}",
        purpose=PURPOSE_PURCHASE,
    )
    holding = holding_view(market, user_id, owned)
    answer = PurchaseView(command.purchase_id, shares, paid, fee, holding)
    return Decision(tuple(events), answer, transactions=(moved,))


def _check(policy: MarketPolicy, market: Market, command: BuyShares) -> Issue:
    issue = require_selling(market)
    if not (is_id(command.user_id) and is_id(command.purchase_id)):
        raise BadPurchase("an id is none")
    if not 0 < command.shares <= policy.max_shares:
        raise BadPurchase("the number of shares is out of range")
    if command.user_id == issue.artist_user_id:
        raise OwnIssue
    check_cap(market, command.user_id, command.shares)
    if command.price_minor != issue.price_minor:
        raise PriceDiffers(price_minor=issue.price_minor)
    if command.shares > issue.unsold:
        raise NotEnoughOffered(left=issue.unsold)
    if command.shares < min(issue.minimum, issue.unsold):
        raise BelowMinimum(minimum=min(issue.minimum, issue.unsold))
    return issue


def _price(policy: MarketPolicy, command: BuyShares) -> tuple[int, int]:
    """What the buyer pays, and how much of it is the platform's."""
    paid = command.shares * command.price_minor
    return paid, paid * policy.sale_fee_bps // BPS


def _bought(market: Market, event: SharesBought) -> None:
    market.owned_by(event.user_id).acquire(event.shares, event.paid_minor)


def _sold(market: Market, event: SharesSold) -> None:
    market.issue = replace(market.issue, sold=event.sold)


def _sold_out(market: Market, event: IssueSoldOut) -> None:
    market.issue = replace(market.issue, status=IssueStatus.SOLD_OUT)


DECIDERS: Deciders = {BuyShares: _buy}
CHANGES: Changes = {SharesBought: _bought, SharesSold: _sold, IssueSoldOut: _sold_out}
RESERVES: Reserves = {BuyShares: buy_reserve}
