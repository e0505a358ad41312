"""The moderators' queue: cases, what is decided of them, appeals."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Moderator
from api.inputs import Amount, Input
from api.openapi import problems
from api.pagination import (
    DEFAULT_LIMIT,
    CursorQuery,
    LimitQuery,
    Page,
    page,
    place_after,
    place_of,
)
from api.reports import LongText
from api.services import Services, ServicesDep
from domain import moderation as domain
from integrations import appeal_tokens
from messages.mail import Template
from messages.moderation import (
    AppealDecided,
    AppealDecision,
    AppealStatus,
    CaseNotFound,
    CaseStatus,
    Outcome,
    ReportReason,
    SuspensionNotFound,
    SuspensionStatus,
    TargetKind,
)
from messages.users import UserNotFound
from storage import audit, mail, users_events, users_people
from storage import moderation as storage
from storage import moderation_sanctions as sanctions
from storage import users as users_storage
from storage.database import Connection
from storage.moderation_sanctions import Sanction

router = APIRouter(prefix="/api/v1/moderation", tags=["moderation"])

SHOWN_REPORTS = 100


class CaseReport(BaseModel):
    """A report of the case's target."""

    report_id: UUID
    reporter_id: UUID
    reason: ReportReason
    text: str | None
    at_ms: int = Field(description="Epoch milliseconds.")


class Case(BaseModel):
    """All reports of one target, to be decided together."""

    case_id: UUID
    target_kind: TargetKind
    target_id: UUID
    subject_id: UUID | None = Field(description="The user whose the target is, if anybody's.")
    status: CaseStatus
    reports: int
    opened_at_ms: int
    claimed_by: UUID | None
    claimed_at_ms: int | None
    outcome: Outcome | None
    explanation: str | None
    resolved_at_ms: int | None


class CaseDetail(Case):
    """A case with its reports."""

    reported: list[CaseReport] = Field(description="At most the first 100.")


class Resolution(Input):
    """What a moderator decides."""

    outcome: Outcome
    explanation: LongText
    until_ms: Amount | None = Field(
        None, description="Of a suspension; null: until an appeal is granted. At most five years."
    )


class Suspension(BaseModel):
    """A suspension, and what came of its appeal."""

    suspension_id: UUID
    user_id: UUID
    case_id: UUID
    moderator_id: UUID
    explanation: str
    from_ms: int
    until_ms: int | None
    status: SuspensionStatus
    appeal: AppealStatus
    appeal_text: str | None
    appealed_at_ms: int | None
    decided_by: UUID | None
    decided_at_ms: int | None
    decision_text: str | None


class Decision(Input):
    """What another moderator decides about an appeal."""

    decision: AppealDecision
    explanation: LongText


@router.get("/cases", responses=problems(401, 403))
async def list_cases(
    subject: Moderator,
    services: ServicesDep,
    status: Annotated[CaseStatus, Query(description="Only of this status.")] = CaseStatus.OPEN,
    mine: Annotated[bool, Query(description="Only those that the caller claimed.")] = False,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Case]:
    """Cases, oldest first."""
    after = place_after(cursor)
    claimed_by = subject.user_id if mine else None
    found = await storage.list_cases(services.pool, status, claimed_by, after, limit + 1)
    return page(found, limit, lambda row: (row.opened_at_ms, row.case_id), _case)


@router.get("/cases/{case_id}", responses=problems(401, 403, 404))
async def get_case(case_id: UUID, subject: Moderator, services: ServicesDep) -> CaseDetail:
    """A case and what was reported."""
    row = await _find(services, case_id)
    reports = await storage.reports_of_case(services.pool, row.case_id, SHOWN_REPORTS)
    shown = [CaseReport(**msgspec.structs.asdict(report)) for report in reports]
    return CaseDetail(**_case(row).model_dump(), reported=shown)


@router.put("/cases/{case_id}/claim", responses=problems(401, 403, 404, 409))
async def claim_case(case_id: UUID, subject: Moderator, services: ServicesDep) -> Case:
    """Work on a case: for half an hour nobody else may. Again begins the half hour anew."""
    at_ms = services.clock()
    await _check_subject(services, subject.user_id, await _find(services, case_id))
    async with services.pool.acquire() as connection, connection.transaction():
        row = await _lock(connection, case_id)
        after = domain.claim(row.case, subject.user_id, at_ms)
        return await _written(connection, row, after, "case.claimed", subject.user_id, at_ms)


@router.delete("/cases/{case_id}/claim", responses=problems(401, 403, 404, 409))
async def release_case(case_id: UUID, subject: Moderator, services: ServicesDep) -> Case:
    """Leave a case that one claimed to others."""
    async with services.pool.acquire() as connection, connection.transaction():
        row = await _lock(connection, case_id)
        after = domain.release(row.case, subject.user_id)
        at_ms = services.clock()
        return await _written(connection, row, after, "case.released", subject.user_id, at_ms)


@router.put("/cases/{case_id}/resolution", responses=problems(401, 403, 404, 409))
async def resolve_case(
    case_id: UUID, body: Resolution, subject: Moderator, services: ServicesDep
) -> Case:
    """Decide a case that one claimed: nothing, a warning, or a suspension. The user is told why."""
    verdict = domain.Verdict(
        body.outcome, domain.clean_explanation(body.explanation), body.until_ms
    )
    known, at_ms = await _find(services, case_id), services.clock()
    await _check_subject(services, subject.user_id, known)
    async with services.pool.acquire() as connection, connection.transaction():
        if known.case.subject_id is not None:
            await users_events.lock(connection, known.case.subject_id)
        row = await _lock(connection, case_id)
        after = domain.resolve(row.case, subject.user_id, verdict, at_ms)
        await _sanction(services, connection, row, verdict, subject.user_id, at_ms)
        return await _written(connection, row, after, "case.resolved", subject.user_id, at_ms)


