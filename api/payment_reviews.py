"""Payments on hold for those who decide about them, and why antifraud said what it said."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.auth import PaymentReviewer
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_after
from api.payment_risk import replay
from api.services import Services, ServicesDep
from domain.payments.risk import Comparison, Evaluation, Outcome
from messages.keys import derive_id
from messages.payments.payments import Verdict
from messages.payments.risk import AssessmentNotFound, ReviewClaimed, ReviewNotFound
from storage import payments_reviews as storage
from storage import payments_risk as risk
from storage import payments_risk_policies as policies
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["payment-reviews"])

NOTE = "POST /api/v1/payment-reviews/{payment_id}/notes"
CLAIM_MS = 15 * 60_000


class PayerSummary(BaseModel):
    """Who pays, as far as it matters here."""

    user_id: UUID
    username: str | None
    registered_at_ms: int | None
    completed_payments: int
    disputed_payments: int
    denied_payments: int


class ReviewCase(BaseModel):
    """A payment on hold."""

    payment_id: UUID
    purpose: str
    method: str
    amount_minor: int
    currency: str
    score: int
    reasons: list[str]
    on_hold_since_ms: int
    age_ms: int
    payer: PayerSummary
    claimed_by: UUID | None = Field(description="Who looks at it now.")
    claimed_until_ms: int | None


class ReviewNote(BaseModel):
    """What a reviewer wrote down."""

    note_id: UUID
    author_id: UUID
    text: str
    at_ms: int = Field(description="Epoch milliseconds.")


class ReviewDetail(ReviewCase):
    """A payment on hold, with its notes."""

    notes: list[ReviewNote]


class NewReviewNote(Input):
    """For whoever looks next. It cannot be changed."""

    text: Annotated[str, Field(min_length=1, max_length=2_000)]


class RuleOutcome(BaseModel):
    """A rule and the value that it looked at; null where that was not known."""

    code: str
    feature: str
    value: int | None
    comparison: Comparison
    threshold: int
    held: bool
    weight: int
    verdict: Verdict | None = Field(description="What follows at least, whatever the score.")


class EvaluationResult(BaseModel):
    """What a version of the policy makes of the features."""

    policy_version: int
    verdict: Verdict
    score: int
    reasons: list[RuleOutcome] = Field(description="The rules that hold.")


class ScorerExchange(BaseModel):
    """What the external scorer was asked and said."""

    score: int | None
    failure: str = Field(description="Why there is no score; empty if there is one.")
    request_digest: str = Field(description="SHA-256 of what was asked.")
    latency_us: int
    answer: str


class PaymentAssessment(BaseModel):
    """Why antifraud said what it said, and whether it would again."""

    payment_id: UUID
    payer_id: UUID
    observed_at_ms: int
    assessed_at_ms: int
    features: dict[str, int]
    recorded: EvaluationResult
    outcomes: list[RuleOutcome] = Field(description="Every rule of then, whether it holds or not.")
    scorer: ScorerExchange | None
    replayed: EvaluationResult = Field(description="The features under the policy of then, now.")
    same: bool = Field(description="Whether that comes to the same in every rule.")
    under_active: EvaluationResult | None = Field(description="Under today's policy, if asked for.")
    same_under_active: bool | None = Field(description="Whether its verdict is the recorded one.")


@router.get("/payment-reviews")
async def list_payment_reviews(
    subject: PaymentReviewer,
    services: ServicesDep,
    claimed: Annotated[
        bool | None, Query(description="Only those that somebody looks at, or nobody does.")
    ] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[ReviewCase]:
    """Payments on hold, oldest first."""
    now_ms = services.clock()
    found = await storage.oldest(services.pool, now_ms, place_after(cursor), limit + 1, claimed)
    return page(
        found,
        limit,
        lambda row: (row.created_at_ms, row.payment_id),
        lambda row: _case(row, now_ms),
    )


@router.get("/payment-reviews/{payment_id}", responses=problems(404))
async def get_payment_review(
    payment_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> ReviewDetail:
    """One payment on hold, with its notes."""
    case = await _get(services, payment_id)
    notes = await storage.notes(services.pool, str(payment_id))
    shown = [ReviewNote(**msgspec.structs.asdict(note)) for note in notes]
    return ReviewDetail(**case.model_dump(), notes=shown)


@router.put("/payment-reviews/{payment_id}/claim", responses=problems(404, 409))
async def claim_payment_review(
    payment_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> ReviewCase:
    """Look at a payment: for a quarter of an hour nobody else decides about it. Again: longer."""
    now_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        until_ms = now_ms + CLAIM_MS
        is_mine = await storage.claim(
            connection, str(payment_id), subject.user_id, now_ms, until_ms
        )
    case = await _get(services, payment_id)
    if not is_mine:
        raise ReviewClaimed
    return case


@router.delete("/payment-reviews/{payment_id}/claim", status_code=204, responses=problems(404))
async def release_payment_review(
    payment_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> None:
    """Leave a payment to others."""
    async with services.pool.acquire() as connection, connection.transaction():
        now_ms = services.clock()
        if not await storage.release(connection, str(payment_id), subject.user_id, now_ms):
            raise ReviewNotFound


@router.post(
    "/payment-reviews/{payment_id}/notes",
    status_code=201,
    responses=problems(404, 409),
    response_model=ReviewNote,
)
async def add_payment_review_note(
    payment_id: UUID,
    body: NewReviewNote,
    key: KeyHeader,
    subject: PaymentReviewer,
    services: ServicesDep,
) -> Response:
    """Write something down about a payment on hold."""
    command = command_key(subject.user_id, NOTE.format(payment_id=payment_id), key)
    made = attempt(command, services.settings.fingerprint_secret, body.model_dump_json())
    now_ms = services.clock()
    note = storage.Note(derive_id("review-note", command), subject.user_id, body.text, now_ms)

    async def add(connection: Connection) -> ReviewNote:
        if await storage.get(connection, now_ms, str(payment_id)) is None:
            raise ReviewNotFound
        await storage.add_note(connection, str(payment_id), note)
        return ReviewNote(**msgspec.structs.asdict(note))

    return await once(services.pool, made, now_ms, 201, add)


@router.get("/payments/{payment_id}/assessment", responses=problems(404))
async def get_payment_assessment(
    payment_id: UUID,
    subject: PaymentReviewer,
    services: ServicesDep,
    under_active: Annotated[
        bool, Query(description="Also say what the policy that decides now makes of it.")
    ] = False,
) -> PaymentAssessment:
    """Why a payment was allowed, held or denied, worked out again from what was recorded."""
    found = await risk.find(services.pool, str(payment_id))
    if found is None or found.assessed is None:
        raise AssessmentNotFound
    assessed = found.assessed
    again, now = replay(found, found.policy), None
    if under_active:
        async with services.pool.acquire() as connection:
            now = replay(found, await policies.active(connection, services.clock()))
    made = found.observation
    return PaymentAssessment(
        payment_id=payment_id,
        payer_id=UUID(made.payer_id),
        observed_at_ms=made.at_ms,
        assessed_at_ms=assessed.at_ms,
        features=made.features,
        recorded=_result(assessed),
        outcomes=[_outcome(one) for one in again.outcomes],
        scorer=ScorerExchange(**msgspec.structs.asdict(found.external)) if found.external else None,
        replayed=_result(again),
        same=assessed.agrees(again),
        under_active=_result(now) if now else None,
        same_under_active=now.verdict is assessed.verdict if now else None,
    )


async def check_claim(services: Services, payment_id: UUID, reviewer_id: str) -> None:
    """Raise ReviewClaimed if another reviewer looks at a payment."""
    claimed_by = await storage.claimed_by(services.pool, str(payment_id), services.clock())
    if claimed_by not in {None, reviewer_id}:
        raise ReviewClaimed


async def _get(services: Services, payment_id: UUID) -> ReviewCase:
    now_ms = services.clock()
    row = await storage.get(services.pool, now_ms, str(payment_id))
    if row is None:
        raise ReviewNotFound
    return _case(row, now_ms)


def _case(row: storage.ReviewRow, now_ms: int) -> ReviewCase:
    return ReviewCase(
        payment_id=UUID(row.payment_id),
        purpose=row.purpose,
        method=row.method,
        amount_minor=row.amount_minor,
        currency=row.currency,
        score=row.score,
        reasons=row.reasons,
        on_hold_since_ms=row.created_at_ms,
        age_ms=max(0, now_ms - row.created_at_ms),
        payer=PayerSummary(
            user_id=UUID(row.payer_id),
            username=row.username,
            registered_at_ms=row.registered_at_ms,
            completed_payments=row.completed,
            disputed_payments=row.disputed,
            denied_payments=row.denied,
        ),
        claimed_by=UUID(row.claimed_by) if row.claimed_by else None,
        claimed_until_ms=row.claimed_until_ms,
    )


def _result(found: Evaluation | risk.Assessed) -> EvaluationResult:
    return EvaluationResult(
        policy_version=found.policy_version,
        verdict=found.verdict,
        score=found.score,
        reasons=[_outcome(one) for one in found.reasons],
    )


def _outcome(one: Outcome) -> RuleOutcome:
    return RuleOutcome(**msgspec.structs.asdict(one))
