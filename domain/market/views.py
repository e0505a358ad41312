"""What callers and owners are shown of an issue and of holdings."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import asdict
from msgspec.structs import replace as copy

from domain.market.holders import Holding
from domain.market.state import Issue, Market
from messages.market import HoldingChanged, HoldingView, IssueView


def issue_view(market: Market, issue: Issue) -> IssueView:
    """The issue as it is, or as it is about to be."""
    fields = asdict(issue)
    del fields["locked"], fields["locked_until_ms"]
    return IssueView(market.issue_id, revenue_minor=market.revenue_minor, **fields)


def holding_view(market: Market, user_id: str, holding: Holding) -> HoldingView:
    """A user's holding as it is, or as it is about to be."""
    return HoldingView(market.issue_id, user_id, market.issue.currency, **asdict(holding))


def after(market: Market, user_id: str, change: Callable[[Holding], None]) -> Holding:
    """What a user's holding is about to be: a copy of what it is, changed."""
    holding = copy(market.holding(user_id))
    change(holding)
    return holding


def changed(issue_id: str, user_id: str, holding: Holding, at_ms: int) -> HoldingChanged:
    """The fact that tells a user of it."""
    fields = asdict(holding)
    del fields["buying"]
    return HoldingChanged(issue_id, user_id, at_ms=at_ms, **fields)
