"""Several orders of a book in one request: as many commands, in order, each with an outcome."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import Trader
from api.fast_route import FastRoute
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.market_orders import NewOrder, Order, Replacement, placing, replacing, shown
from api.openapi import problems
from api.services import ServicesDep
from messages.errors import VibeStreamError
from messages.keys import derive_key
from messages.market.orders import CancelOrder, OrderView, PlaceOrder, ReplaceOrder

router = APIRouter(
    prefix="/api/v1",
    tags=["market"],
    route_class=FastRoute,
)

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
    commands = []
    for number, asked in enumerate(body.orders):
        own_key = derive_key(batch, number)
        commands.append((_command(subject.user_id, asked, own_key), own_key))
    answers = await services.owner("market").ask_all(str(issue_id), commands)
    results = [_result(answer) for answer in answers]
    return Response(msgspec.json.encode({"results": results}), media_type="application/json")


def _result(answer: Any) -> dict[str, Any]:
    if isinstance(answer, VibeStreamError):
        told = {"code": answer.code, "detail": answer.detail, "params": answer.params}
        return {"order": None, **told}
    assert isinstance(answer, OrderView), "an order is answered with an order"
    return {"order": shown(answer), "code": None, "detail": None, "params": {}}


def _command(user_id: str, asked: Asked, key: bytes) -> PlaceOrder | ReplaceOrder | CancelOrder:
    if isinstance(asked, Cancelled):
        return CancelOrder(user_id, asked.order_id)
    if isinstance(asked, Replaced):
        return replacing(user_id, asked.order_id, asked, key)
    return placing(user_id, asked, key)
