"""Payments: begin, look, confirm, cancel, capture, refund; and what operators see."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.auth import Payer, PaymentReader, PaymentReviewer
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.payment_orders import CODE, Means, Price, order_payment
from api.payment_reviews import check_claim
from api.services import Services, ServicesDep
from messages.keys import derive_id, derive_key
from messages.payments.errors import PaymentDenied, PaymentNotFound
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import (
    CancelPayment,
    Capture,
    CapturePayment,
    ConfirmPayment,
    DecideReview,
    GetPayment,
    PaymentCommand,
    PaymentStatus,
    PaymentView,
    Purpose,
    RefundPayment,
    Verdict,
)
from messages.purchases.accounts import purchase_of
from messages.purchases.errors import PaymentOfPurchase
from storage import payments as storage

router = APIRouter(prefix="/api/v1", tags=["payments"])

START = "POST /api/v1/payments"
CONFIRM = "POST /api/v1/payments/{payment_id}/confirmation"
CANCEL = "POST /api/v1/payments/{payment_id}/cancellation"
CAPTURE = "POST /api/v1/payments/{payment_id}/captures"
REFUND = "POST /api/v1/payments/{payment_id}/refunds"
REVIEW = "POST /api/v1/payments/{payment_id}/review"


class NewPayment(Means):
    """Money for one's own balance on the platform."""

    amount_minor: int = Field(ge=1, le=MAX_INTEGER)
    currency: str = Field(max_length=16, description="As USD.")
    capture: Capture = Field(Capture.AUTOMATIC, description="manual: authorise now, take later.")


class NewCapture(Input):
    """How much to take of what was authorised; the rest is let go."""

    amount_minor: int = Field(ge=1, le=MAX_INTEGER)


class NewRefund(Input):
    """How much goes back the way it came."""

    amount_minor: int = Field(ge=1, le=MAX_INTEGER)
    reason: CODE = ""


class Review(Input):
    """What a person decided about a payment on hold."""

    allow: bool
    reason: Annotated[str, Field(min_length=1, max_length=255)]


class Action(BaseModel):
    """What the payer has to do."""

    url: str = Field(description="Go there; empty if there is nowhere to go.")
    client_secret: str = Field(description="For the provider's own script.")


class Refund(BaseModel):
    """Money on its way back, or there."""

    refund_id: str
    amount_minor: int
    status: str
    reason: str
    at_ms: int


class Payment(BaseModel):
    """A payment, as its payer sees it."""

    payment_id: UUID
    purpose: Purpose
    status: PaymentStatus
    amount_minor: int
    currency: str
    method: Method
    gateway: GatewayName
    received_minor: int = Field(description="All that was taken.")
    returned_minor: int = Field(description="All that went back, disputes included.")
    owed_minor: int = Field(description="What the payer's bank took back and is still owed.")
    failure: str
    action: Action | None
    refunds: list[Refund]
    created_at_ms: int
    changed_at_ms: int


class PaymentSummary(BaseModel):
    """A payment in a list."""

    payment_id: UUID
    purpose: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    method: str
    gateway: GatewayName
    received_minor: int
    returned_minor: int
    failure: str
    created_at_ms: int
    changed_at_ms: int


@router.post(
    "/payments", status_code=201, responses=problems(401, 403, 409), response_model=Payment
)
async def start_payment(
    body: NewPayment, key: KeyHeader, subject: Payer, services: ServicesDep, request: Request
) -> Payment:
    """Pay money in. Sent again with the same key it is the same payment, and nothing twice."""
    command = command_key(subject.user_id, START, key)
    payment_id = derive_id("payment", command)
    price = Price(body.amount_minor, body.currency, body.capture)
    asked = await order_payment(services, request, payment_id, subject.user_id, price, body)
    view = await _ask(services, payment_id, asked, command)
    if view.assessment.verdict is Verdict.DENY:
        raise PaymentDenied(payment_id=payment_id)
    return payment_of(await services.payments.run(await _fresh(services, view)))


