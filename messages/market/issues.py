"""Share issues: a song's income, cut into whole shares."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class IssueStatus(StrEnum):
    """draft → active ↔ paused → sold_out | terminated."""

    NONE = "none"
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    SOLD_OUT = "sold_out"
    TERMINATED = "terminated"


class DraftIssue(msgspec.Struct, frozen=True, tag=True):
    """Draft an issue of a song: `retained` of its `shares` stay the artist's, the rest is offered.

    cap_bps: the most that one user may own, of all shares.
    """

    song_id: str
    artist_user_id: str
    currency: str
    shares: int
    retained: int
    price_minor: int
    minimum: int
    cap_bps: int
    tick_minor: int


class GetIssue(msgspec.Struct, frozen=True, tag=True):
    """Query: the issue as it stands."""


class IssueView(msgspec.Struct, frozen=True, tag=True):
    """An issue as it stands. `sold`: of the offered shares."""

    issue_id: str
    song_id: str
    artist_user_id: str
    status: IssueStatus
    currency: str
    shares: int
    retained: int
    sold: int
    price_minor: int
    minimum: int
    cap_bps: int
    tick_minor: int


class IssueDrafted(msgspec.Struct, frozen=True, tag=True):
    """Public: an artist prepares an issue."""

    issue_id: str
    song_id: str
    artist_user_id: str
    currency: str
    shares: int
    retained: int
    price_minor: int
    minimum: int
    cap_bps: int
    tick_minor: int
    at_ms: int
