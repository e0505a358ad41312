"""Orders: place, replace, cancel, look."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from api.auth import Holder, Trader
from api.fast_route import FastRoute
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Amount, Input
from api.openapi import problems
from api.pagination import (
    DEFAULT_LIMIT,
    CursorQuery,
    LimitQuery,
    Page,
    decode_numbered,
    encode_numbered,
    page_by,
)
from api.services import ServicesDep
from domain.policy import MarketPolicy
from messages.keys import derive_id
from messages.market.order_errors import OrderNotFound
from messages.market.orders import (
    CancelOrder,
    EndReason,
    OrderKind,
    OrderStatus,
    OrderView,
    PlaceOrder,
    ReplaceOrder,
    SelfTrade,
    Side,
    TimeInForce,
)
from storage import market_orders as storage

router = APIRouter(
    prefix="/api/v1",
    tags=["market"],
    route_class=FastRoute,
)

PLACE = "POST /api/v1/books/{issue_id}/orders"
REPLACE = "POST /api/v1/books/{issue_id}/orders/{order_id}/replacement"
CANCEL = "DELETE /api/v1/books/{issue_id}/orders/{order_id}"
POLICY = MarketPolicy()

OrderId = Annotated[int, Path(ge=1, le=MAX_INTEGER, description="The book's number of the order.")]


class NewOrder(Input):
    """An order to buy or sell shares."""

    side: Side
    kind: OrderKind = OrderKind.LIMIT
    time_in_force: TimeInForce = Field(
        TimeInForce.GTC,
        description="A market order has `ioc` or `fok`, a stop `gtc` or `gtd`.",
    )
    shares: Amount
    price_minor: Amount = Field(0, description="The limit, of `limit` and `stop_limit`.")
    stop_minor: Amount = Field(
        0, description="Of stops: they wake when a trade reaches this price."
    )
    display: Amount = Field(0, description="The most that the book shows of it; 0: all.")
    expires_at_ms: Amount = Field(
        0, description=f"Of `gtd`; at most {POLICY.max_gtd_ms} ms from now."
    )
    self_trade: SelfTrade = Field(
        SelfTrade.CANCEL_NEWEST, description="Where it would meet an order of the same owner."
    )


class Replacement(Input):
    """What an order is to be from now on."""

    shares: Amount = Field(description="All of it, with what is filled already.")
    price_minor: Amount
    post_only: bool = Field(False, description="Refuse it if it would trade at once.")
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST


class Order(BaseModel):
    """An order as it stands."""

    issue_id: UUID
    order_id: int
    side: Side
    status: OrderStatus
    reason: EndReason = Field(description="Why it is over; empty while it is not.")
    shares: int
    filled: int
    remaining: int = Field(description="What may still be filled.")
    limit_minor: int = Field(description="The worst price that it accepts.")
    stop_minor: int
    display: int
    expires_at_ms: int | None
    paid_minor: int = Field(description="What its trades were worth, without fees.")
    fee_minor: int
    held_minor: int = Field(description="Cash that is set aside for it, with the higher fee.")
    placed_at_ms: int
    changed_at_ms: int


@router.post(
    "/books/{issue_id}/orders",
    status_code=201,
    response_model=Order,
    responses=problems(401, 403, 404, 409, 429),
)
async def place_order(
    issue_id: UUID, body: NewOrder, key: KeyHeader, subject: Trader, services: ServicesDep
) -> Response:
    """Place an order. The answer tells what became of it at once; trades are settled with it."""
    command = command_key(subject.user_id, PLACE.format(issue_id=issue_id), key)
    placed = placing(subject.user_id, body, command)
    return _order(await services.owner("market").ask(str(issue_id), placed, key=command), 201)


@router.post(
    "/books/{issue_id}/orders/{order_id}/replacement",
    response_model=Order,
    responses=problems(401, 403, 404, 409, 429),
)
async def replace_order(
    issue_id: UUID,
    order_id: OrderId,
    body: Replacement,
    key: KeyHeader,
    subject: Trader,
    services: ServicesDep,
) -> Response:
    """Change an order's size or price. Smaller at the same price, it keeps its place."""
    route = REPLACE.format(issue_id=issue_id, order_id=order_id)
    command = command_key(subject.user_id, route, key)
    replaced = replacing(subject.user_id, order_id, body, command)
    return _order(await services.owner("market").ask(str(issue_id), replaced, key=command))


@router.delete(
    "/books/{issue_id}/orders/{order_id}",
    response_model=Order,
    responses=problems(401, 403, 404, 409),
)
async def cancel_order(
    issue_id: UUID, order_id: OrderId, key: KeyHeader, subject: Trader, services: ServicesDep
) -> Response:
    """Take an order out of the book. What was set aside for it comes back at once."""
    route = CANCEL.format(issue_id=issue_id, order_id=order_id)
    command = command_key(subject.user_id, route, key)
    cancelled = CancelOrder(subject.user_id, order_id)
    return _order(await services.owner("market").ask(str(issue_id), cancelled, key=command))


@router.get("/books/{issue_id}/orders/{order_id}", responses=problems(401, 404))
async def get_order(
    issue_id: UUID, order_id: OrderId, subject: Holder, services: ServicesDep
) -> Order:
    """One of the caller's orders, open or not."""
    row = await storage.get_order(services.pool, str(issue_id), order_id, subject.user_id)
    if row is None:
        raise OrderNotFound(order_id=order_id)
    return _row(row)


@router.get("/users/me/orders", responses=problems(401))
async def list_my_orders(
    subject: Holder,
    services: ServicesDep,
    issue_id: Annotated[UUID | None, Query(description="Of one book alone.")] = None,
    only_open: Annotated[bool, Query(description="Those that may still be filled.")] = False,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Order]:
    """The caller's orders, newest first."""
    found = await storage.newest_orders(
        services.pool,
        subject.user_id,
        decode_numbered(cursor) if cursor else storage.FIRST_ORDERS,
        limit + 1,
        issue_id=str(issue_id) if issue_id else None,
        only_open=only_open,
    )
    return page_by(
        found,
        limit,
        lambda row: encode_numbered(row.placed_at_ms, row.issue_id, row.order_id),
        _row,
    )


def placing(user_id: str, body: NewOrder, key: bytes) -> PlaceOrder:
    """The command that places it."""
    return PlaceOrder(
        user_id,
        derive_id("order", key),
        body.side,
        body.kind,
        body.time_in_force,
        body.shares,
        body.price_minor,
        body.stop_minor,
        body.display,
        body.expires_at_ms,
        body.self_trade,
    )


def replacing(user_id: str, order_id: int, body: Replacement, key: bytes) -> ReplaceOrder:
    """The command that replaces it."""
    return ReplaceOrder(
        user_id,
        derive_id("order", key),
        order_id,
        body.shares,
        body.price_minor,
        body.post_only,
        body.self_trade,
    )


def shown(view: OrderView) -> dict[str, Any]:
    """An order's fields, as `Order` has them."""
    fields: dict[str, Any] = msgspec.structs.asdict(view)
    fields["remaining"] = fields.pop("left")
    return _shown(fields)


def _order(answer: Any, status: int = 200) -> Response:
    """The answer's bytes. Pydantic would check again what was an `OrderView` already."""
    assert isinstance(answer, OrderView), "an order is answered with an order"
    body = msgspec.json.encode(shown(answer))
    return Response(body, status, media_type="application/json")


def _row(row: storage.OrderRow) -> Order:
    return Order(**_shown(msgspec.structs.asdict(row)))


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    del fields["user_id"]
    fields["expires_at_ms"] = fields["expires_at_ms"] or None
    return fields
