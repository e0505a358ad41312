"""Several orders of a book in one request: as many commands, in order, each with an outcome."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import Trader
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.market_orders import NewOrder, Order, Replacement, shown
from api.openapi import problems
from api.services import EntityHandle, ServicesDep
from messages.errors import VibeStreamError
from messages.keys import derive_id, derive_key
from messages.market.orders import CancelOrder, OrderView, PlaceOrder, ReplaceOrder

router = APIRouter(prefix="/api/v1", tags=["market"])

BATCH = "POST /api/v1/books/{issue_id}/orders/batch"
MOST = 50

Number = Annotated[int, Field(ge=1, le=MAX_INTEGER, description="The book's number of the order.")]


class Placed(NewOrder):
    """Place an order."""

    op: Literal["place"]


class Replaced(Replacement):
    """Replace an order."""

    op: Literal["replace"]
    order_id: Number


class Cancelled(Input):
    """Cancel an order."""

    op: Literal["cancel"]
    order_id: Number


Asked: TypeAlias = Annotated[Placed | Replaced | Cancelled, Field(discriminator="op")]


class Orders(Input):
    """What to do, in order. What one of them is refused for stops none of the others."""

    orders: list[Asked] = Field(min_length=1, max_length=MOST)


class OrderResult(BaseModel):
    """What became of one of them: the order, or why not."""

    order: Order | None
    code: str | None = Field(description="Of the problem; null if it was done.")
    detail: str | None
    params: dict[str, str | int]


class OrderResults(BaseModel):
    """What became of each, in the order in which they came."""

    results: list[OrderResult]


@router.post(
    "/books/{issue_id}/orders/batch",
    response_model=OrderResults,
    responses=problems(401, 403),
)
async def send_orders(
    issue_id: UUID, body: Orders, key: KeyHeader, subject: Trader, services: ServicesDep
) -> Response:
    """Place, replace and cancel up to 50 orders of a book, one after the other.

    Others' orders may come in between. Sent again with the same key, what was done is answered as
    it was; what was not (`unavailable`, `overloaded`, a refusal) is tried again.
    """
    batch = command_key(subject.user_id, BATCH.format(issue_id=issue_id), key)
    owner = services.owner("market")
    results = await asyncio.gather(
        *(
            _one(owner, str(issue_id), subject.user_id, asked, derive_key(batch, number))
            for number, asked in enumerate(body.orders)
        )
    )
    return Response(msgspec.json.encode({"results": results}), media_type="application/json")


async def _one(
    owner: EntityHandle, issue_id: str, user_id: str, asked: Asked, key: bytes
) -> dict[str, Any]:
    try:
        answer = await owner.ask(issue_id, _command(user_id, asked, key), key=key)
    except VibeStreamError as error:
        told = {"code": error.code, "detail": error.detail, "params": error.params}
        return {"order": None, **told}
    assert isinstance(answer, OrderView), "an order is answered with an order"
    return {"order": shown(answer), "code": None, "detail": None, "params": {}}


def _command(user_id: str, asked: Asked, key: bytes) -> PlaceOrder | ReplaceOrder | CancelOrder:
    if isinstance(asked, Cancelled):
        return CancelOrder(user_id, asked.order_id)
    fields = asked.model_dump(exclude={"op"})
    if isinstance(asked, Replaced):
        return ReplaceOrder(user_id, derive_id("order", key), **fields)
    return PlaceOrder(user_id, derive_id("order", key), **fields)
