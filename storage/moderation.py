"""Reports, cases and suspensions in PostgreSQL."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from domain.moderation import Case, Suspension
from messages.moderation import (
    AlreadyReported,
    AppealStatus,
    CaseStatus,
    Outcome,
    ReportReason,
    SuspensionStatus,
    TargetKind,
)
from storage.database import Connection, Pool

OWNER_OF_USER = "select user_id::text from users.users where user_id = $1 and status <> 'deleted'"
OWNER_OF_ARTIST = "select coalesce(user_id::text, '') from music.artists where artist_id = $1"
OWNER_OF_SONG = """
select coalesce(a.user_id::text, '') from music.songs s join music.artists a using (artist_id)
where s.song_id = $1"""
REPORTS_SINCE = "select count(*) from moderation.reports where reporter_id = $1 and at_ms > $2"
OPEN_CASE = """
insert into moderation.cases as c (case_id, target_kind, target_id, subject_id, opened_at_ms)
values ($1, $2, $3, $4, $5)
on conflict (target_kind, target_id) where status <> 'resolved'
do update set reports = c.reports + 1
returning case_id::text"""
ADD_REPORT = """
insert into moderation.reports (report_id, case_id, reporter_id, reason, text, at_ms)
values ($1, $2, $3, $4, $5, $6)"""
_CASE = """
c.case_id::text, c.target_kind, c.target_id::text, c.subject_id::text, c.status, c.reports,
c.opened_at_ms, c.claimed_by::text, c.claimed_at_ms, c.outcome, c.explanation, c.resolved_at_ms"""
GET_CASE = f"select {_CASE} from moderation.cases c where case_id = $1"  # noqa: S608
LOCK_CASE = f"{GET_CASE} for update"
SET_CASE = """
update moderation.cases set status = $2, claimed_by = $3, claimed_at_ms = $4, outcome = $5,
    explanation = $6, resolved_at_ms = $7
where case_id = $1"""
LIST_CASES = f"""
select {_CASE} from moderation.cases c
where c.status = $1 and ($2::uuid is null or c.claimed_by = $2)
  and (c.opened_at_ms, c.case_id) > ($3, $4)
order by c.opened_at_ms, c.case_id limit $5"""  # noqa: S608 - constants
REPORTS_OF_CASE = """
select report_id::text, reporter_id::text, reason, text, at_ms from moderation.reports
where case_id = $1 order by at_ms, report_id limit $2"""
REPORTS_OF_USER = """
select r.report_id::text, c.target_kind, c.target_id::text, r.reason, r.text, r.at_ms, c.status
from moderation.reports r join moderation.cases c using (case_id)
where r.reporter_id = $1 and (r.at_ms, r.report_id) < ($2, $3)
order by r.at_ms desc, r.report_id desc limit $4"""
ADD_SUSPENSION = """
insert into moderation.suspensions
    (suspension_id, user_id, case_id, moderator_id, explanation, prior_status, from_ms, until_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8)"""
_SUSPENSION = """
s.suspension_id::text, s.user_id::text, s.case_id::text, s.moderator_id::text, s.explanation,
s.prior_status, s.from_ms, s.until_ms, s.status, s.appeal, s.appeal_text, s.appealed_at_ms,
s.decided_by::text, s.decided_at_ms, s.decision_text"""
GET_SUSPENSION = f"select {_SUSPENSION} from moderation.suspensions s where suspension_id = $1"  # noqa: S608
LOCK_SUSPENSION = f"{GET_SUSPENSION} for update"
SET_SUSPENSION = """
update moderation.suspensions set status = $2, appeal = $3, appeal_text = $4, appealed_at_ms = $5,
    decided_by = $6, decided_at_ms = $7, decision_text = $8
