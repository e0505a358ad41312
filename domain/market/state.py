"""What the owner of an issue keeps in memory: the issue, who holds its shares, its order book.

One entity, so that a purchase, a trade, the cap of a holder and the record date of a distribution
are all decided by the same owner, in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from domain.decision import Decision
from domain.market.holders import Holders, Holding
from domain.policy import MarketPolicy
from messages.market import IssueStatus, MarketEvent


class Issue(msgspec.Struct, frozen=True):
    """An issue as its facts left it. `sold`: of the offered shares."""

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


class Market:
    """An issue with all that belongs to it. Changed in place: by facts, or just ahead of them."""

    __slots__ = ("holders", "issue", "issue_id")

    def __init__(self, issue_id: str, issue: Issue, holders: Holders) -> None:
        self.issue_id = issue_id
        self.issue = issue
        self.holders = holders

    def holding(self, user_id: str) -> Holding:
        """A user's shares; an empty holding that nobody remembers if there are none."""
        return self.holders.get(user_id) or Holding()


# By class, what a part of the market knows of: (policy, market, command, now_ms) → decision, and
# facts, which carry what was decided with the policy.
Deciders: TypeAlias = Mapping[
    type, Callable[[MarketPolicy, Market, Any, int], Decision[MarketEvent]]
]
Changes: TypeAlias = Mapping[type, Callable[[Market, Any], None]]


class StoredMarket(msgspec.Struct, frozen=True):
    """A market as a snapshot keeps it."""

    issue_id: str
    issue: Issue
    holders: Holders


def initial(issue_id: str) -> Market:
    """An issue that was not drafted yet."""
    return Market(issue_id, Issue(), {})


def stored(market: Market) -> StoredMarket:
    """What a snapshot keeps. It shares the holdings with the market: encode it at once."""
    return StoredMarket(market.issue_id, market.issue, market.holders)


def restored(kept: StoredMarket) -> Market:
    """The market that a snapshot kept."""
    return Market(kept.issue_id, kept.issue, kept.holders)
