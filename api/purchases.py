"""Purchases: begin, look, cancel, take back; and what those who look after payments see."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from msgspec.structs import replace
from pydantic import BaseModel, Field

from api.auth import Payer, PaymentReader, PaymentReviewer
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.payment_orders import Means, Price, order_payment
from api.payments import Payment, payment_of
from api.purchase_prices import check_buyer, quote
from api.services import Services, ServicesDep
from messages.keys import derive_id
from messages.payments.errors import PaymentDenied, PaymentNotFound
from messages.payments.payments import GetPayment, PaymentView, Purpose, StartPayment, Verdict
from messages.purchases.accounts import subject_of
from messages.purchases.errors import PurchaseNotFound
from messages.purchases.purchases import (
    CancelPurchase,
    MoneyBack,
    Outcome,
    PurchaseStatus,
    PurchaseView,
    RefundPurchase,
    StartPurchase,
)
from sagas.purchases import payment_id_of
from storage import purchases as storage

router = APIRouter(prefix="/api/v1", tags=["purchases"])

START = "POST /api/v1/purchases"
CANCEL = "POST /api/v1/purchases/{purchase_id}/cancellation"
REFUND = "POST /api/v1/purchases/{purchase_id}/refunds"
REVERSE = "POST /api/v1/purchases/{purchase_id}/reversal"
REASON = Annotated[str, Field(max_length=255)]


class PurchaseOrder(Input):
    """What to buy, and how it is paid."""

    purpose: Purpose
    subject_id: UUID | None = Field(
        None, description="The issue, drop, venture or pool; nothing for a top-up."
    )
    quantity: int = Field(0, ge=0, le=MAX_INTEGER, description="Of shares or tokens.")
    amount_minor: int = Field(
        0, ge=0, le=MAX_INTEGER, description="Of a top-up, an investment or a sponsorship."
    )
    currency: str = Field("", max_length=16, description="Of a top-up or a sponsorship, as USD.")
    payment: Means | None = Field(None, description="How it is paid; from the balance if absent.")
    money_back: MoneyBack = Field(
        MoneyBack.REFUND,
        description="Where the money goes if it buys nothing: the way it came, or the balance.",
    )


class PurchaseRefund(Input):
    """The goods go back, and the money."""

    reason: REASON = ""
    money_back: MoneyBack = MoneyBack.REFUND


class PurchaseSummary(BaseModel):
    """A purchase in a list."""

    purchase_id: UUID
    purpose: Purpose
    subject_id: UUID | None
    status: PurchaseStatus
    quantity: int
    amount_minor: int
    currency: str
    returned_minor: int = Field(description="What the return of the goods brought back.")
    failure: str = Field(description="Why it did not work out, or why the goods stay.")
    created_at_ms: int
    changed_at_ms: int


class BuyersPurchase(PurchaseSummary):
    """A purchase, as its buyer sees it. The payment says what the buyer has to do."""

    money_back: MoneyBack
    pay_by_ms: int
    payment: Payment | None


class PurchaseRecord(PurchaseSummary):
    """A purchase, as those who look after payments see it."""

    buyer_id: UUID
    is_paid_in: bool


class PurchaseStep(BaseModel):
    """What somebody was asked for, or what came of it."""

    step: str
    outcome: Outcome
    code: str
    at_ms: int


class PurchaseSteps(BaseModel):
    """All that a purchase had somebody asked for, in order."""

    items: list[PurchaseStep]


@router.post("/purchases", status_code=201, responses=problems(401, 403, 404, 409))
async def start_purchase(
    body: PurchaseOrder, key: KeyHeader, subject: Payer, services: ServicesDep, request: Request
) -> BuyersPurchase:
    """Buy something. Sent again with the same key it is the same purchase, and nothing twice.

    What cannot be delivered is told in `status` and `failure`, for the money may be on its way.
    """
    await check_buyer(services, subject, body.purpose)
    command = command_key(subject.user_id, START, key)
    purchase_id = derive_id("purchase", command)
    order = await _order(services, subject.user_id, body)
    if body.payment is not None:
        order = replace(
            order, payment=await _payment(services, request, purchase_id, order, body.payment)
        )
    view = await services.purchases.ask(purchase_id, order, command)
    shown = await _shown(services, view)
    asked = view.asked.payment
    if asked is not None and asked.assessment.verdict is Verdict.DENY:
        raise PaymentDenied(payment_id=payment_id_of(purchase_id))
    return shown


@router.get("/users/me/paid-purchases")
async def list_my_paid_purchases(
    subject: PaymentReader,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[PurchaseSummary]:
    """The caller's purchases, newest first."""
    found = await storage.of_buyer(services.pool, subject.user_id, place_of(cursor), limit + 1)
    return page(found, limit, lambda row: (row.created_at_ms, row.purchase_id), _summary)


@router.get("/purchases/{purchase_id}", responses=problems(404))
async def get_purchase(
    purchase_id: UUID, subject: PaymentReader, services: ServicesDep
) -> BuyersPurchase:
    """One of the caller's purchases, from its owner."""
    await _check_own(services, purchase_id, subject.user_id)
    return await _shown(services, await _get(services, purchase_id))


@router.post("/purchases/{purchase_id}/cancellation", responses=problems(404, 409))
async def cancel_purchase(
    purchase_id: UUID, key: KeyHeader, subject: Payer, services: ServicesDep
) -> BuyersPurchase:
    """Give a purchase up. Refused once it is paid: ask for a refund then."""
    await _check_own(services, purchase_id, subject.user_id)
    command = command_key(subject.user_id, CANCEL.format(purchase_id=purchase_id), key)
    cancel = CancelPurchase("cancelled-by-buyer")
    view = await services.purchases.ask(str(purchase_id), cancel, command)
    return await _shown(services, view)


