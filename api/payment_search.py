"""All payments, for those who look after them: by what they know of one."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field

from api.auth import PaymentReviewer
from api.inputs import Amount, Input
from api.pagination import (
    CURSOR,
    DEFAULT_LIMIT,
    MAX_CURSOR_CHARS,
    MAX_LIMIT,
    Page,
    page,
    place_of,
)
from api.payments import PaymentSummary
from api.services import ServicesDep
from messages.payments.errors import AmountWithoutCurrency
from messages.payments.gateways import GatewayName
from messages.payments.payments import PaymentStatus, Purpose, Verdict
from storage import payments_search as storage
from storage.payments import PaymentRow

TEXT = r"^[^\x00]*$"

router = APIRouter(prefix="/api/v1", tags=["payments"])


class PaymentQuery(Input):
    """Which payments; all that is given has to fit."""

    status: PaymentStatus | None = None
    payer_id: UUID | None = None
    currency: str | None = Field(None, max_length=16, pattern=TEXT, description="As USD.")
    gateway: GatewayName | None = Field(None, description="Who was to be asked first.")
    purpose: Purpose | None = None
    subject: str | None = Field(None, max_length=255, pattern=TEXT, description="As `issue:<id>`.")
    ref: str | None = Field(
        None, max_length=255, pattern=TEXT, description="The provider's id of the charge: `pi_…`."
    )
    least_minor: Amount | None = Field(None, description="With `currency`.")
    most_minor: Amount | None = Field(None, description="With `currency`.")
    from_ms: Amount | None = Field(None, description="Begun at this moment or later.")
    until_ms: Amount | None = Field(None, description="Begun before this moment.")
    cursor: str | None = Field(None, description=CURSOR, max_length=MAX_CURSOR_CHARS)
    limit: int = Field(DEFAULT_LIMIT, description="Items on the page.", ge=1, le=MAX_LIMIT)


class PaymentRecord(PaymentSummary):
    """A payment, as those who look after payments see it."""

    payer_id: UUID
    subject: str
    verdict: Verdict
    score: int
    reasons: list[str]


@router.get("/payments")
async def search_payments(
    subject: PaymentReviewer, services: ServicesDep, q: Annotated[PaymentQuery, Query()]
) -> Page[PaymentRecord]:
    """All payments that fit, newest first."""
    if q.currency is None and (q.least_minor, q.most_minor) != (None, None):
        raise AmountWithoutCurrency
    asked = q.model_dump(mode="json", exclude={"cursor", "limit"})
    wanted = storage.Wanted(**asked)
    found = await storage.search(services.pool, wanted, place_of(q.cursor), q.limit + 1)
    return page(found, q.limit, lambda row: (row.created_at_ms, row.payment_id), _record)


def _record(row: PaymentRow) -> PaymentRecord:
    return PaymentRecord(**msgspec.structs.asdict(row))
