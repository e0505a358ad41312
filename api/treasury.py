"""The treasury: cash for users until payments bring it, from outside the platform."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import Treasurer
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import MAX_INTEGER, Input
from api.market_issues import MAX_TEXT
from api.openapi import problems
from api.services import ServicesDep
from messages.keys import derive_key
from messages.ledger import transfer
from messages.market import BadCredit
from messages.market.accounts import available, treasury
from messages.money import MINOR_DIGITS
from messages.users import UserNotFound
from storage import ledger
from storage import users as user_storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["treasury"])

CREDIT = "POST /api/v1/treasury/credits"
PURPOSE = "treasury-credit"


class NewCredit(Input):
    """Cash for a user."""

    user_id: UUID
    currency: str = Field(max_length=MAX_TEXT, description="As USD.")
    amount_minor: int = Field(ge=1, le=MAX_INTEGER)


class Credit(BaseModel):
    """Cash that was credited."""

    credit_id: UUID
    user_id: UUID
    currency: str
    amount_minor: int
    available_minor: int = Field(description="What the user may spend after it.")
    at_ms: int


@router.post(
    "/treasury/credits",
    status_code=201,
    responses=problems(401, 403, 404, replayed=True),
    response_model=Credit,
)
async def credit_user(
    body: NewCredit,
    key: KeyHeader,
    subject: Treasurer,
    services: ServicesDep,
) -> Response:
    """Move cash from the treasury to a user, once for each key."""
    if body.currency not in MINOR_DIGITS:
        raise BadCredit("there is no such currency", field="currency")
    user_id, at_ms = str(body.user_id), services.clock()
    if await user_storage.get_user(services.pool, user_id) is None:
        raise UserNotFound
    asked = command_key(subject.user_id, CREDIT, key)
    secret = services.settings.fingerprint_secret
    made = attempt(asked, secret, user_id, body.currency, str(body.amount_minor))
    credit_id = services.new_id()
    account = available(user_id, body.currency)

    async def change(connection: Connection) -> Credit:
        moved = transfer(
            derive_key("treasury-credit", credit_id),
            treasury(body.currency),
            account,
            body.amount_minor,
            cause=f"treasury-credit:{credit_id}",
            purpose=PURPOSE,
        )
        await ledger.post(connection, [moved], at_ms)
        held = await ledger.balances(connection, [account])
        return Credit(
            credit_id=UUID(credit_id),
            user_id=body.user_id,
            currency=body.currency,
            amount_minor=body.amount_minor,
            available_minor=held[account],
            at_ms=at_ms,
        )

    return await once(services.pool, made, at_ms, 201, change)
