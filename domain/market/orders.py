"""Orders: what each is refused for, and what it does to the book. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec.structs import replace

from domain.decision import Decision, Forget, Remind
from domain.market.advance import Advance
from domain.market.bands import Band
from domain.market.order_rules import (
    BY_BAND,
    check_order,
    check_price,
    check_replacement,
    edge,
    kernel_tif,
    refuse,
    require_open,
)
from domain.market.references import bands, refer
from domain.market.settlement import Exchange, hold_minor
from domain.market.state import Changes, Deciders, Market, Reserves, Timers
from domain.market.trading import OpenOrder, Trading
from domain.policy import MarketPolicy
from messages.ledger import LedgerTransaction
from messages.market import MarketEvent
from messages.market.order_errors import BookClosed, OrderMoved, OrderNotFound, OutsideBand
from messages.market.orders import (
    BookChanged,
    CancelOrder,
    EndPhase,
    Entered,
    ExpireOrders,
    Instruction,
    OrderChanged,
    Output,
    Phase,
    PlaceOrder,
    ReplaceOrder,
    Side,
)

EXPIRY_TIMER: Final = "expiry"
PHASE_TIMER: Final = "phase"
COLLECT: Final = Instruction("auction")

Outcome = Decision[MarketEvent]


class Funded(NamedTuple):
    """An order as it is decided: with its limit in ticks and the cash that is set aside for it.

    Both are as the batch began, before the ledger was asked; a market order's limit is the edge of
    the band as it was then.
    """

    command: PlaceOrder | ReplaceOrder
    limit: int
    reserved_minor: int


def funded(policy: MarketPolicy, market: Market, command: PlaceOrder | ReplaceOrder) -> Funded:
    """What an order needs of its owner's cash. Never refuses: that is for when it is decided."""
    trading = market.trading
    if trading is None or command.shares <= 0 or command.price_minor < 0:
        return Funded(command, 0, 0)
    most_bps = max(policy.maker_bps, policy.taker_bps)
    if isinstance(command, PlaceOrder):
        limit = command.price_minor // trading.tick_minor
        if command.kind in BY_BAND:
            limit = edge(bands(policy, market).static, command.side)
        value = command.shares * limit * trading.tick_minor
        return Funded(
            command, limit, hold_minor(value, most_bps) if command.side is Side.BUY else 0
        )
    limit = command.price_minor // trading.tick_minor
    order = trading.orders.get(command.order_id)
    if order is None or order.user_id != command.user_id or order.side is Side.SELL:
        return Funded(command, limit, 0)
    value = (command.shares - order.filled) * limit * trading.tick_minor
    return Funded(command, limit, max(0, hold_minor(value, most_bps) - order.held_minor))


def reserve(
    policy: MarketPolicy, market: Market, command: PlaceOrder | ReplaceOrder, now_ms: int
) -> tuple[LedgerTransaction, ...]:
    """The ledger's part of it, which is asked before the order is decided."""
    amount = funded(policy, market, command).reserved_minor
    if not amount:
        return ()
    exchange = Exchange(market.issue_id, market.issue.currency)
    return (exchange.reserve(command.user_id, command.request_id, amount, now_ms),)


Told = tuple[Entered | None, bool]  # whose order it is that was told the book; whether that halts


def tell_order(
    policy: MarketPolicy, market: Market, order: Funded | CancelOrder, advance: Advance
) -> Told:
    """Have the book do an order, in an entry that is being made. What it is refused for changes
    nothing, and `advance` is to drop it."""
    if type(order) is CancelOrder:
        return _cancel(market, order, advance)
    assert isinstance(order, Funded), "what is placed or replaced"
    refer(market, advance.now_ms)
    if type(order.command) is PlaceOrder:
        return _place(policy, market, order, advance)
    return _replace(policy, market, order, advance)


def decide(
    policy: MarketPolicy, market: Market, order: Funded | CancelOrder, now_ms: int
) -> Outcome:
    """Place, replace or cancel, as an entry of its own."""
    if market.trading is None:
        raise OrderNotFound(order_id=order.order_id) if type(order) is CancelOrder else BookClosed
    advance = Advance(market, now_ms)
    entered, halts = tell_order(policy, market, order, advance)
    return finish(policy, market, advance, entered=entered, halts=halts)


