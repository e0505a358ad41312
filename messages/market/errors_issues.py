"""What share issues, their sale, locks and distributions may answer instead of a result."""

from __future__ import annotations

from messages.errors import Conflict, Forbidden, Invalid, Limited, NotFound

# --- the issue ------------------------------------------------------------------------------------


class IssueNotFound(NotFound):
    """There is no such share issue."""

    code = "issue-not-found"


class IssueExists(Conflict):
    """This share issue was drafted before."""

    code = "issue-exists"


class BadIssue(Invalid):
    """A term of the issue is out of range; `field` says which."""

    code = "issue-invalid"


class NotYourSong(Forbidden):
    """Only the song's artist may issue or sell what is the song's."""

    code = "song-not-yours"


class NotYourIssue(Forbidden):
    """Only the artist of the issue may do this."""

    code = "issue-not-yours"


class SongNotOpen(Conflict):
    """The song has not earned enough to be issued; `needed` units open it, or an admin does."""

    code = "song-not-open"


class IssueNotDraft(Conflict):
    """The issue is no draft any more."""

    code = "issue-not-draft"


class IssueNotActive(Conflict):
    """The issue was not activated yet."""

    code = "issue-not-active"


class IssueNotPaused(Conflict):
    """The issue is not paused."""

    code = "issue-not-paused"


class IssueIsPaused(Conflict):
    """The issue is paused."""

    code = "issue-paused"


class IssueIsSoldOut(Conflict):
    """All offered shares are sold."""

    code = "issue-sold-out"


class IssueIsTerminated(Conflict):
    """The issue was terminated."""

    code = "issue-terminated"


# --- buying and owning ----------------------------------------------------------------------------


class BadPurchase(Invalid):
    """A fact about the purchase is out of range."""

    code = "purchase-invalid"


class PriceDiffers(Conflict):
    """The issue asks another price; `price_minor` says which."""

    code = "issue-price-differs"


class BelowMinimum(Invalid):
    """A purchase is of at least `minimum` shares."""

    code = "purchase-below-minimum"


class NotEnoughOffered(Conflict):
    """Fewer shares are left; `left` says how many."""

    code = "issue-not-enough-left"


class OwnIssue(Conflict):
    """An artist does not buy from the artist's own issue."""

    code = "issue-own"


class HolderCap(Conflict):
    """With all open orders filled you would own more than one may; `left` more are allowed."""

    code = "holder-cap"


class InsufficientShares(Conflict):
    """You do not own so many shares that are free."""

    code = "insufficient-shares"


class SharesLocked(Conflict):
    """You own the shares, and they are locked."""

    code = "shares-locked"


class BadLock(Invalid):
    """A fact about the lock is out of range."""

    code = "lock-invalid"


class LockExists(Conflict):
    """These shares were locked before."""

    code = "lock-exists"


class TooManyLocks(Limited):
    """The issue has as many locks as it may have."""

    code = "lock-limit-reached"


# --- revenue --------------------------------------------------------------------------------------


class BadRevenue(Invalid):
    """The revenue must be positive, within the limit, and of the issue's currency."""

    code = "revenue-invalid"


class RevenueInsufficient(Conflict):
    """Less revenue waits to be distributed; `left_minor` says how much."""

    code = "revenue-insufficient"


class DistributionNotFound(NotFound):
    """The issue has no such distribution."""

    code = "distribution-not-found"


class StatementNotFound(NotFound):
    """The distribution paid nothing to you."""

    code = "statement-not-found"


class BadCredit(Invalid):
    """A credit is positive and within the limit."""

    code = "credit-invalid"
