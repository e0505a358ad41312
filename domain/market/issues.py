"""Share issues: drafting and selling. Pure."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from domain.decision import Decision
from domain.market.state import Changes, Deciders, Issue, Market
from domain.policy import MarketPolicy
from messages.market import DraftIssue, GetIssue, IssueDrafted, IssueView, MarketEvent

Outcome: TypeAlias = Decision[MarketEvent]


def view(market: Market) -> IssueView:
    """The issue as callers see it."""
    return IssueView(market.issue_id, **msgspec.structs.asdict(market.issue))


def draft(policy: MarketPolicy, market: Market, command: DraftIssue, now_ms: int) -> Outcome:
    """Draft the issue."""
    fields = msgspec.structs.asdict(command)
    drafted = IssueDrafted(issue_id=market.issue_id, at_ms=now_ms, **fields)
    return Decision((drafted,))


def get(policy: MarketPolicy, market: Market, command: GetIssue, now_ms: int) -> Outcome:
    """Answer with the issue."""
    return Decision(answer=view(market))


def drafted(market: Market, event: IssueDrafted) -> None:
    """The issue after its draft."""
    fields = msgspec.structs.asdict(event)
    del fields["issue_id"], fields["at_ms"]
    market.issue = Issue(**fields)


DECIDERS: Deciders = {DraftIssue: draft, GetIssue: get}
CHANGES: Changes = {IssueDrafted: drafted}