@router.post("/purchases/{purchase_id}/refunds", status_code=201, responses=problems(404, 409))
async def refund_purchase(
    purchase_id: UUID, body: PurchaseRefund, key: KeyHeader, subject: Payer, services: ServicesDep
) -> BuyersPurchase:
    """Give the goods back, where that can be done, and then the money. `failure` says why not."""
    await _check_own(services, purchase_id, subject.user_id)
    command = command_key(subject.user_id, REFUND.format(purchase_id=purchase_id), key)
    return await _take_back(services, purchase_id, body, command, subject.user_id)


@router.get("/purchases")
async def search_purchases(
    subject: PaymentReviewer,
    services: ServicesDep,
    status: PurchaseStatus | None = None,
    buyer_id: UUID | None = None,
    subject_id: UUID | None = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[PurchaseRecord]:
    """All purchases, newest first; of a status, a buyer or a subject if asked for."""
    found = await storage.search(
        services.pool,
        place_of(cursor),
        limit + 1,
        status=status,
        buyer_id=str(buyer_id) if buyer_id else None,
        subject_id=str(subject_id) if subject_id else None,
    )
    return page(found, limit, lambda row: (row.created_at_ms, row.purchase_id), _record)


@router.get("/purchases/{purchase_id}/steps", responses=problems(404))
async def list_purchase_steps(
    purchase_id: UUID, subject: PaymentReviewer, services: ServicesDep
) -> PurchaseSteps:
    """What a purchase had somebody asked for, and what came of it."""
    found = await storage.steps(services.pool, str(purchase_id))
    if not found:
        raise PurchaseNotFound
    return PurchaseSteps(items=[PurchaseStep(**msgspec.structs.asdict(one)) for one in found])


@router.post("/purchases/{purchase_id}/reversal", responses=problems(404, 409))
async def reverse_purchase(
    purchase_id: UUID,
    body: PurchaseRefund,
    key: KeyHeader,
    subject: PaymentReviewer,
    services: ServicesDep,
) -> BuyersPurchase:
    """Take anybody's purchase back, whenever it was made."""
    command = command_key(subject.user_id, REVERSE.format(purchase_id=purchase_id), key)
    return await _take_back(services, purchase_id, body, command, subject.user_id, is_staff=True)


async def _order(services: Services, buyer_id: str, body: PurchaseOrder) -> StartPurchase:
    """What the purchase's owner is asked, but for the payment."""
    subject_id = str(body.subject_id) if body.subject_id else ""
    quoted = await quote(
        services, body.purpose, subject_id, body.quantity, body.amount_minor, body.currency
    )
    return StartPurchase(
        buyer_id=buyer_id,
        purpose=body.purpose,
        amount_minor=quoted.amount_minor,
        currency=quoted.currency,
        subject_id=subject_id,
        quantity=quoted.quantity,
        price_minor=quoted.price_minor,
        tokens_minor=quoted.tokens_minor,
        money_back=body.money_back,
    )


async def _payment(
    services: Services, request: Request, purchase_id: str, order: StartPurchase, means: Means
) -> StartPayment:
    payment_id = payment_id_of(purchase_id)
    price = Price(order.amount_minor, order.currency)
    asked = await order_payment(services, request, payment_id, order.buyer_id, price, means)
    return replace(asked, purpose=order.purpose, subject=subject_of(purchase_id))


async def _take_back(
    services: Services,
    purchase_id: UUID,
    body: PurchaseRefund,
    command: bytes,
    by: str,
    *,
    is_staff: bool = False,
) -> BuyersPurchase:
    refund_id = derive_id("purchase-refund-asked", command)
    asked = RefundPurchase(refund_id, by, body.reason, is_staff, body.money_back)
    view = await services.purchases.ask(str(purchase_id), asked, command)
    return await _shown(services, view)


async def _check_own(services: Services, purchase_id: UUID, user_id: str) -> None:
    """Raises PurchaseNotFound."""
    if not await storage.is_buyers(services.pool, str(purchase_id), user_id):
        raise PurchaseNotFound


async def _get(services: Services, purchase_id: UUID) -> PurchaseView:
    return await services.purchases.get(str(purchase_id), services.query_key())


async def _shown(services: Services, view: PurchaseView) -> BuyersPurchase:
    asked = view.asked
    return BuyersPurchase(
        purchase_id=UUID(view.purchase_id),
        purpose=asked.purpose,
        subject_id=UUID(asked.subject_id) if asked.subject_id else None,
        status=view.status,
        quantity=asked.quantity,
        amount_minor=asked.amount_minor,
        currency=asked.currency,
        returned_minor=view.returned_minor,
        failure=view.failure,
        created_at_ms=view.created_at_ms,
        changed_at_ms=view.changed_at_ms,
        money_back=asked.money_back,
        pay_by_ms=view.pay_by_ms if asked.payment else 0,
        payment=await _paid_by(services, view),
    )


async def _paid_by(services: Services, view: PurchaseView) -> Payment | None:
    if view.asked.payment is None:
        return None
    payments = services.owner("payments")
    try:
        found = await payments.ask(
            payment_id_of(view.purchase_id), GetPayment(), key=services.query_key()
        )
    except PaymentNotFound:
        return None  # what comes before it is not done yet
    assert isinstance(found, PaymentView)
    return payment_of(found)


def _fields(row: storage.PurchaseRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    fields["subject_id"] = row.subject_id or None
    return fields


def _summary(row: storage.PurchaseRow) -> PurchaseSummary:
    fields = _fields(row)
    return PurchaseSummary(**{k: v for k, v in fields.items() if k in PurchaseSummary.model_fields})


def _record(row: storage.PurchaseRow) -> PurchaseRecord:
    return PurchaseRecord(**_fields(row))
