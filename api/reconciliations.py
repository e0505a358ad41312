"""Providers' books compared with ours: asked for, reported, differences explained."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.auth import PaymentReviewer
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_after, place_of
from api.services import ServicesDep
from domain.payments.policy import DAY_MS
from domain.payments.reconciling import wanted
from messages.payments.gateways import GatewayName
from messages.payments.reconciliations import (
    BadPeriod,
    BooksNotRead,
    DifferenceKind,
    DifferenceState,
    KeptDifference,
    ReconciliationNotFound,
    Report,
    Run,
    RunState,
)
from messages.payments.records import EntryKind
from storage import audit
from storage import payments_differences as differences
from storage import payments_reconciliations as storage
from storage.database import Connection, Pool
from storage.rows import OLDEST

router = APIRouter(prefix="/api/v1", tags=["reconciliations"])

ASK = "POST /api/v1/reconciliations"
EXPLAIN = "POST /api/v1/payment-differences/{difference_id}/explanation"
MAX_DAYS = 31
CSV_PAGE = 500


class NewReconciliation(Input):
    """Which provider's books, and of which days."""

    gateway: GatewayName
    day: date = Field(description="The first, UTC.")
    days: int = Field(1, ge=1, le=MAX_DAYS)


class Explanation(Input):
    """Why a difference is as it is to be."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000)]


class Sums(BaseModel):
    """What moved in a currency, by both books, in minor units."""

    ours_minor: int
    theirs_minor: int


class ReconciliationReport(BaseModel):
    """What a comparison came to."""

    run_id: UUID
    gateway: GatewayName
    since_ms: int
    until_ms: int
    asked_by: str = Field(description="A user id, or platform for the daily one.")
    entries: int = Field(
        description="Of the provider's books, some before and after the period included."
    )
    charges: int
    totals: dict[str, Sums] = Field(description="By currency.")
    counts: dict[str, int] = Field(description="Differences, by their kind.")
    started_at_ms: int
    duration_ms: int
    at_ms: int


class Reconciliation(BaseModel):
    """A comparison, and how far it is."""

    run_id: UUID
    gateway: GatewayName
    since_ms: int
    until_ms: int
    asked_by: str
    asked_at_ms: int
    state: RunState
    entries: int = Field(description="Read so far.")
    charges: int = Field(description="Compared so far.")
    failures: int = Field(description="How often it broke off. It goes on where it was.")
    report: ReconciliationReport | None = Field(description="Null until it is done.")


class PaymentDifference(BaseModel):
    """Where a provider's books and ours do not say the same."""

    difference_id: UUID
    run_id: UUID = Field(description="The comparison that found it first.")
    gateway: GatewayName
    kind: DifferenceKind
    entry_kind: EntryKind
    charge_ref: str
    ref: str
    payment_id: UUID | None
    ours_minor: int
    our_currency: str
    theirs_minor: int
    their_currency: str
    at_ms: int
    found_at_ms: int
    state: DifferenceState


@router.post(
    "/reconciliations",
    status_code=202,
    responses=problems(403, 404, 409),
    response_model=Reconciliation,
)
async def start_reconciliation(
    body: NewReconciliation, key: KeyHeader, subject: PaymentReviewer, services: ServicesDep
) -> Response:
    """Have days compared again. It runs by itself; look at it by its id."""
    if body.gateway not in services.payments.gateways:
        raise BooksNotRead
    begins = datetime.combine(body.day, datetime.min.time(), UTC)
    since = int(begins.timestamp()) * 1_000
    until, now_ms = since + body.days * DAY_MS, services.clock()
    if since < 0 or until > now_ms:
        raise BadPeriod
    command = command_key(subject.user_id, ASK, key)
    run = wanted(body.gateway, since, until, subject.user_id, now_ms, command.hex())

    async def ask(connection: Connection) -> Reconciliation:
        await storage.ask(connection, run)
        await audit.record(
            connection,
            "reconciliation.asked",
            actor=subject.user_id,
            subject=f"reconciliation:{run.run_id}",
            at_ms=now_ms,
            detail={"gateway": run.gateway.value, "since_ms": since, "until_ms": until},
        )
        return _run(run, None)

    made = attempt(command, services.settings.fingerprint_secret, body.model_dump_json())
    return await once(services.pool, made, now_ms, 202, ask)


