"""Share issues: a song's income cut into whole shares, offered, sold, and locked for a while."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.keys import derive_id


class IssueStatus(StrEnum):
    """draft → active ↔ paused → sold_out | terminated."""

    NONE = "none"
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    SOLD_OUT = "sold_out"
    TERMINATED = "terminated"


class LockReason(StrEnum):
    """Why shares may not be sold for a while."""

    VESTING = "vesting"
    LEGAL = "legal"
    REQUEST = "request"


def issue_id_of(song_id: str, generation: int) -> str:
    """The id of a song's first, second, … issue: a song cannot have two at a time.

    The next one comes after the one before was terminated without leaving a share.
    """
    return derive_id("share-issue", song_id, generation)


class DraftIssue(msgspec.Struct, frozen=True, tag=True):
    """Draft an issue of a song: `retained` of its `shares` stay the artist's, the rest is offered.

    cap_bps: the most that one user may own, of all shares.  generation: of the song's issues.
    locked: of the retained shares, until `locked_until_ms`.
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
    generation: int = 1
    locked: int = 0
    locked_until_ms: int = 0


class ActivateIssue(msgspec.Struct, frozen=True, tag=True):
    """Create the shares and offer them.

    earned_units: whole units of revenue that the song brought, which may open it to an issue; None:
    an admin opens it.
    """

    earned_units: int | None = None


class PauseIssue(msgspec.Struct, frozen=True, tag=True):
    """Stop the sale for now."""


class ResumeIssue(msgspec.Struct, frozen=True, tag=True):
    """Go on with the sale."""


class TerminateIssue(msgspec.Struct, frozen=True, tag=True):
    """End the sale for good; what is not sold goes back to the artist."""


class BuyShares(msgspec.Struct, frozen=True, tag=True):
    """Buy offered shares at the issue's price, which the buyer names so as not to be surprised."""

    purchase_id: str
    user_id: str
    shares: int
    price_minor: int


class LockShares(msgspec.Struct, frozen=True, tag=True):
    """Keep available shares of a user from being sold until a moment."""

    lock_id: str
    user_id: str
    shares: int
    until_ms: int
    reason: LockReason


class UnlockShares(msgspec.Struct, frozen=True, tag=True):
    """Timer: the time of some locks is over."""

    due_at_ms: int


class GetIssue(msgspec.Struct, frozen=True, tag=True):
    """Query: the issue as it stands."""


class GetHolding(msgspec.Struct, frozen=True, tag=True):
    """Query: what a user holds of the issue."""

    user_id: str


IssueCommand: TypeAlias = (
    DraftIssue
    | ActivateIssue
    | PauseIssue
    | ResumeIssue
    | TerminateIssue
    | BuyShares
    | LockShares
    | UnlockShares
    | GetIssue
    | GetHolding
)


class IssueView(msgspec.Struct, frozen=True, tag=True):
    """An issue as it stands. `sold`: of the offered shares; `revenue_minor` waits for its holders.

    voided: terminated without a share left, so that the song may be issued again.
    """

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
    generation: int
    voided: bool
    revenue_minor: int


class HoldingView(msgspec.Struct, frozen=True, tag=True):
    """A user's shares of an issue: ready to be sold, in open orders, locked; what they cost.

    reference_milliminor: INDEX in thousandths of a minor unit, where it was asked for and is known.
    """

    issue_id: str
    user_id: str
    currency: str
    available: int
    held: int
    locked: int
    buying: int
    cost_minor: int
    realised_minor: int
    reference_milliminor: int | None = None


class PurchaseView(msgspec.Struct, frozen=True, tag=True):
    """A purchase that was made, and what the buyer holds after it."""

    purchase_id: str
    shares: int
    paid_minor: int
    fee_minor: int
    holding: HoldingView


class LockView(msgspec.Struct, frozen=True, tag=True):
    """Locked shares, and what their owner holds after it."""

    lock_id: str
    shares: int
    until_ms: int
    reason: LockReason
    holding: HoldingView


IssueAnswer: TypeAlias = IssueView | HoldingView | PurchaseView | LockView


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
    generation: int = 1
    locked: int = 0
    locked_until_ms: int = 0


class IssueActivated(msgspec.Struct, frozen=True, tag=True):
    """Public: the shares exist; the artist has the retained ones, the others are for sale."""

    issue_id: str
    retained: int
    offered: int
    at_ms: int


class IssuePaused(msgspec.Struct, frozen=True, tag=True):
    """Public: the sale rests."""

    issue_id: str
    at_ms: int


class IssueResumed(msgspec.Struct, frozen=True, tag=True):
    """Public: the sale goes on."""

    issue_id: str
    at_ms: int


class IssueSoldOut(msgspec.Struct, frozen=True, tag=True):
    """Public: the last offered share is sold."""

    issue_id: str
    at_ms: int


class IssueTerminated(msgspec.Struct, frozen=True, tag=True):
    """Public: the sale is over, `returned` shares went back to the artist.

    voided: nobody but the artist held any, so all of them ceased to exist.
    """

    issue_id: str
    returned: int
    voided: bool
    at_ms: int


class SharesBought(msgspec.Struct, frozen=True, tag=True):
    """Public: to the buyer. `fee_minor` is the platform's part of `paid_minor`."""

    issue_id: str
    purchase_id: str
    user_id: str
    currency: str
    shares: int
    price_minor: int
    paid_minor: int
    fee_minor: int
    at_ms: int


class SharesSold(msgspec.Struct, frozen=True, tag=True):
    """Public: names no buyer; offered shares were bought. `sold`: of them, so far."""

    issue_id: str
    shares: int
    price_minor: int
    sold: int
    at_ms: int


class SharesWereLocked(msgspec.Struct, frozen=True, tag=True):
    """Public: to their owner alone."""

    issue_id: str
    lock_id: str
    user_id: str
    shares: int
    until_ms: int
    reason: LockReason
    at_ms: int


class SharesUnlocked(msgspec.Struct, frozen=True, tag=True):
    """Public: to their owner alone; the time of the lock is over."""

    issue_id: str
    lock_id: str
    user_id: str
    shares: int
    at_ms: int


class HoldingChanged(msgspec.Struct, frozen=True, tag=True):
    """Public: to its owner alone; what a user has of an issue now. Costs include fees."""

    issue_id: str
    user_id: str
    available: int
    held: int
    locked: int
    cost_minor: int
    realised_minor: int
    at_ms: int


IssueEvent: TypeAlias = (
    IssueDrafted
    | IssueActivated
    | IssuePaused
    | IssueResumed
    | IssueSoldOut
    | IssueTerminated
    | SharesBought
    | SharesSold
    | SharesWereLocked
    | SharesUnlocked
    | HoldingChanged
)
ISSUE_OWNER_EVENTS = (SharesBought, SharesWereLocked, SharesUnlocked, HoldingChanged)
PUBLIC_ISSUE_EVENTS = frozenset(
    {
        *ISSUE_OWNER_EVENTS,
        IssueDrafted,
        IssueActivated,
        IssuePaused,
        IssueResumed,
        IssueSoldOut,
        IssueTerminated,
        SharesSold,
    }
)