where suspension_id = $1"""
SUSPENSIONS_OF_USER = f"""
select {_SUSPENSION} from moderation.suspensions s
where s.user_id = $1 and (s.from_ms, s.suspension_id) < ($2, $3)
order by s.from_ms desc, s.suspension_id desc limit $4"""  # noqa: S608 - constants
PENDING_APPEALS = f"""
select {_SUSPENSION} from moderation.suspensions s
where s.appeal = 'pending' and (s.appealed_at_ms, s.suspension_id) > ($1, $2)
order by s.appealed_at_ms, s.suspension_id limit $3"""  # noqa: S608 - constants
DUE = """
select suspension_id::text, user_id::text from moderation.suspensions
where status = 'active' and until_ms <= $1 order by until_ms limit $2"""
SET_STATUS = "update users.users set status = $2 where user_id = $1 and status = $3"


class CaseRow(msgspec.Struct, frozen=True):
    """A case with what it is about."""

    case_id: str
    target_kind: TargetKind
    target_id: str
    reports: int
    opened_at_ms: int
    case: Case


class ReportRow(msgspec.Struct, frozen=True):
    """A report as moderators see it."""

    report_id: str
    reporter_id: str
    reason: ReportReason
    text: str | None
    at_ms: int


class OwnReport(msgspec.Struct, frozen=True):
    """A report as whoever made it sees it."""

    report_id: str
    target_kind: TargetKind
    target_id: str
    reason: ReportReason
    text: str | None
    at_ms: int
    status: CaseStatus


class SuspensionRow(msgspec.Struct, frozen=True):
    """A suspension with why it is. prior_status: what the account goes back to."""

    suspension_id: str
    case_id: str
    explanation: str
    prior_status: str
    from_ms: int
    suspension: Suspension


class Report(msgspec.Struct, frozen=True):
    """A new report."""

    report_id: str
    reporter_id: str
    kind: TargetKind
    target_id: str
    reason: ReportReason
    text: str | None
    at_ms: int


async def owner_of(connection: Connection | Pool, kind: TargetKind, target_id: str) -> str | None:
    """Whose a target is; `""` if it is nobody's, None if there is no such target."""
    queries = {
        TargetKind.USER: OWNER_OF_USER,
        TargetKind.ARTIST: OWNER_OF_ARTIST,
        TargetKind.SONG: OWNER_OF_SONG,
    }
    owner: str | None = await connection.fetchval(queries[kind], target_id)
    return owner


async def reports_since(connection: Connection | Pool, reporter_id: str, since_ms: int) -> int:
    """How much a user reported after a moment."""
    return int(await connection.fetchval(REPORTS_SINCE, reporter_id, since_ms))


async def add_report(
    connection: Connection, report: Report, case_id: str, subject_id: str | None
) -> None:
    """Add a report to the target's unresolved case, or open one. Raises AlreadyReported."""
    r = report
    found = await connection.fetchval(
        OPEN_CASE, case_id, r.kind.value, r.target_id, subject_id, r.at_ms
    )
    try:
        await connection.execute(
            ADD_REPORT, r.report_id, found, r.reporter_id, r.reason.value, r.text, r.at_ms
        )
    except asyncpg.UniqueViolationError:
        raise AlreadyReported from None


async def get_case(connection: Connection | Pool, case_id: str) -> CaseRow | None:
    """The case, if there is one."""
    row = await connection.fetchrow(GET_CASE, case_id)
    return None if row is None else _case(row)


