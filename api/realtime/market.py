"""Trading through the WebSocket: place, replace and cancel orders, the book as it stands.

What comes of an order later is told on the owner's `user:<id>` channel, what everyone may know on
`book:<issue id>`. A client that wants the whole book subscribes, asks for `market.depth`, and
applies the changes whose `after` is what it has; `domain/market/depth.py` has the checksum.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from api.inputs import MAX_INTEGER
from api.realtime.operations import Asks, Operations, Question
from api.realtime.session import ClientSession
from api.services import EntityHandle
from domain.access import Permission
from messages.keys import derive_id, is_id
from messages.market.order_errors import BookNotFound
from messages.market.orders import (
    BookView,
    CancelOrder,
    GetBook,
    OrderKind,
    OrderView,
    PlaceOrder,
    ReplaceOrder,
    SelfTrade,
    Side,
    TimeInForce,
)

MAX_LEVELS = 1_000

Id = Annotated[str, Meta(max_length=64)]
Whole = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class PlaceParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order to buy or sell shares. The fields are those of `POST /api/v1/books/{id}/orders`."""

    issue_id: Id
    side: Side
    shares: Whole
    kind: OrderKind = OrderKind.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    price_minor: Whole = 0
    stop_minor: Whole = 0
    display: Whole = 0
    expires_at_ms: Whole = 0
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST


class CancelParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order of a book."""

    issue_id: Id
    order_id: Whole


class ReplaceParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an order is to be from now on; `shares` with what is filled already."""

    issue_id: Id
    order_id: Whole
    shares: Whole
    price_minor: Whole
    post_only: bool = False
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST


class DepthParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The book of an issue, `levels` of each side; 0: all."""

    issue_id: Id
    levels: Annotated[int, Meta(ge=0, le=MAX_LEVELS)] = 0


class MarketOperations:
    """The operations of trading. `handle`: of the kind `market`."""

    def __init__(self, handle: EntityHandle) -> None:
        self._handle = handle

    def register(self, operations: Operations) -> None:
        """Add them to the realtime door's registry."""
        by_name: dict[str, tuple[Asks, type[msgspec.Struct]]] = {
            "place": (self.place, PlaceParams),
            "cancel": (self.cancel, CancelParams),
            "replace": (self.replace, ReplaceParams),
        }
        for name, (asks, params) in by_name.items():
            operations.register_asking(
                f"market.{name}",
                self._handle,
                asks,
                params,
                permission=Permission.TRADE,
                result_type=OrderView,
            )
        operations.register_asking(
            "market.depth",
            self._handle,
            self.depth,
            DepthParams,
            permission=None,
            result_type=BookView,
        )

    def place(self, session: ClientSession, params: PlaceParams) -> Question:
        """Place an order; what became of it at once."""
        user_id, key = session.require_subject().user_id, session.key()
        command = PlaceOrder(
            user_id,
            derive_id("order", key),
            params.side,
            params.kind,
            params.time_in_force,
            params.shares,
            params.price_minor,
            params.stop_minor,
            params.display,
            params.expires_at_ms,
            params.self_trade,
        )
        return _question(params.issue_id, command, key)

    def cancel(self, session: ClientSession, params: CancelParams) -> Question:
        """Take an order out of the book."""
        command = CancelOrder(session.require_subject().user_id, params.order_id)
        return _question(params.issue_id, command, session.key())

    def replace(self, session: ClientSession, params: ReplaceParams) -> Question:
        """Give an order another size or price."""
        user_id, key = session.require_subject().user_id, session.key()
        command = ReplaceOrder(
            user_id,
            derive_id("order", key),
            params.order_id,
            params.shares,
            params.price_minor,
            params.post_only,
            params.self_trade,
        )
        return _question(params.issue_id, command, key)

    def depth(self, session: ClientSession, params: DepthParams) -> Question:
        """The book as it stands, with the number of its last change."""
        return _question(params.issue_id, GetBook(params.levels), session.key())


def _question(issue_id: str, command: Any, key: bytes) -> Question:
    if not is_id(issue_id):
        raise BookNotFound
    return Question(issue_id, command, key)