@router.get("/users/{user_id}/suspensions", responses=problems(401, 403))
async def list_suspensions(
    user_id: UUID,
    subject: Moderator,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Suspension]:
    """A user's suspensions, newest first."""
    before = place_of(cursor)
    found = await storage.suspensions_of_user(services.pool, str(user_id), before, limit + 1)
    return page(found, limit, lambda row: (row.from_ms, row.suspension_id), _suspension)


@router.get("/appeals", responses=problems(401, 403))
async def list_appeals(
    subject: Moderator,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Suspension]:
    """Suspensions whose appeal waits for a decision, the oldest first."""
    found = await storage.pending_appeals(services.pool, place_after(cursor), limit + 1)
    return page(
        found,
        limit,
        lambda row: (row.suspension.appealed_at_ms or 0, row.suspension_id),
        _suspension,
    )


@router.put("/appeals/{suspension_id}/decision", responses=problems(401, 403, 404, 409))
async def decide_appeal(
    suspension_id: UUID, body: Decision, subject: Moderator, services: ServicesDep
) -> Suspension:
    """Decide about an appeal: another moderator than the one who suspended."""
    text = domain.clean_explanation(body.explanation)
    known = await storage.get_suspension(services.pool, str(suspension_id))
    if known is None:
        raise SuspensionNotFound
    user_id, at_ms = known.suspension.user_id, services.clock()
    await _check_authority(services, subject.user_id, user_id)
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        row = await storage.lock_suspension(connection, known.suspension_id)
        assert row is not None, "suspensions are not deleted"
        after = domain.decide_appeal(row.suspension, subject.user_id, body.decision, text, at_ms)
        await storage.set_suspension(connection, row.suspension_id, after)
        fact = AppealDecided(user_id, row.suspension_id, body.decision, at_ms)
        await users_events.tell(connection, user_id, [fact], at_ms)
        await audit.record(
            connection,
            "appeal.decided",
            actor=subject.user_id,
            subject=f"user:{user_id}",
            at_ms=at_ms,
            detail={"suspension": row.suspension_id, "decision": body.decision.value},
        )
        if after.status is SuspensionStatus.OVERTURNED:
            await sanctions.reinstate(connection, row, after.status, subject.user_id, at_ms)
        else:
            name = await users_people.name_of(connection, user_id) or ""
            values = {"username": name, "explanation": text}
            await mail.notify(connection, user_id, Template.APPEAL_UPHELD, values, at_ms)
    return _suspension(msgspec.structs.replace(row, suspension=after))


async def _sanction(
    services: Services,
    connection: Connection,
    row: storage.CaseRow,
    verdict: domain.Verdict,
    moderator_id: str,
    at_ms: int,
) -> None:
    if verdict.outcome is Outcome.DISMISS:
        return
    user_id = row.case.subject_id
    assert user_id is not None, "the case could be resolved so"
    sanction = Sanction(row.case_id, user_id, moderator_id, verdict.explanation, at_ms)
    if verdict.outcome is Outcome.WARN:
        await sanctions.warn(connection, sanction)
        return
    suspension_id = services.new_id()
    token = appeal_tokens.make(services.settings.fingerprint_secret, suspension_id)
    await sanctions.suspend(connection, sanction, suspension_id, verdict.until_ms, token)


async def _check_subject(services: Services, moderator_id: str, row: storage.CaseRow) -> None:
    """Whether the moderator may decide about whose the target is."""
    if row.case.subject_id is not None:
        await _check_authority(services, moderator_id, row.case.subject_id)


async def _check_authority(services: Services, moderator_id: str, user_id: str) -> None:
    """By the roles of this moment, not those of the token. Raises a leaf of Forbidden."""
    actor = await users_storage.get_user(services.pool, moderator_id)
    if actor is None:
        raise UserNotFound
    subject = await users_storage.get_user(services.pool, user_id)
    if subject is not None:  # else the account is gone, and there is nobody to protect
        domain.check_authority(moderator_id, actor.role, user_id, subject.role)


async def _find(services: Services, case_id: UUID) -> storage.CaseRow:
    row = await storage.get_case(services.pool, str(case_id))
    if row is None:
        raise CaseNotFound
    return row


async def _lock(connection: Connection, case_id: UUID) -> storage.CaseRow:
    row = await storage.lock_case(connection, str(case_id))
    if row is None:
        raise CaseNotFound
    return row


async def _written(
    connection: Connection,
    row: storage.CaseRow,
    after: domain.Case,
    action: str,
    moderator_id: str,
    at_ms: int,
) -> Case:
    await storage.set_case(connection, row.case_id, after)
    detail = {"outcome": after.outcome.value} if after.outcome else {}
    await audit.record(
        connection,
        action,
        actor=moderator_id,
        subject=f"case:{row.case_id}",
        at_ms=at_ms,
        detail=detail,
    )
    return _case(msgspec.structs.replace(row, case=after))


def _case(row: storage.CaseRow) -> Case:
    fields = msgspec.structs.asdict(row)
    del fields["case"]
    return Case(**fields, **msgspec.structs.asdict(row.case))


def _suspension(row: storage.SuspensionRow) -> Suspension:
    fields = msgspec.structs.asdict(row)
    del fields["suspension"], fields["prior_status"]
    return Suspension(**fields, **msgspec.structs.asdict(row.suspension))