def _place(policy: MarketPolicy, market: Market, order: Funded, advance: Advance) -> Told:
    command = order.command
    assert isinstance(command, PlaceOrder), "what is placed"
    trading, limits = require_open(market), bands(policy, market)
    check_order(policy, market, command, limits.static, advance.now_ms)
    limit = _clamped(order, limits.static)
    instruction = Instruction(
        "new",
        command.side.value,
        kernel_tif(command),
        command.self_trade.value,
        trading.last_order_id + 1,
        trading.owner(command.user_id),
        limit,
        command.shares,
        command.stop_minor // trading.tick_minor,
        command.display,
        command.expires_at_ms,
    )
    halts = _match(trading, advance, instruction, command.side, limits.dynamic)
    entered = Entered(
        instruction.order_id,
        command.user_id,
        command.shares,
        limit,
        order.reserved_minor,
        policy.maker_bps,
        policy.taker_bps,
    )
    return entered, halts


def _replace(policy: MarketPolicy, market: Market, given: Funded, advance: Advance) -> Told:
    command = given.command
    assert isinstance(command, ReplaceOrder), "what is replaced"
    trading, limits = require_open(market), bands(policy, market)
    order = owned(market, command.user_id, command.order_id)
    left = check_replacement(market, order, command)
    check_price(trading, command.price_minor, limits.static)
    limit = command.price_minor // trading.tick_minor
    if order.side is Side.BUY:
        most_bps = max(policy.maker_bps, policy.taker_bps)
        needed = hold_minor(left * limit * trading.tick_minor, most_bps)
        if order.held_minor + given.reserved_minor < needed:
            raise OrderMoved
    instruction = Instruction(
        "replace",
        tif="post" if command.post_only else "gtc",
        stp=command.self_trade.value,
        order_id=order.order_id,
        owner=trading.owner(command.user_id),
        price=limit,
        quantity=left,
    )
    most = edge(limits.dynamic, order.side)
    if trading.phase is Phase.CONTINUOUS and (
        _reaches(trading, order.side, limit, most)
        or _meets_outside(trading, order.side, limit, limits.dynamic)
    ):
        raise _outside(limits.dynamic, trading)
    outputs = advance.run(instruction)
    refuse(outputs)
    halts = _is_passed(trading, advance, outputs, limits.dynamic)
    entered = Entered(
        order.order_id,
        command.user_id,
        command.shares,
        limit,
        given.reserved_minor,
        policy.maker_bps,
        policy.taker_bps,
        replaces=True,
    )
    return entered, halts


def _cancel(market: Market, command: CancelOrder, advance: Advance) -> Told:
    order = owned(market, command.user_id, command.order_id)
    assert market.trading is not None, "an order is in a book"
    owner = market.trading.owner(command.user_id)
    advance.run(Instruction("cancel", "", "", "", order.order_id, owner))
    return None, False


def _expire(policy: MarketPolicy, market: Market, command: ExpireOrders, now_ms: int) -> Outcome:
    trading = market.trading
    soonest = trading.book.next_expiry_ms() if trading is not None else None
    if soonest is None:
        return Decision()
    if soonest > now_ms:
        return Decision(timers=(Remind(EXPIRY_TIMER, soonest),))
    advance = Advance(market, now_ms)
    advance.run(Instruction("expire", expires=now_ms))
    return finish(policy, market, advance)


def owned(market: Market, user_id: str, order_id: int) -> OpenOrder:
    """A user's open order. Raises OrderNotFound, also where it is another's."""
    order = market.trading.orders.get(order_id) if market.trading is not None else None
    if order is None or order.user_id != user_id:
        raise OrderNotFound(order_id=order_id)
    return order


def finish(
    policy: MarketPolicy,
    market: Market,
    advance: Advance,
    *,
    phase: Phase | None = None,
    until_ms: int = 0,
    entered: Entered | None = None,
    halts: bool = False,
) -> Outcome:
    """The decision that an entry of the journal makes; in the phase as it is, if none is given."""
    trading = market.trading
    assert trading is not None, "a book that was opened"
    if halts:
        phase, until_ms = Phase.HALTED, advance.now_ms + policy.halt_ms
    elif phase is None:
        phase, until_ms = trading.phase, trading.until_ms
    before_ms = trading.until_ms
    facts = advance.finish(phase, until_ms, entered)
    timers = timers_after(trading, advance, before_ms)
    return Decision(tuple(facts), advance.answer(), tuple(advance.transactions), timers)


