"""All that is kept of a payment, in one order, for reviewers; and of all payments, for auditors."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.auth import Auditor, PaymentReviewer
from api.inputs import MAX_INTEGER
from api.openapi import problems
from api.services import ServicesDep
from domain.payments.routing import cost_minor
from messages.payments.errors import PaymentNotFound
from storage import payments_history as storage
from storage import payments_reconciliations as books
from storage.payments import find

router = APIRouter(prefix="/api/v1", tags=["payment-records"])

NDJSON = "application/x-ndjson"
Moment = Annotated[int, Query(ge=0, le=MAX_INTEGER, description="Epoch milliseconds.")]


class HistoryLine(BaseModel):
    """Something that happened about a payment."""

    at_ms: int = Field(description="Epoch milliseconds.")
    kind: str = Field(
        description="command, decision, call, exchange, call-ended, webhook, movement, transition, "
        "ledger, provider-entry or difference."
    )
    name: str
    detail: dict[str, Any] = Field(description="As it is kept: redacted, amounts as text.")


class PaymentHistory(BaseModel):
    """The whole story of a payment, and what its provider keeps of it."""

    payment_id: UUID
    cost_minor: int = Field(description="What the provider kept, in the payment's currency.")
    cost_estimated: bool = Field(description="By our policy: its books were not read yet.")
    lines: list[HistoryLine]


@router.get("/payments/{payment_id}/history", responses=problems(403, 404))
async def get_payment_history(
    payment_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> PaymentHistory:
    """Commands, calls, exchanges, webhooks, moves, postings and books of a payment, in order."""
    payment = await find(services.pool, str(payment_id))
    if payment is None:
        raise PaymentNotFound
    lines = await storage.of_payment(services.pool, str(payment_id))
    cost = await books.cost(services.pool, str(payment_id))
    estimated = cost is None
    if cost is None:
        taken = payment.received_minor
        cost = cost_minor(payment.gateway, taken, payment.currency) if taken else 0
    return PaymentHistory(
        payment_id=payment_id,
        cost_minor=cost,
        cost_estimated=estimated,
        lines=[
            HistoryLine(at_ms=one.at_ms, kind=one.kind, name=one.name, detail=one.detail)
            for one in lines
        ],
    )


@router.get(
    "/payment-histories",
    responses={**problems(403), 200: {"content": {NDJSON: {}}}},
    response_class=StreamingResponse,
)
async def export_payment_histories(
    subject: Auditor, services: ServicesDep, since_ms: Moment, until_ms: Moment
) -> StreamingResponse:
    """Every line of every payment that was begun in [since_ms, until_ms), a JSON object a line."""
    lines = storage.export(services.pool, since_ms, until_ms)
    return StreamingResponse(lines, media_type=NDJSON)
