"""The market: share issues and their sale, order books, trades, distributions of revenue.

The entity id is the issue's. Prices are minor units of the issue's currency for one share; shares
are whole numbers.
"""

from __future__ import annotations

from typing import TypeAlias

from messages.market.issues import (
    DraftIssue,
    GetIssue,
    IssueDrafted,
    IssueStatus,
    IssueView,
)

__all__ = [
    "PUBLIC_EVENTS",
    "DraftIssue",
    "GetIssue",
    "IssueDrafted",
    "IssueStatus",
    "IssueView",
    "MarketAnswer",
    "MarketCommand",
    "MarketEvent",
]

IssueCommand: TypeAlias = DraftIssue | GetIssue
IssueEvent: TypeAlias = IssueDrafted
MarketCommand: TypeAlias = IssueCommand
MarketEvent: TypeAlias = IssueEvent
MarketAnswer: TypeAlias = IssueView
PUBLIC_EVENTS = frozenset({IssueDrafted})