def timers_after(trading: Trading, advance: Advance, before_ms: int) -> tuple[Remind | Forget, ...]:
    """The timers that an entry sets or cancels. before_ms: when the phase was to end before it."""
    timers: list[Remind | Forget] = []
    if trading.until_ms != before_ms:
        until_ms = trading.until_ms
        timers.append(Remind(PHASE_TIMER, until_ms) if until_ms else Forget(PHASE_TIMER))
    expiry_ms = trading.book.next_expiry_ms() or 0
    if expiry_ms != advance.expiry_ms:
        timers.append(Remind(EXPIRY_TIMER, expiry_ms) if expiry_ms else Forget(EXPIRY_TIMER))
    return tuple(timers)


# --- matching inside the band ---------------------------------------------------------------------


def _match(trading: Trading, advance: Advance, new: Instruction, side: Side, dynamic: Band) -> bool:
    """Let the order trade as far as the dynamic band goes. Whether it would go on: that halts."""
    most = edge(dynamic, side)
    is_guarded = trading.phase is Phase.CONTINUOUS and not new.stop and new.tif != "post"
    if is_guarded and _meets_outside(trading, side, new.price, dynamic):
        if new.tif != "gtc":
            raise _outside(dynamic, trading)
        advance.run(COLLECT)
        outputs = advance.run(new)
        if outputs[0].kind == "rejected":
            trading.book.set_auction(collecting=False)  # nothing crosses yet: it is as it was
        refuse(outputs)
        return True
    if not is_guarded or not _reaches(trading, side, new.price, most):
        outputs = advance.run(new)
        refuse(outputs)
        return _is_passed(trading, advance, outputs, dynamic)
    tif = "fok" if new.tif == "fok" else "ioc"
    outputs = advance.run(replace(new, price=most, tif=tif, display=0, expires=0))
    refuse(outputs)
    left = next((o.quantity for o in outputs if _is_rest(o, new.order_id)), 0)
    halts = bool(left) and _crosses(trading, side, new.price)
    if halts:
        advance.run(COLLECT)
    if left and new.tif == "gtc":
        advance.run(replace(new, quantity=left))
    return halts or _is_passed(trading, advance, outputs, dynamic)


def _is_passed(
    trading: Trading, advance: Advance, outputs: tuple[Output, ...], dynamic: Band
) -> bool:
    """Whether stops that woke traded outside the band: the book collects from here on."""
    if trading.phase is not Phase.CONTINUOUS:
        return False
    if all(dynamic.holds(o.price) for o in outputs if o.kind == "trade"):
        return False
    advance.run(COLLECT)
    return True


def _is_rest(output: Output, order_id: int) -> bool:
    is_cancelled = output.kind == "cancelled" and output.reason == "ioc"
    return is_cancelled and output.order_id == order_id


def _reaches(trading: Trading, side: Side, limit: int, edge: int) -> bool:
    """Whether an order crosses, and would take prices beyond an edge."""
    beyond = limit > edge if side is Side.BUY else limit < edge
    return beyond and _crosses(trading, side, limit)


def _meets_outside(trading: Trading, side: Side, limit: int, dynamic: Band) -> bool:
    """Whether what an order would meet first has itself been left outside the band."""
    book = trading.book
    if side is Side.BUY:
        return book.best_ask is not None and book.best_ask <= min(limit, dynamic.low - 1)
    return book.best_bid is not None and book.best_bid >= max(limit, dynamic.high + 1)


def _crosses(trading: Trading, side: Side, limit: int) -> bool:
    if side is Side.BUY:
        ask = trading.book.best_ask
        return ask is not None and ask <= limit
    bid = trading.book.best_bid
    return bid is not None and bid >= limit


def _clamped(order: Funded, static: Band) -> int:
    """The limit: what was paid for, or the edge of the band if that is closer by now."""
    command = order.command
    assert isinstance(command, PlaceOrder), "what is placed"
    if command.kind not in BY_BAND:
        return order.limit
    return min(order.limit, static.high) if command.side is Side.BUY else static.low


def _outside(band: Band, trading: Trading) -> OutsideBand:
    tick = trading.tick_minor
    return OutsideBand(low_minor=band.low * tick, high_minor=band.high * tick)


def _told(market: Market, event: OrderChanged | BookChanged) -> None:
    """What the entry before it says is done."""


DECIDERS: Deciders = {Funded: decide, CancelOrder: decide, ExpireOrders: _expire}
RESERVES: Reserves = {PlaceOrder: reserve, ReplaceOrder: reserve}
TIMERS: Timers = {PHASE_TIMER: EndPhase, EXPIRY_TIMER: ExpireOrders}
CHANGES: Changes = {OrderChanged: _told, BookChanged: _told}
