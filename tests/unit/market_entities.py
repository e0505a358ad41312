"""A share issue in memory, with the ledger's balances beside it."""

from __future__ import annotations

from typing import Any

from domain.market import market
from domain.market.state import initial, restored, stored
from domain.policy import MarketPolicy
from messages.ledger import currency_of
from messages.market import (
    ActivateIssue,
    BuyShares,
    DistributeRevenue,
    DraftIssue,
    LockReason,
    LockShares,
    ReceiveRevenue,
    issue_id_of,
)
from messages.market.accounts import available, issued, locked, offered, revenue
from tests.unit.rewards_entities import SONG, T0, Entity, Ledger

POLICY = MarketPolicy()
ARTIST = "0197a000-0000-7000-8000-0000000000ff"
ISSUE = issue_id_of(SONG, 1)
SHARES = f"SHARE:{ISSUE}"
TREASURY = "outside:treasury:issue/EUR"
SALT = "5a" * 16


def user(number: int) -> str:
    return f"0197a000-0000-7000-8000-{number:012d}"


def some_id(number: int) -> str:
    return f"0197c000-0000-7000-8000-{number:012d}"


def new_issue(ledger: Ledger | None = None) -> Entity:
    return Entity(
        POLICY,
        initial(ISSUE),
        market.decide,
        market.evolve,
        lambda state, command: market.reserve(POLICY, state, command, T0),
        ledger=ledger or Ledger(),
    )


def draft(**changes: Any) -> DraftIssue:
    terms: dict[str, Any] = {
        "song_id": SONG,
        "artist_user_id": ARTIST,
        "currency": "EUR",
        "shares": 1_000,
        "retained": 400,
        "price_minor": 250,
        "minimum": 5,
        "cap_bps": 2_000,
        "tick_minor": 10,
    }
    return DraftIssue(**{**terms, **changes})


def active(**changes: Any) -> Entity:
    issue = new_issue()
    issue.send(draft(**changes))
    issue.send(ActivateIssue())
    return issue


def fund(issue: Entity, user_id: str, amount_minor: int = 10**9, currency: str = "EUR") -> None:
    issue.ledger.balances[available(user_id, currency)] += amount_minor
    issue.ledger.balances[f"outside:treasury:issue/{currency}"] -= amount_minor


def buy(number: int, buyer: int, shares: int, **changes: Any) -> BuyShares:
    facts: dict[str, Any] = {
        "purchase_id": some_id(number),
        "user_id": user(buyer),
        "shares": shares,
        "price_minor": 250,
    }
    return BuyShares(**{**facts, **changes})


def lock(number: int, owner: str, shares: int, until_ms: int) -> LockShares:
    return LockShares(some_id(number), owner, shares, until_ms, LockReason.LEGAL)


def receive(number: int, amount_minor: int, source: str = TREASURY) -> ReceiveRevenue:
    return ReceiveRevenue(some_id(number), source, amount_minor)


def distribute(number: int, amount_minor: int = 0, salt: str = SALT) -> DistributeRevenue:
    return DistributeRevenue(some_id(number), salt, amount_minor)


def rebuilt(issue: Entity) -> Any:
    """The state that the journal alone makes."""
    state = initial(ISSUE)
    for event in issue.events:
        state = market.evolve(state, event)
    return state


def picture(state: Any) -> Any:
    """All of a state, comparable."""
    kept = stored(state)
    assert stored(restored(kept)) == kept
    return kept


def check_shares(issue: Entity) -> None:
    """The owner's memory is the ledger's, account by account, and every currency sums to zero."""
    state, balances = issue.state, issue.ledger.balances
    for user_id in {ARTIST, *state.holders}:
        holding = state.holding(user_id)
        assert balances[available(user_id, SHARES)] == holding.available
        assert balances[locked(user_id, SHARES)] == holding.locked
    assert balances[offered(ISSUE)] == state.issue.unsold
    assert balances[revenue(ISSUE, "EUR")] == state.revenue_minor
    alive = state.issue.exists
    assert balances[issued(ISSUE)] == (-state.issue.shares if alive else 0)
    totals: dict[str, int] = {}
    for code, amount in balances.items():
        totals[currency_of(code)] = totals.get(currency_of(code), 0) + amount
    assert set(totals.values()) <= {0}
