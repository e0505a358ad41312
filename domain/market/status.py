"""What an issue's status allows."""

from __future__ import annotations

from domain.market.state import Issue, Market
from messages.errors import Conflict
from messages.market import (
    IssueIsPaused,
    IssueIsSoldOut,
    IssueIsTerminated,
    IssueNotActive,
    IssueNotFound,
    IssueStatus,
)

_FINAL: dict[IssueStatus, type[Conflict]] = {
    IssueStatus.SOLD_OUT: IssueIsSoldOut,
    IssueStatus.TERMINATED: IssueIsTerminated,
}


def require(market: Market, *allowed: IssueStatus, otherwise: type[Conflict]) -> Issue:
    """The issue, if its status is allowed. Refuses by what is final instead, or `otherwise`."""
    status = market.issue.status
    if status in allowed:
        return market.issue
    if status is IssueStatus.NONE:
        raise IssueNotFound(issue_id=market.issue_id)
    raise _FINAL.get(status, otherwise)(issue_id=market.issue_id)


def require_selling(market: Market) -> Issue:
    """The issue, if its shares are for sale now."""
    paused = market.issue.status is IssueStatus.PAUSED
    otherwise = IssueIsPaused if paused else IssueNotActive
    return require(market, IssueStatus.ACTIVE, otherwise=otherwise)


def require_shares(market: Market) -> Issue:
    """The issue, if somebody has its shares."""
    if market.issue.exists:
        return market.issue
    return require(market, otherwise=IssueNotActive)
