"""Cases and suspensions as state machines, and who may act on whom. Pure.

case        open ↔ claimed → resolved (dismiss | warn | suspend)
suspension  active → lapsed | overturned
appeal      none → pending → upheld | overturned | moot
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from domain.text import clean_text
from messages.moderation import (
    AlreadySuspended,
    AppealDecision,
    AppealExists,
    AppealStatus,
    AuthorityMissing,
    BadExplanation,
    BadReportText,
    BadSuspension,
    CaseClaimed,
    CaseNotClaimed,
    CaseResolved,
    CaseStatus,
    NoAppeal,
    NobodysTarget,
    Outcome,
    OwnSuspension,
    ReportLimit,
    SelfModeration,
    SelfReport,
    SuspensionOver,
    SuspensionStatus,
)
from messages.users import Role

DAY_MS = 24 * 60 * 60_000


class ModerationPolicy(msgspec.Struct, frozen=True):
    """Numbers of moderation. Raise `version` whenever one changes.

    claim_ms: how long a claim keeps others away.
    """

    version: int = 1
    max_text_chars: int = 1_000
    daily_reports: int = 50
    claim_ms: int = 30 * 60_000
    max_suspension_ms: int = 5 * 365 * DAY_MS


POLICY = ModerationPolicy()


class Case(msgspec.Struct, frozen=True):
    """A case as far as its rules need it. subject_id: whose the target is, if anybody's."""

    subject_id: str | None
    status: CaseStatus = CaseStatus.OPEN
    claimed_by: str | None = None
    claimed_at_ms: int | None = None
    outcome: Outcome | None = None
    explanation: str | None = None
    resolved_at_ms: int | None = None


class Suspension(msgspec.Struct, frozen=True):
    """A suspension as far as its rules need it. until_ms None: until an appeal is granted."""

    user_id: str
    moderator_id: str
    until_ms: int | None
    status: SuspensionStatus = SuspensionStatus.ACTIVE
    appeal: AppealStatus = AppealStatus.NONE
    appeal_text: str | None = None
    appealed_at_ms: int | None = None
    decided_by: str | None = None
    decided_at_ms: int | None = None
    decision_text: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What a moderator decides of a case. until_ms: of a suspension; None for no end."""

    outcome: Outcome
    explanation: str
    until_ms: int | None = None


def check_authority(actor_id: str, actor: Role, subject_id: str, subject: Role) -> None:
    """Who may act on whom. Raises SelfModeration, AuthorityMissing."""
    if actor_id == subject_id:
        raise SelfModeration
    if subject is Role.ADMIN and actor is not Role.ADMIN:
        raise AuthorityMissing


def check_report(
    reporter_id: str, subject_id: str | None, today: int, policy: ModerationPolicy = POLICY
) -> None:
    """Whether a user may report what is `subject_id`'s, after `today` reports of the last day."""
    if reporter_id == subject_id:
        raise SelfReport
    if today >= policy.daily_reports:
        raise ReportLimit(limit=policy.daily_reports)


def clean_report(raw: str | None, policy: ModerationPolicy = POLICY) -> str | None:
    """A report's text in normal form; it may be left out. Raises BadReportText."""
    if raw is None:
        return None
    text = clean_text(raw, policy.max_text_chars)
    if text is None:
        raise BadReportText(longest=policy.max_text_chars)
    return text


def clean_explanation(raw: str, policy: ModerationPolicy = POLICY) -> str:
    """Why a moderator decides as they do, or a user appeals. Raises BadExplanation."""
    text = clean_text(raw, policy.max_text_chars)
    if text is None:
        raise BadExplanation(longest=policy.max_text_chars)
    return text


def claim(case: Case, moderator_id: str, now_ms: int, policy: ModerationPolicy = POLICY) -> Case:
    """A moderator begins to work on a case, or goes on. Raises CaseResolved, CaseClaimed."""
    _check_unresolved(case)
    if case.subject_id == moderator_id:
        raise SelfModeration
    if case.status is CaseStatus.CLAIMED and case.claimed_by != moderator_id:
        assert case.claimed_at_ms is not None, "a claim has its moment"
        if now_ms < case.claimed_at_ms + policy.claim_ms:
            raise CaseClaimed
    return replace(case, status=CaseStatus.CLAIMED, claimed_by=moderator_id, claimed_at_ms=now_ms)