@router.get("/reconciliations")
async def list_reconciliations(
    subject: PaymentReviewer,
    services: ServicesDep,
    gateway: GatewayName | None = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[ReconciliationReport]:
    """Reports, newest first."""
    found = await storage.reports(services.pool, place_of(cursor), limit + 1, gateway)
    return page(found, limit, lambda row: (row.at_ms, row.run_id), _report)


@router.get("/reconciliations/{run_id}", responses=problems(404))
async def get_reconciliation(
    run_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> Reconciliation:
    """A comparison, how far it is, and its report once it is done."""
    run = await _find(services.pool, run_id)
    return _run(run, await storage.report(services.pool, run.run_id))


@router.get("/reconciliations/{run_id}/differences", responses=problems(404))
async def list_reconciliation_differences(
    run_id: UUID,
    subject: PaymentReviewer,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[PaymentDifference]:
    """What a comparison found, oldest first, and what became of it."""
    run = await _find(services.pool, run_id)
    found = await differences.of_run(services.pool, run.run_id, place_after(cursor), limit + 1)
    return page(found, limit, lambda row: (row.found_at_ms, row.difference_id), _difference)


@router.get(
    "/reconciliations/{run_id}/differences.csv",
    responses={**problems(404), 200: {"content": {"text/csv": {}}}},
    response_class=StreamingResponse,
)
async def export_reconciliation_differences(
    run_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> StreamingResponse:
    """All that a comparison found, as CSV."""
    run = await _find(services.pool, run_id)
    return StreamingResponse(_csv(services.pool, run.run_id), media_type="text/csv")


@router.get("/payment-differences")
async def list_payment_differences(
    subject: PaymentReviewer,
    services: ServicesDep,
    state: DifferenceState | None = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[PaymentDifference]:
    """Differences of all comparisons, newest first."""
    found = await differences.search(services.pool, place_of(cursor), limit + 1, state)
    return page(found, limit, lambda row: (row.found_at_ms, row.difference_id), _difference)


@router.post(
    "/payment-differences/{difference_id}/explanation",
    responses=problems(404, 409),
    response_model=PaymentDifference,
)
async def explain_payment_difference(
    difference_id: UUID,
    body: Explanation,
    key: KeyHeader,
    subject: PaymentReviewer,
    services: ServicesDep,
) -> Response:
    """Say why a difference is as it is to be; it is settled by that."""
    now_ms = services.clock()

    async def explain(connection: Connection) -> PaymentDifference:
        kept = await differences.explain(
            connection, str(difference_id), subject.user_id, body.reason, now_ms
        )
        return _difference(kept)

    command = command_key(subject.user_id, EXPLAIN.format(difference_id=difference_id), key)
    made = attempt(command, services.settings.fingerprint_secret, body.model_dump_json())
    return await once(services.pool, made, now_ms, 200, explain)


async def _find(pool: Pool, run_id: UUID) -> Run:
    run = await storage.find(pool, str(run_id))
    if run is None:
        raise ReconciliationNotFound
    return run


async def _csv(pool: Pool, run_id: str) -> AsyncIterator[str]:
    columns = list(PaymentDifference.model_fields)
    after = OLDEST
    line = io.StringIO()
    csv.writer(line).writerow(columns)
    while True:
        found = await differences.of_run(pool, run_id, after, CSV_PAGE)
        for one in found:
            shown = _difference(one).model_dump(mode="json")
            csv.writer(line).writerow([_cell(shown[name]) for name in columns])
        yield line.getvalue()
        if len(found) < CSV_PAGE:
            return
        line = io.StringIO()
        after = (found[-1].found_at_ms, found[-1].difference_id)


def _cell(value: object) -> object:
    """A provider's text is no formula of a spreadsheet's (OWASP, CSV Injection)."""
    return (
        f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
    )


def _run(run: Run, report: Report | None) -> Reconciliation:
    fields = msgspec.structs.asdict(run)
    shown = {name: fields[name] for name in Reconciliation.model_fields if name in fields}
    return Reconciliation(**shown, report=_report(report) if report else None)


def _report(report: Report) -> ReconciliationReport:
    fields = msgspec.structs.asdict(report)
    fields["totals"] = {
        name: Sums(ours_minor=ours, theirs_minor=theirs)
        for name, (ours, theirs) in report.totals.items()
    }
    return ReconciliationReport(**fields)


def _difference(kept: KeptDifference) -> PaymentDifference:
    fields = {**msgspec.structs.asdict(kept), **msgspec.structs.asdict(kept.found)}
    fields["payment_id"] = fields["payment_id"] or None
    return PaymentDifference(**{name: fields[name] for name in PaymentDifference.model_fields})
