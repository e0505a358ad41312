"""Moderation: what is reported and why, what comes of it. Errors and facts."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.artists import RequestKind
from messages.errors import Conflict, Forbidden, Invalid, Limited, NotFound, Unauthenticated


class TargetKind(StrEnum):
    """What can be reported."""

    USER = "user"
    ARTIST = "artist"
    SONG = "song"


class ReportReason(StrEnum):
    """Why something is reported."""

    SPAM = "spam"
    HARASSMENT = "harassment"
    HATE = "hate"
    SEXUAL = "sexual"
    VIOLENCE = "violence"
    COPYRIGHT = "copyright"
    IMPERSONATION = "impersonation"
    FRAUD = "fraud"
    OTHER = "other"


class CaseStatus(StrEnum):
    """open ↔ claimed → resolved."""

    OPEN = "open"
    CLAIMED = "claimed"
    RESOLVED = "resolved"


class Outcome(StrEnum):
    """What a moderator decides."""

    DISMISS = "dismiss"
    WARN = "warn"
    SUSPEND = "suspend"


class SuspensionStatus(StrEnum):
    """active → lapsed (its time is over) | overturned (an appeal was granted)."""

    ACTIVE = "active"
    LAPSED = "lapsed"
    OVERTURNED = "overturned"


class AppealStatus(StrEnum):
    """none → pending → upheld | overturned | moot (the suspension ended first)."""

    NONE = "none"
    PENDING = "pending"
    UPHELD = "upheld"
    OVERTURNED = "overturned"
    MOOT = "moot"


class AppealDecision(StrEnum):
    """What another moderator decides about an appeal."""

    UPHOLD = "uphold"
    OVERTURN = "overturn"


# --- errors -------------------------------------------------------------------------------------


class BadReportText(Invalid):
    """A report's text has at most 1,000 characters, and something to see."""

    code = "report-text-invalid"


class BadExplanation(Invalid):
    """An explanation has 1 to 1,000 visible characters."""

    code = "explanation-invalid"


class BadSuspension(Invalid):
    """A suspension ends in the future, within five years; nothing else has an end."""

    code = "suspension-invalid"


class SelfReport(Conflict):
    """Nobody reports themselves or what is theirs."""

    code = "self-report"


class AlreadyReported(Conflict):
    """You reported this already; a moderator will look at it."""

    code = "already-reported"


class ReportLimit(Limited):
    """You reported as much as anybody may in a day."""

    code = "report-limit-reached"


class CaseNotFound(NotFound):
    """There is no such case."""

    code = "case-not-found"


class CaseClaimed(Conflict):
    """Another moderator works on this case."""

    code = "case-claimed"


class CaseNotClaimed(Conflict):
    """Claim the case first."""

    code = "case-not-claimed"


class CaseResolved(Conflict):
    """This case is resolved."""

    code = "case-resolved"


class NobodysTarget(Conflict):
    """What was reported is no user's, so there is nobody to warn or suspend."""

    code = "case-without-user"


class SelfModeration(Forbidden):
    """Nobody decides about themselves."""

    code = "self-moderation"


class AuthorityMissing(Forbidden):
    """Only an admin acts on an admin."""

    code = "authority-missing"


class AccountSuspended(Forbidden):
    """This account is suspended; the letter about it says why, and how to appeal."""

    code = "account-suspended"


class AlreadySuspended(Conflict):
    """This user is suspended already."""

    code = "already-suspended"


class SuspensionNotFound(NotFound):
    """There is no such suspension."""

    code = "suspension-not-found"


class AppealTokenInvalid(Unauthenticated):
    """This is not the code of a suspension that can be appealed."""

    code = "appeal-token-invalid"


class AppealExists(Conflict):
    """This suspension was appealed already."""

    code = "appeal-exists"


class SuspensionOver(Conflict):
    """This suspension is over."""

    code = "suspension-over"


class NoAppeal(Conflict):
    """No appeal of this suspension waits for a decision."""

    code = "appeal-not-pending"


class OwnSuspension(Forbidden):
    """Another moderator than the one who suspended decides about the appeal."""

    code = "appeal-own-suspension"


# --- events -------------------------------------------------------------------------------------


class UserWarned(msgspec.Struct, frozen=True, tag=True):
    """A moderator warned a user. Why, they are told by mail."""

    user_id: str
    case_id: str
    at_ms: int


class UserSuspended(msgspec.Struct, frozen=True, tag=True):
    """A moderator suspended a user. until_ms 0: until an appeal is granted."""

    user_id: str
    suspension_id: str
    until_ms: int
    at_ms: int


class UserReinstated(msgspec.Struct, frozen=True, tag=True):
    """A suspension is over."""

    user_id: str
    suspension_id: str
    because: SuspensionStatus
    at_ms: int


class AppealFiled(msgspec.Struct, frozen=True, tag=True):
    """A suspended user appealed."""

    user_id: str
    suspension_id: str
    at_ms: int


class AppealDecided(msgspec.Struct, frozen=True, tag=True):
    """Another moderator decided about an appeal."""

    user_id: str
    suspension_id: str
    decision: AppealDecision
    at_ms: int


class ArtistRequestDecided(msgspec.Struct, frozen=True, tag=True):
    """To its user, on the stream `users`: what a moderator decided of a request."""

    user_id: str
    request_id: str
    artist_id: str
    kind: RequestKind
    approved: bool
    at_ms: int


ModerationEvent: TypeAlias = (
    UserWarned | UserSuspended | UserReinstated | AppealFiled | AppealDecided | ArtistRequestDecided
)
