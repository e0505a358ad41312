"""What speaks against an order before the book is asked, and what the book's refusals mean."""

from __future__ import annotations

from collections.abc import Sequence

from domain.market.bands import Band
from domain.market.locks import check_free
from domain.market.references import reference
from domain.market.sale import check_cap
from domain.market.settlement import hold_minor
from domain.market.state import Market
from domain.market.trading import OpenOrder, Trading
from domain.policy import MarketPolicy
from messages.errors import Refusal
from messages.market import IssueStatus
from messages.market.order_errors import (
    AuctionOrders,
    BadOrder,
    BadQuantity,
    BadTick,
    BookClosed,
    BookFull,
    BookHalted,
    CannotFill,
    NotReplaceable,
    OrdersLimited,
    OutsideBand,
    StopReached,
    WouldCross,
)
from messages.market.orders import (
    OrderKind,
    Output,
    Phase,
    PlaceOrder,
    ReplaceOrder,
    Side,
    TimeInForce,
)

TRADED = frozenset({IssueStatus.ACTIVE, IssueStatus.SOLD_OUT})
_LIMITS = frozenset({OrderKind.LIMIT, OrderKind.STOP_LIMIT})
_STOPS = frozenset({OrderKind.STOP, OrderKind.STOP_LIMIT})
BY_BAND = frozenset({OrderKind.MARKET, OrderKind.STOP})  # whose limit is the edge of the band
_STAYING = frozenset({TimeInForce.GTC, TimeInForce.GTD})
_MAY_BE: dict[OrderKind, frozenset[TimeInForce]] = {
    OrderKind.LIMIT: frozenset(TimeInForce),
    OrderKind.MARKET: frozenset({TimeInForce.IOC, TimeInForce.FOK}),
    OrderKind.STOP: _STAYING,
    OrderKind.STOP_LIMIT: _STAYING,
}
_REFUSALS: dict[str, type[Refusal]] = {
    "quantity": BadQuantity,
    "price": OutsideBand,
    "post_only": WouldCross,
    "fok": CannotFill,
    "capacity": BookFull,
    "auction": AuctionOrders,
    "display": BadOrder,
    "expiry": BadOrder,
    "stop": BadOrder,
}


def require_open(market: Market) -> Trading:
    """The trading of a book that takes orders. Raises BookClosed, BookHalted."""
    trading = market.trading
    if trading is None or trading.phase is Phase.CLOSED or market.issue.status not in TRADED:
        raise BookClosed
    if trading.phase is Phase.HALTED:
        raise BookHalted(until_ms=trading.until_ms)
    return trading


def kernel_tif(command: PlaceOrder) -> str:
    """How long the book lets it rest; a stop without a limit takes what there is when it wakes."""
    if command.kind is OrderKind.STOP:
        return "ioc"
    if command.time_in_force is TimeInForce.GTD:
        return "gtc"
    return command.time_in_force.value


def edge(band: Band, side: Side) -> int:
    """The worst price inside a band for an order of a side."""
    return band.high if side is Side.BUY else band.low


def check_order(
    policy: MarketPolicy, market: Market, command: PlaceOrder, static: Band, now_ms: int
) -> None:
    """Refuse an order for what it says, then for what its owner has."""
    trading = market.trading
    assert trading is not None, "an open book"
    _check_parts(policy, command, now_ms)
    if not 0 < command.shares <= market.issue.shares:
        raise BadQuantity(most=market.issue.shares)
    if command.kind in _LIMITS:
        check_price(trading, command.price_minor, static)
    if command.kind in _STOPS:
        check_price(trading, command.stop_minor, static)
        _check_stop(market, command, trading)
    if trading.open_orders(command.user_id) >= policy.max_open_orders:
        raise OrdersLimited(limit=policy.max_open_orders)
    if command.side is Side.SELL:
        check_free(market, command.user_id, command.shares)
        return
    check_cap(market, command.user_id, command.shares)
    value = (
        command.shares
        * (command.price_minor // trading.tick_minor or static.high)
        * trading.tick_minor
    )
    if hold_minor(value, policy.taker_bps) > policy.max_held_minor:
        raise BadOrder("the order is worth too much", field="price_minor")


def check_replacement(market: Market, order: OpenOrder, command: ReplaceOrder) -> int:
    """Refuse a replacement for what its owner has. How many shares are then still wanted."""
    if order.waiting:
        raise NotReplaceable
    left = command.shares - order.filled
    if not 0 < left <= market.issue.shares:
        raise BadQuantity(most=market.issue.shares)
    grows = left - order.left
    if grows > 0 and order.side is Side.SELL:
        check_free(market, order.user_id, grows)
    elif grows > 0:
        check_cap(market, order.user_id, grows)
    return left


def check_price(trading: Trading, price_minor: int, band: Band) -> None:
    """Raises BadTick, OutsideBand."""
    tick = trading.tick_minor
    if price_minor <= 0 or price_minor % tick:
        raise BadTick(tick_minor=tick)
    if not band.holds(price_minor // tick):
        raise OutsideBand(low_minor=band.low * tick, high_minor=band.high * tick)


def refuse(outputs: Sequence[Output]) -> None:
    """Raise what the book's no to a command means, if it is one; then nothing has changed."""
    if outputs and outputs[0].kind == "rejected":
        raise _REFUSALS[outputs[0].reason]


def _check_parts(policy: MarketPolicy, command: PlaceOrder, now_ms: int) -> None:
    tif = command.time_in_force
    if tif not in _MAY_BE[command.kind]:
        raise BadOrder("this kind of order cannot have this time in force", field="time_in_force")
    if (command.kind in _LIMITS) != bool(command.price_minor):
        raise BadOrder("a limit has a price, and nothing else has", field="price_minor")
    if (command.kind in _STOPS) != bool(command.stop_minor):
        raise BadOrder("a stop has a stop price, and nothing else has", field="stop_minor")
    can_hide = command.kind is OrderKind.LIMIT and tif not in {TimeInForce.IOC, TimeInForce.FOK}
    if command.display < 0 or (command.display and not can_hide):
        raise BadOrder("only an order that rests can show a part of itself", field="display")
    if (tif is TimeInForce.GTD) != bool(command.expires_at_ms):
        raise BadOrder("a good-til-date order has a date, and no other", field="expires_at_ms")
    if command.expires_at_ms and not 0 < command.expires_at_ms - now_ms <= policy.max_gtd_ms:
        raise BadOrder("the date is past or too far", field="expires_at_ms")


def _check_stop(market: Market, command: PlaceOrder, trading: Trading) -> None:
    """A stop waits for a trade that is yet to come."""
    last, stop = reference(market), command.stop_minor // trading.tick_minor
    if stop <= last if command.side is Side.BUY else stop >= last:
        raise StopReached
