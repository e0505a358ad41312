"""What the owner of an issue keeps in memory: the issue, who holds its shares, its order book.

One entity, so that a purchase, a trade, the cap of a holder and the record date of a distribution
are all decided by the same owner, in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from domain.decision import Decision
from domain.market import trading as floor
from domain.market.holders import Holders, Holding
from domain.market.trading import StoredTrading, Trading
from domain.policy import BPS, MarketPolicy
from messages.ledger import LedgerTransaction
from messages.market import IssueStatus, MarketCommand, MarketEvent, RevenueDistributed

# While an issue has an `offered` account, though it may be empty.
SELLING = frozenset({IssueStatus.ACTIVE, IssueStatus.PAUSED, IssueStatus.SOLD_OUT})


class Issue(msgspec.Struct, frozen=True):
    """An issue as its facts left it. `sold`: of the offered shares.

    locked, locked_until_ms: of the retained shares, from their activation.
    """

    status: IssueStatus = IssueStatus.NONE
    song_id: str = ""
    artist_user_id: str = ""
    currency: str = ""
    shares: int = 0
    retained: int = 0
    sold: int = 0
    price_minor: int = 0
    minimum: int = 1
    cap_bps: int = 0
    tick_minor: int = 1
    generation: int = 1
    locked: int = 0
    locked_until_ms: int = 0
    voided: bool = False

    @property
    def unsold(self) -> int:
        """Shares in the `offered` account."""
        return self.shares - self.retained - self.sold if self.status in SELLING else 0

    @property
    def exists(self) -> bool:
        """Whether somebody has its shares."""
        return self.status in SELLING or (self.status is IssueStatus.TERMINATED and not self.voided)

    @property
    def cap_shares(self) -> int:
        """The most that one user, but the artist, may own."""
        return self.shares * self.cap_bps // BPS


class Lock(msgspec.Struct, frozen=True, array_like=True):
    """Shares of a user that may not be sold before a moment."""

    user_id: str
    shares: int
    until_ms: int


class Market:
    """An issue with all that belongs to it. Changed in place: by facts, or just ahead of them.

    locks: by id.  revenue_minor: what its ledger account holds, to be distributed.
    distributions: the latest, by id, so that one that is asked for again is not paid again.
    trading: from the moment when the book was first opened.
    """

    __slots__ = (
        "distributions",
        "holders",
        "issue",
        "issue_id",
        "locks",
        "revenue_minor",
        "trading",
    )

    def __init__(self, issue_id: str, issue: Issue, holders: Holders) -> None:
        self.issue_id = issue_id
        self.issue = issue
        self.holders = holders
        self.locks: dict[str, Lock] = {}
        self.revenue_minor = 0
        self.distributions: dict[str, RevenueDistributed] = {}
        self.trading: Trading | None = None

    def owned_by(self, user_id: str) -> Holding:
        """A user's shares, to be changed by a fact; remembered from now on."""
        return self.holders.setdefault(user_id, Holding())

    def holding(self, user_id: str) -> Holding:
        """A user's shares; an empty holding that nobody remembers if there are none."""
        return self.holders.get(user_id) or Holding()


# By class, what a part of the market knows of: (policy, market, command, now_ms) → decision, and
# facts, which carry what was decided with the policy.
Deciders: TypeAlias = Mapping[
    type, Callable[[MarketPolicy, Market, Any, int], Decision[MarketEvent]]
]
Changes: TypeAlias = Mapping[type, Callable[[Market, Any], None]]
# What a command takes from elsewhere, by class: the ledger decides first. They may refuse.
Reserves: TypeAlias = Mapping[
    type, Callable[[MarketPolicy, Market, Any, int], tuple[LedgerTransaction, ...]]
]
# By the name of a timer, the command that it becomes when it is due.
Timers: TypeAlias = Mapping[str, Callable[[int], MarketCommand]]


class StoredMarket(msgspec.Struct, frozen=True):
    """A market as a snapshot keeps it."""

    issue_id: str
    issue: Issue
    holders: Holders
    locks: dict[str, Lock] = {}
    revenue_minor: int = 0
    distributions: dict[str, RevenueDistributed] = {}
    trading: StoredTrading | None = None


def initial(issue_id: str) -> Market:
    """An issue that was not drafted yet."""
    return Market(issue_id, Issue(), {})


def stored(market: Market) -> StoredMarket:
    """What a snapshot keeps. It shares the holdings with the market: encode it at once."""
    return StoredMarket(
        market.issue_id,
        market.issue,
        market.holders,
        market.locks,
        market.revenue_minor,
        market.distributions,
        floor.stored(market.trading) if market.trading is not None else None,
    )


def restored(kept: StoredMarket) -> Market:
    """The market that a snapshot kept."""
    market = Market(kept.issue_id, kept.issue, kept.holders)
    market.locks = kept.locks
    market.revenue_minor = kept.revenue_minor
    market.distributions = kept.distributions
    if kept.trading is not None:
        market.trading = floor.restored(kept.trading, kept.issue.tick_minor)
    return market