@router.get("/users/me/payments")
async def list_my_payments(
    subject: PaymentReader,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[PaymentSummary]:
    """The caller's payments, newest first."""
    found = await storage.of_payer(services.pool, subject.user_id, place_of(cursor), limit + 1)
    return page(found, limit, lambda row: (row.created_at_ms, row.payment_id), _summary)


@router.get("/payments/{payment_id}", responses=problems(404))
async def get_payment(payment_id: UUID, subject: PaymentReader, services: ServicesDep) -> Payment:
    """One of the caller's payments, from its owner."""
    return payment_of(await _own(services, payment_id, subject.user_id))


@router.post("/payments/{payment_id}/confirmation", responses=problems(404, 409))
async def confirm_payment(
    payment_id: UUID, key: KeyHeader, subject: Payer, services: ServicesDep
) -> Payment:
    """The payer did their part: look at the provider, and take what was authorised."""
    await _own(services, payment_id, subject.user_id)
    command = command_key(subject.user_id, CONFIRM.format(payment_id=payment_id), key)
    return await _change(services, payment_id, ConfirmPayment(), command)


@router.post("/payments/{payment_id}/cancellation", responses=problems(404, 409))
async def cancel_payment(
    payment_id: UUID, key: KeyHeader, subject: Payer, services: ServicesDep
) -> Payment:
    """Give a payment up. Refused once something was taken: ask for a refund then."""
    await _own(services, payment_id, subject.user_id)
    command = command_key(subject.user_id, CANCEL.format(payment_id=payment_id), key)
    return await _change(services, payment_id, CancelPayment("cancelled-by-payer"), command)


@router.post("/payments/{payment_id}/captures", status_code=201, responses=problems(404, 409))
async def capture_payment(
    payment_id: UUID, body: NewCapture, key: KeyHeader, subject: Payer, services: ServicesDep
) -> Payment:
    """Take what was authorised, or a part of it."""
    await _own(services, payment_id, subject.user_id)
    command = command_key(subject.user_id, CAPTURE.format(payment_id=payment_id), key)
    return await _change(services, payment_id, CapturePayment(body.amount_minor), command)


@router.post("/payments/{payment_id}/refunds", status_code=201, responses=problems(404, 409))
async def refund_payment(
    payment_id: UUID, body: NewRefund, key: KeyHeader, subject: Payer, services: ServicesDep
) -> Payment:
    """Give money back the way it came, as far as the caller's balance still has it."""
    found = await _own(services, payment_id, subject.user_id)
    purchase_id = purchase_of(found.subject)
    if purchase_id is not None and found.purpose is not Purpose.TOP_UP:
        raise PaymentOfPurchase(purchase_id=purchase_id)
    command = command_key(subject.user_id, REFUND.format(payment_id=payment_id), key)
    refund = RefundPayment(
        derive_id("payment-refund", command), body.amount_minor, body.reason, subject.user_id
    )
    return await _change(services, payment_id, refund, command)


@router.post("/payments/{payment_id}/review", responses=problems(404, 409))
async def review_payment(
    payment_id: UUID,
    body: Review,
    key: KeyHeader,
    subject: PaymentReviewer,
    services: ServicesDep,
) -> Payment:
    """Let a payment on hold go on, or end it."""
    await check_claim(services, payment_id, subject.user_id)
    command = command_key(subject.user_id, REVIEW.format(payment_id=payment_id), key)
    decided = DecideReview(body.allow, subject.user_id, body.reason)
    return await _change(services, payment_id, decided, command)


async def _own(services: Services, payment_id: UUID, user_id: str) -> PaymentView:
    """A payment of that payer's, from its owner. Raises PaymentNotFound."""
    if not await storage.is_payers(services.pool, str(payment_id), user_id):
        raise PaymentNotFound
    return await _ask(services, str(payment_id), GetPayment(), services.query_key())


async def _change(
    services: Services, payment_id: UUID, command: PaymentCommand, key: bytes
) -> Payment:
    """Ask a payment's owner, and the provider for what follows."""
    view = await _ask(services, str(payment_id), command, key)
    return payment_of(await services.payments.run(await _fresh(services, view)))


async def _fresh(services: Services, view: PaymentView) -> PaymentView:
    """The payment as it is now: a request that is sent again gets the answer of the first."""
    key = derive_key("query", services.new_id())
    return await _ask(services, view.payment_id, GetPayment(), key) if view.calls else view


async def _ask(
    services: Services, payment_id: str, command: PaymentCommand, key: bytes
) -> PaymentView:
    answer = await services.owner("payments").ask(payment_id, command, key=key)
    assert isinstance(answer, PaymentView)
    return answer


def payment_of(view: PaymentView) -> Payment:
    """A payment as its payer sees it."""
    fields: dict[str, Any] = msgspec.structs.asdict(view)
    fields["action"] = msgspec.structs.asdict(view.action) if view.action else None
    fields["refunds"] = [msgspec.structs.asdict(one) for one in view.refunds]
    return Payment.model_validate({k: v for k, v in fields.items() if k in Payment.model_fields})


def _summary(row: storage.PaymentRow) -> PaymentSummary:
    fields = msgspec.structs.asdict(row)
    return PaymentSummary(**{k: v for k, v in fields.items() if k in PaymentSummary.model_fields})