def release(case: Case, moderator_id: str) -> Case:
    """A moderator leaves a case to others. Raises CaseResolved, CaseNotClaimed."""
    _check_mine(case, moderator_id)
    return replace(case, status=CaseStatus.OPEN, claimed_by=None, claimed_at_ms=None)


def resolve(
    case: Case,
    moderator_id: str,
    verdict: Verdict,
    now_ms: int,
    policy: ModerationPolicy = POLICY,
) -> Case:
    """Decide a claimed case. Raises CaseResolved, CaseNotClaimed, NobodysTarget, BadSuspension."""
    _check_mine(case, moderator_id)
    if verdict.outcome is not Outcome.DISMISS and case.subject_id is None:
        raise NobodysTarget
    _check_until(verdict, now_ms, policy)
    return replace(
        case,
        status=CaseStatus.RESOLVED,
        outcome=verdict.outcome,
        explanation=verdict.explanation,
        resolved_at_ms=now_ms,
    )


def check_can_be_suspended(status: str) -> None:
    """Whether an account of that status can be. Raises AlreadySuspended."""
    if status == "suspended":
        raise AlreadySuspended


def appeal(suspension: Suspension, text: str, now_ms: int) -> Suspension:
    """The suspended user appeals, once. Raises SuspensionOver, AppealExists."""
    if suspension.status is not SuspensionStatus.ACTIVE or is_due(suspension, now_ms):
        raise SuspensionOver
    if suspension.appeal is not AppealStatus.NONE:
        raise AppealExists
    return replace(suspension, appeal=AppealStatus.PENDING, appeal_text=text, appealed_at_ms=now_ms)


def decide_appeal(
    suspension: Suspension, moderator_id: str, decision: AppealDecision, text: str, now_ms: int
) -> Suspension:
    """Another moderator decides. Raises NoAppeal, OwnSuspension, SelfModeration."""
    if suspension.appeal is not AppealStatus.PENDING:
        raise NoAppeal
    if suspension.moderator_id == moderator_id:
        raise OwnSuspension
    if suspension.user_id == moderator_id:
        raise SelfModeration
    granted = decision is AppealDecision.OVERTURN
    return replace(
        suspension,
        status=SuspensionStatus.OVERTURNED if granted else suspension.status,
        appeal=AppealStatus.OVERTURNED if granted else AppealStatus.UPHELD,
        decided_by=moderator_id,
        decided_at_ms=now_ms,
        decision_text=text,
    )


def is_due(suspension: Suspension, now_ms: int) -> bool:
    """Whether the time of an active suspension is over."""
    until = suspension.until_ms
    active = suspension.status is SuspensionStatus.ACTIVE
    return active and until is not None and until <= now_ms


def lapse(suspension: Suspension, now_ms: int) -> Suspension:
    """End a suspension whose time is over; an appeal that waits has lost its object."""
    if not is_due(suspension, now_ms):
        return suspension
    waits = suspension.appeal is AppealStatus.PENDING
    return replace(
        suspension,
        status=SuspensionStatus.LAPSED,
        appeal=AppealStatus.MOOT if waits else suspension.appeal,
    )


def _check_unresolved(case: Case) -> None:
    if case.status is CaseStatus.RESOLVED:
        raise CaseResolved


def _check_mine(case: Case, moderator_id: str) -> None:
    _check_unresolved(case)
    if case.claimed_by != moderator_id:
        raise CaseNotClaimed


def _check_until(verdict: Verdict, now_ms: int, policy: ModerationPolicy) -> None:
    until = verdict.until_ms
    if until is None:
        return
    longest = now_ms + policy.max_suspension_ms
    if verdict.outcome is not Outcome.SUSPEND or not now_ms < until <= longest:
        raise BadSuspension