async def lock_case(connection: Connection, case_id: str) -> CaseRow | None:
    """The case, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(LOCK_CASE, case_id)
    return None if row is None else _case(row)


async def set_case(connection: Connection, case_id: str, case: Case) -> None:
    """Write where a locked case stands."""
    c = case
    outcome = c.outcome.value if c.outcome else None
    await connection.execute(
        SET_CASE, case_id, c.status.value, c.claimed_by, c.claimed_at_ms, outcome, c.explanation,
        c.resolved_at_ms,
    )  # fmt: skip


async def list_cases(
    connection: Connection | Pool,
    status: CaseStatus,
    claimed_by: str | None,
    after: tuple[int, str],
    limit: int,
) -> list[CaseRow]:
    """Cases of a status, oldest first."""
    rows = await connection.fetch(LIST_CASES, status.value, claimed_by, *after, limit)
    return [_case(row) for row in rows]


async def reports_of_case(
    connection: Connection | Pool, case_id: str, limit: int
) -> list[ReportRow]:
    """The first reports of a case."""
    rows = await connection.fetch(REPORTS_OF_CASE, case_id, limit)
    return [ReportRow(**{**row, "reason": ReportReason(row["reason"])}) for row in rows]


async def reports_of_user(
    connection: Connection | Pool, reporter_id: str, before: tuple[int, str], limit: int
) -> list[OwnReport]:
    """What a user reported, newest first."""
    rows = await connection.fetch(REPORTS_OF_USER, reporter_id, *before, limit)
    return [msgspec.convert(dict(row), OwnReport) for row in rows]


async def add_suspension(connection: Connection, row: SuspensionRow) -> None:
    """Insert a suspension that begins."""
    s = row.suspension
    await connection.execute(
        ADD_SUSPENSION, row.suspension_id, s.user_id, row.case_id, s.moderator_id, row.explanation,
        row.prior_status, row.from_ms, s.until_ms,
    )  # fmt: skip


async def get_suspension(connection: Connection | Pool, suspension_id: str) -> SuspensionRow | None:
    """The suspension, if there is one."""
    row = await connection.fetchrow(GET_SUSPENSION, suspension_id)
    return None if row is None else _suspension(row)


async def lock_suspension(connection: Connection, suspension_id: str) -> SuspensionRow | None:
    """The suspension, which nobody else changes until the transaction ends."""
    row = await connection.fetchrow(LOCK_SUSPENSION, suspension_id)
    return None if row is None else _suspension(row)


async def set_suspension(
    connection: Connection, suspension_id: str, suspension: Suspension
) -> None:
    """Write where a locked suspension stands."""
    s = suspension
    await connection.execute(
        SET_SUSPENSION, suspension_id, s.status.value, s.appeal.value, s.appeal_text,
        s.appealed_at_ms, s.decided_by, s.decided_at_ms, s.decision_text,
    )  # fmt: skip


async def suspensions_of_user(
    connection: Connection | Pool, user_id: str, before: tuple[int, str], limit: int
) -> list[SuspensionRow]:
    """A user's suspensions, newest first."""
    rows = await connection.fetch(SUSPENSIONS_OF_USER, user_id, *before, limit)
    return [_suspension(row) for row in rows]


async def pending_appeals(
    connection: Connection | Pool, after: tuple[int, str], limit: int
) -> list[SuspensionRow]:
    """Suspensions whose appeal waits for a decision, the one that waits longest first."""
    return [_suspension(row) for row in await connection.fetch(PENDING_APPEALS, *after, limit)]


async def due(connection: Connection | Pool, now_ms: int, limit: int) -> list[tuple[str, str]]:
    """(suspension id, user id) of active suspensions whose time is over."""
    return [tuple(row) for row in await connection.fetch(DUE, now_ms, limit)]


async def set_status(connection: Connection, user_id: str, status: str, was: str) -> bool:
    """Change the status of a locked user's account. False if it was not `was`."""
    return bool(await connection.execute(SET_STATUS, user_id, status, was) == "UPDATE 1")


def _case(row: Any) -> CaseRow:
    outcome = Outcome(row["outcome"]) if row["outcome"] else None
    case = Case(
        row["subject_id"], CaseStatus(row["status"]), row["claimed_by"], row["claimed_at_ms"],
        outcome, row["explanation"], row["resolved_at_ms"],
    )  # fmt: skip
    kind = TargetKind(row["target_kind"])
    return CaseRow(
        row["case_id"], kind, row["target_id"], row["reports"], row["opened_at_ms"], case
    )


def _suspension(row: Any) -> SuspensionRow:
    suspension = Suspension(
        row["user_id"], row["moderator_id"], row["until_ms"], SuspensionStatus(row["status"]),
        AppealStatus(row["appeal"]), row["appeal_text"], row["appealed_at_ms"], row["decided_by"],
        row["decided_at_ms"], row["decision_text"],
    )  # fmt: skip
    return SuspensionRow(
        row["suspension_id"], row["case_id"], row["explanation"], row["prior_status"],
        row["from_ms"], suspension,
    )  # fmt: skip
