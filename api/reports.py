"""Report a user, an artist or a song; appeal a suspension."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import Member, public
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import ServicesDep
from api.users_people import check_active
from domain import moderation as domain
from integrations import appeal_tokens
from messages.moderation import (
    AppealFiled,
    AppealStatus,
    AppealTokenInvalid,
    CaseStatus,
    ReportReason,
    TargetKind,
)
from messages.music import ArtistNotFound, SongNotFound
from messages.users import UserNotFound
from storage import audit, users_events
from storage import moderation as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["moderation"])

REPORT = "POST /api/v1/reports"
MAX_TEXT = 8_192  # of a field, before its rule is asked

LongText = Annotated[str, Field(max_length=MAX_TEXT, description="1 to 1,000 visible characters.")]


class NewReport(Input):
    """Something that a moderator should look at."""

    target_kind: TargetKind
    target_id: UUID
    reason: ReportReason
    text: LongText | None = None


class Report(BaseModel):
    """What the caller reported, and whether it was looked at."""

    report_id: UUID
    target_kind: TargetKind
    target_id: UUID
    reason: ReportReason
    text: str | None
    status: CaseStatus
    at_ms: int = Field(description="Epoch milliseconds.")


class NewAppeal(Input):
    """An appeal of a suspension."""

    token: Annotated[str, Field(max_length=200, description="The code of the letter about it.")]
    text: LongText


class Appeal(BaseModel):
    """An appeal that waits for a decision."""

    suspension_id: UUID
    status: AppealStatus
    appealed_at_ms: int = Field(description="Epoch milliseconds.")


@router.post(
    "/reports",
    status_code=201,
    response_model=Report,
    responses=problems(401, 403, 404, 409, 429, replayed=True),
)
async def report_something(
    body: NewReport, key: KeyHeader, subject: Member, services: ServicesDep
) -> Response:
    """Report something. One report of each target until a moderator has decided."""
    text = domain.clean_report(body.text)
    made = attempt(
        command_key(subject.user_id, REPORT, key),
        services.settings.fingerprint_secret,
        *(body.target_kind.value, str(body.target_id), body.reason.value, text or ""),
    )
    report_id, case_id, at_ms = services.new_id(), services.new_id(), services.clock()
    target = (body.target_kind, str(body.target_id))

    async def change(connection: Connection) -> Report:
        await check_active(connection, subject.user_id)
        owner = await storage.owner_of(connection, *target)
        if owner is None:
            raise _NOT_FOUND[body.target_kind]
        today = await storage.reports_since(connection, subject.user_id, at_ms - domain.DAY_MS)
        domain.check_report(subject.user_id, owner or None, today)
        report = storage.Report(report_id, subject.user_id, *target, body.reason, text, at_ms)
        await storage.add_report(connection, report, case_id, owner or None)
        return Report(
            report_id=UUID(report_id),
            target_kind=body.target_kind,
            target_id=body.target_id,
            reason=body.reason,
            text=text,
            status=CaseStatus.OPEN,
            at_ms=at_ms,
        )

    return await once(services.pool, made, at_ms, 201, change)


@router.get("/users/me/reports", responses=problems(401, 403))
async def list_own_reports(
    subject: Member,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Report]:
    """What the caller reported, newest first."""
    before = place_of(cursor)
    found = await storage.reports_of_user(services.pool, subject.user_id, before, limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.report_id), _report)


@router.put("/appeals", responses=problems(401, 409))
@public
async def appeal_suspension(body: NewAppeal, services: ServicesDep) -> Appeal:
    """Appeal a suspension, once, with the code that was mailed: who is suspended cannot sign in."""
    text = domain.clean_explanation(body.text)
    suspension_id = appeal_tokens.parse(services.settings.fingerprint_secret, body.token)
    known = await storage.get_suspension(services.pool, suspension_id) if suspension_id else None
    if known is None:
        raise AppealTokenInvalid
    user_id, at_ms = known.suspension.user_id, services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        row = await storage.lock_suspension(connection, known.suspension_id)
        assert row is not None, "suspensions are not deleted"
        after = domain.appeal(row.suspension, text, at_ms)
        await storage.set_suspension(connection, known.suspension_id, after)
        fact = AppealFiled(user_id, known.suspension_id, at_ms)
        await users_events.tell(connection, user_id, [fact], at_ms)
        await audit.record(
            connection,
            "appeal.filed",
            actor=user_id,
            subject=f"user:{user_id}",
            at_ms=at_ms,
            detail={"suspension": known.suspension_id},
        )
    return Appeal(
        suspension_id=UUID(known.suspension_id), status=after.appeal, appealed_at_ms=at_ms
    )


_NOT_FOUND = {
    TargetKind.USER: UserNotFound,
    TargetKind.ARTIST: ArtistNotFound,
    TargetKind.SONG: SongNotFound,
}


def _report(row: storage.OwnReport) -> Report:
    return Report(
        report_id=UUID(row.report_id),
        target_kind=row.target_kind,
        target_id=UUID(row.target_id),
        reason=row.reason,
        text=row.text,
        status=row.status,
        at_ms=row.at_ms,
    )
