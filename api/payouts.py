"""Payouts: request, look, cancel; and what those who review them see and decide."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import PayoutReader, PayoutRequester, PayoutReviewer
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import Services, ServicesDep
from api.step_up import check_recent
from domain.payouts.policy import is_large
from domain.users_factors import RECENT_MS, Sensitive
from messages.keys import derive_id
from messages.money import MINOR_DIGITS
from messages.payments.payments import DecideReview, Verdict
from messages.payments.payout_errors import (
    PayoutMethodNotFound,
    PayoutNotFound,
    PayoutNotOffered,
)
from messages.payments.payout_orders import PayoutProvider
from messages.payments.payouts import (
    CancelPayout,
    GetPayout,
    PayoutCommand,
    PayoutStatus,
    PayoutView,
    RequestPayout,
)
from storage import payout_methods
from storage import payouts as storage

router = APIRouter(prefix="/api/v1", tags=["payouts"])

REQUEST = "POST /api/v1/payouts"
CANCEL = "POST /api/v1/payouts/{payout_id}/cancellation"
REVIEW = "POST /api/v1/payouts/{payout_id}/review"


class NewPayout(Input):
    """Money from one's balance to one's account elsewhere."""

    amount_minor: int = Field(ge=1, le=MAX_INTEGER)
    currency: str = Field(max_length=16, description="As USD.")
    method_id: UUID | None = Field(None, description="A payout method; the default if left out.")


class PayoutReview(Input):
    """What a person decided about a payout on hold."""

    allow: bool
    reason: Annotated[str, Field(min_length=1, max_length=255)]


class Payout(BaseModel):
    """A payout, as its user sees it."""

    payout_id: UUID
    method_id: UUID
    provider: PayoutProvider
    status: PayoutStatus
    amount_minor: int = Field(description="What leaves the balance.")
    charged_minor: int = Field(description="The part of it that is a fee.")
    currency: str
    failure: str
    created_at_ms: int
    changed_at_ms: int


class PayoutRecord(Payout):
    """A payout, as those who look after payouts see it."""

    user_id: UUID
    fee_minor: int = Field(description="What the provider kept.")
    owed_minor: int = Field(description="Paid although it had been given up: somebody has to look.")
    ref: str
    verdict: Verdict
    reasons: list[str]


@router.post("/payouts", status_code=201, responses=problems(401, 403, 404, 409, 429))
async def request_payout(
    body: NewPayout, key: KeyHeader, subject: PayoutRequester, services: ServicesDep
) -> Payout:
    """Pay out from one's balance. Sent again with the same key it is the same payout.

    Larger amounts want a recent proof of who asks. For a minute it can be taken back.
    """
    if body.currency not in MINOR_DIGITS:
        raise PayoutNotOffered(currency=body.currency)
    if is_large(body.amount_minor, body.currency, services.payout_policy):
        await check_recent(services, subject, RECENT_MS[Sensitive.PAY_OUT])
    command = command_key(subject.user_id, REQUEST, key)
    method_id = await _method(services, subject.user_id, body.method_id)
    asked = RequestPayout(subject.user_id, method_id, body.amount_minor, body.currency)
    return _shown(await _ask(services, derive_id("payout", command), asked, command))


@router.get("/users/me/payouts")
async def list_my_payouts(
    subject: PayoutReader,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Payout]:
    """The caller's payouts, newest first."""
    found = await storage.of_user(services.pool, subject.user_id, place_of(cursor), limit + 1)
    return page(found, limit, lambda row: (row.created_at_ms, row.payout_id), _shown)


@router.get("/payouts/{payout_id}", responses=problems(404))
async def get_payout(payout_id: UUID, subject: PayoutReader, services: ServicesDep) -> Payout:
    """One of the caller's payouts, from its owner."""
    await _check_own(services, payout_id, subject.user_id)
    return _shown(await _ask(services, str(payout_id), GetPayout(), services.query_key()))


@router.post("/payouts/{payout_id}/cancellation", responses=problems(404, 409))
async def cancel_payout(
    payout_id: UUID, key: KeyHeader, subject: PayoutRequester, services: ServicesDep
) -> Payout:
    """Take a payout back that was not sent yet."""
    await _check_own(services, payout_id, subject.user_id)
    command = command_key(subject.user_id, CANCEL.format(payout_id=payout_id), key)
    return _shown(await _ask(services, str(payout_id), CancelPayout(subject.user_id), command))


@router.get("/payouts")
async def search_payouts(
    subject: PayoutReviewer,
    services: ServicesDep,
    status: PayoutStatus | None = None,
    user_id: UUID | None = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[PayoutRecord]:
    """All payouts, newest first; of a status or a user if asked for."""
    user = str(user_id) if user_id else None
    found = await storage.search(services.pool, place_of(cursor), limit + 1, status, user)
    return page(found, limit, lambda row: (row.created_at_ms, row.payout_id), _record)


@router.post("/payouts/{payout_id}/review", responses=problems(404, 409))
async def review_payout(
    payout_id: UUID,
    body: PayoutReview,
    key: KeyHeader,
    subject: PayoutReviewer,
    services: ServicesDep,
) -> Payout:
    """Let a payout on hold go, or end it."""
    command = command_key(subject.user_id, REVIEW.format(payout_id=payout_id), key)
    decided = DecideReview(body.allow, subject.user_id, body.reason)
    return _shown(await _ask(services, str(payout_id), decided, command))


async def _method(services: Services, user_id: str, method_id: UUID | None) -> str:
    """The method that is meant. Raises PayoutMethodNotFound if none is the default."""
    if method_id is not None:
        return str(method_id)
    found = await payout_methods.list_methods(services.pool, user_id)
    default = next((one.method_id for one in found if one.is_default), None)
    if default is None:
        raise PayoutMethodNotFound
    return default


async def _check_own(services: Services, payout_id: UUID, user_id: str) -> None:
    if not await storage.is_users(services.pool, str(payout_id), user_id):
        raise PayoutNotFound


async def _ask(
    services: Services, payout_id: str, command: PayoutCommand, key: bytes
) -> PayoutView:
    answer = await services.owner("payouts").ask(payout_id, command, key=key)
    assert isinstance(answer, PayoutView)
    return answer


def _shown(found: PayoutView | storage.PayoutRow) -> Payout:
    fields: dict[str, Any] = msgspec.structs.asdict(found)
    return Payout.model_validate({k: v for k, v in fields.items() if k in Payout.model_fields})


def _record(row: storage.PayoutRow) -> PayoutRecord:
    return PayoutRecord(**msgspec.structs.asdict(row))
