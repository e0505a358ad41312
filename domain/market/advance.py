"""One entry of a book's journal being made: the book told, and everything that follows from it.

The same code runs when a command is decided and when its fact is read again: what the book answers,
whose orders are filled, what the ledger moves and what is told follows from the instructions alone.
An entry is what one command told the book, or what several did one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from domain.market.entries import entry, link, tell
from domain.market.holders import Holding
from domain.market.settlement import Exchange, Party, fee_minor, hold_minor
from domain.market.state import Market
from domain.market.trading import OpenOrder, Trading
from domain.market.views import changed
from messages.ledger import LedgerTransaction
from messages.market import HoldingChanged
from messages.market.orders import (
    BookAdvanced,
    BookChanged,
    EndReason,
    Entered,
    EntryPart,
    Instruction,
    OrderChanged,
    OrdersAdvanced,
    OrderView,
    Output,
    Phase,
    Side,
    Trade,
)

_REASONS = {
    "user": EndReason.USER,
    "ioc": EndReason.UNFILLED,
    "stp": EndReason.SELF_TRADE,
    "expired": EndReason.EXPIRED,
    "capacity": EndReason.REFUSED,
}


class TradesMet(NamedTuple):
    """Whose orders the trades of the `BookChanged` that follows were: (order, maker's order) each.

    For the read models: the journal's entry says the same, and the world is not told.
    """

    issue_id: str
    orders: tuple[tuple[int, int], ...]


_SIDES = {side.value: side for side in Side}
Runs = list[tuple[Instruction, tuple[Output, ...]]]
Consequence = OrderChanged | HoldingChanged | TradesMet | BookChanged
Told = BookAdvanced | OrderChanged | HoldingChanged | BookChanged


class Advance:
    """See the module. `run` the instructions of a command; then it is either the only one, so
    `finish`, or one of several, so `settle` each and `finish_together`. Nothing may be refused
    after the first instruction of a command that was not, but all that it told: then `drop` it."""

    def __init__(
        self,
        market: Market,
        now_ms: int,
        reason: EndReason = EndReason.NONE,
        *,
        together: bool = False,
    ) -> None:
        """reason: why what is cancelled in it ends, if the book cannot know.

        together: for several commands. What they set aside and give back is moved as its sum for
        each user, with what was asked of the ledger for them.
        """
        assert market.trading is not None, "a book that was opened"
        self._market = market
        self._trading: Trading = market.trading
        self.now_ms = now_ms
        self.expiry_ms = self._trading.book.next_expiry_ms() or 0  # before anything was told
        self._reason = reason
        self._exchange = Exchange(market.issue_id, market.issue.currency)
        self._number = self._trading.number + 1
        self._together = together
        # Of the command that is being settled.
        self._runs: Runs = []
        self._entering: OpenOrder | None = None
        self._is_fresh_sell = False
        self._in_auction = False
        self._uncrosses = False
        self._first = 0
        # Of all of them.
        self._instructions: list[Instruction] = []
        self._outputs: list[Output] = []
        self._parts: list[EntryPart] = []
        self._touched: dict[int, tuple[OpenOrder, EndReason]] = {}
        self._moved: dict[str, Holding] = {}
        self._met: list[tuple[Output, bool]] = []  # trades, and whether an auction made them
        self._trades: list[Trade] = []
        self._back: dict[tuple[str, bool], int] = {}  # to give back, by user and whether shares
        self.transactions: list[LedgerTransaction] = []

    @property
    def commands(self) -> int:
        """How many were settled."""
        return len(self._parts)

    def run(self, instruction: Instruction) -> tuple[Output, ...]:
        """Tell the book; what it answers. Nothing else has changed yet."""
        outputs = tell(self._trading.book, instruction)
        self._runs.append((instruction, outputs))
        return outputs

    def drop(self) -> None:
        """The command is refused, and the book as it was: what it told is no part of the entry."""
        self._runs = []

    def settle(self, entered: Entered | None = None) -> None:
        """Everything that follows from what a command told, done."""
        runs, self._runs = self._runs, []
        self._entering, self._is_fresh_sell, self._first = None, False, 0
        if entered is not None:
            self._enter(entered, runs)
        for place, (instruction, outputs) in enumerate(runs, 1):
            self._in_auction = self._uncrosses = instruction.op == "uncross"
            goes_on = entered is not None and any(told.op == "new" for told, _ in runs[place:])
            for output in outputs:
                if goes_on and output.kind == "cancelled" and self._is_entering(output):
                    continue  # what is left of it enters again
                _HANDLERS[output.kind](self, output)
            self._instructions.append(instruction)
            self._outputs += outputs
        self._set_aside()
        self._parts.append(EntryPart(len(runs), entered))

    def finish(self, phase: Phase, until_ms: int, entered: Entered | None = None) -> list[Told]:
        """Settle the only command; the facts that tell of it, the entry first."""
        self.settle(entered)
        has_new_phase = self._end_entry(phase, until_ms)
        self._link()
        fact = BookAdvanced(
            self._market.issue_id,
            self._number,
            self.now_ms,
            tuple(self._instructions),
            tuple(self._outputs),
            self._trading.chain,
            phase,
            until_ms,
            self._reason,
            entered,
        )
        return [fact, *self._orders(), *self._holdings(), *self._book(has_new_phase)]

    def finish_together(
        self, phase: Phase, until_ms: int
    ) -> tuple[OrdersAdvanced, list[Consequence]]:
        """The fact of all commands that were settled, and what else there is to tell of them."""
        has_new_phase = self._end_entry(phase, until_ms)
        text = self._link().decode()
        fact = OrdersAdvanced(
            self._market.issue_id,
            self._number,
            self.now_ms,
            text,
            self._trading.chain,
            phase,
            until_ms,
            tuple(self._parts),
        )
        told: list[Consequence] = [*self._orders(), *self._holdings()]
        if self._met:
            orders = tuple([(o.order_id, o.maker_order_id) for o, _ in self._met])
            told.append(TradesMet(self._market.issue_id, orders))
        told += self._book(has_new_phase)
        return fact, told

    def _end_entry(self, phase: Phase, until_ms: int) -> bool:
        """Nothing more comes. Whether the phase is another."""
        trading = self._trading
        has_new_phase = (phase, until_ms) != (trading.phase, trading.until_ms)
        self._move_back()
        self._observe(phase)
        trading.phase, trading.until_ms = phase, until_ms
        trading.number = self._number
        return has_new_phase

    def _link(self) -> bytes:
        """The entry, public as it is; the chain goes on with it."""
        trading = self._trading
        body = entry(self._number, self.now_ms, self._instructions, self._outputs)
        trading.chain = link(trading.chain, body)
        return body

    def _observe(self, phase: Phase) -> None:
        """What the price record is to know: phases, auctions and trades; quotes come later."""
        prices, now_ms = self._trading.prices, self.now_ms
        was_continuous = self._trading.phase is Phase.CONTINUOUS
        if phase is Phase.CONTINUOUS and not was_continuous:
            prices.resume(now_ms)
        for trade, uncrossed in self._met:
            if uncrossed:
                prices.anchor(now_ms, trade.price)
                self._trading.auctioned = (trade.price, now_ms)
                self._trading.referred_ms = 0  # bands are around it from now on
            else:
                same = trade.owner == trade.maker_owner
                prices.observe_trade(now_ms, trade.price, trade.quantity, same_owner=same)
        if phase is not Phase.CONTINUOUS and was_continuous:
            prices.halt(now_ms)

    # --- whose order it is ------------------------------------------------------------------------

    def _enter(self, entered: Entered, runs: Runs) -> None:
        if self._together and entered.reserved_minor:
            self._hold(entered.user_id, entered.reserved_minor, is_shares=False)
        if entered.replaces:
            self._reshape(entered)
            return
        first = next(told for told, _ in reversed(runs) if told.op == "new")
        order = OpenOrder(
            entered.order_id,
            entered.user_id,
            _SIDES[first.side],
            entered.shares,
            entered.shares,
            entered.price,
            first.stop,
            first.display,
            first.expires,
            entered.maker_bps,
            entered.taker_bps,
            self.now_ms,
            entered.reserved_minor,
            waiting=first.stop != 0,
        )
        self._trading.add(order)
        self._trading.last_order_id = entered.order_id
        holding = self._holding(order.user_id)
        if order.side is Side.BUY:
            holding.buying += order.left
        else:
            self._moved[order.user_id] = holding
            holding.hold(order.left)
            self._is_fresh_sell = True
        self._entering = order
        self._note(order, EndReason.NONE)

    def _reshape(self, entered: Entered) -> None:
        order = self._trading.orders[entered.order_id]
        grows = entered.shares - order.shares
        order.shares, order.left, order.price = entered.shares, order.left + grows, entered.price
        order.held_minor += entered.reserved_minor
        order.maker_bps, order.taker_bps = entered.maker_bps, entered.taker_bps
        holding = self._holding(order.user_id)
        if order.side is Side.BUY:
            holding.buying += grows
        elif grows:
            self._moved[order.user_id] = holding
            holding.hold(grows)
            self._hold_more(order.user_id, grows)
        self._entering = order
        self._note(order, EndReason.NONE)

    def _hold_more(self, user_id: str, shares: int) -> None:
        if self._together:
            self._hold(user_id, shares, is_shares=True)
            return
        # Ahead of the trades that may take them.
        self.transactions.append(
            self._exchange.hold(user_id, shares, self._number, shares=True, part="size")
        )

    def _is_entering(self, output: Output) -> bool:
        return self._entering is not None and output.order_id == self._entering.order_id

    # --- what the book said -----------------------------------------------------------------------

    def _acked(self, output: Output) -> None:
        pass  # its order is known

    def _traded(self, output: Output) -> None:
        trading, shares = self._trading, output.quantity
        taker, maker = trading.orders[output.order_id], trading.orders[output.maker_order_id]
        value = shares * output.price * trading.tick_minor
        taker_bps = taker.maker_bps if self._in_auction else taker.taker_bps
        fees = {
            id(maker): fee_minor(value, maker.maker_bps),
            id(taker): fee_minor(value, taker_bps),
        }
        buy, sell = (taker, maker) if output.side == "buy" else (maker, taker)
        trading.last_trade_id += 1
        trading.last = output.price
        buyer = Party(buy.user_id, fees[id(buy)], self._bought(buy, shares, value, fees[id(buy)]))
        is_held = not (self._is_fresh_sell and sell is self._entering)
        seller = Party(sell.user_id, fees[id(sell)], is_held=is_held)
        self._sold(sell, shares, value, seller.fee_minor)
        self.transactions.append(
            self._exchange.trade(trading.last_trade_id, shares, value, buyer, seller)
        )
        price_minor = output.price * trading.tick_minor
        self._met.append((output, self._uncrosses))
        self._trades.append(Trade(trading.last_trade_id, price_minor, shares, _SIDES[output.side]))
        for order in (taker, maker):
            self._end(order, EndReason.NONE if order.left else EndReason.FILLED)

    def _bought(self, order: OpenOrder, shares: int, value: int, fee: int) -> int:
        """Note a buy in part; what it needs to hold no more."""
        _fill(order, shares, value, fee)
        still = self._needs(order)
        released = order.held_minor - still - value - fee
        assert released >= 0, "a buy holds what its trades take"
        order.held_minor = still
        holding = self._holding(order.user_id)
        holding.buying -= shares
        holding.acquire(shares, value + fee)
        self._moved[order.user_id] = holding
        return released

    def _sold(self, order: OpenOrder, shares: int, value: int, fee: int) -> None:
        _fill(order, shares, value, fee)
        holding = self._holding(order.user_id)
        holding.dispose(shares, value - fee)
        self._moved[order.user_id] = holding

    def _cancelled(self, output: Output) -> None:
        order = self._trading.orders[output.order_id]
        assert order.left == output.quantity, "the book and its owner know the same"
        self._shrink(order, order.left)
        self._end(order, self._reason or _REASONS[output.reason])

    def _decremented(self, output: Output) -> None:
        for order_id in (output.order_id, output.maker_order_id):
            order = self._trading.orders[order_id]
            order.shares -= output.quantity
            self._shrink(order, output.quantity)
            self._end(order, EndReason.NONE if order.left else EndReason.SELF_TRADE)

    def _rejected(self, output: Output) -> None:
        """The rest of an order that was to wait for an auction did not get in."""
        order = self._trading.orders[output.order_id]
        self._shrink(order, order.left)
        self._end(order, EndReason.REFUSED)

    def _triggered(self, output: Output) -> None:
        self._in_auction = False
        order = self._trading.orders[output.order_id]
        order.waiting = False
        self._end(order, EndReason.NONE)

    # --- what is set aside ------------------------------------------------------------------------

    def _shrink(self, order: OpenOrder, shares: int) -> None:
        """An order wants so much less: give back what it held for that."""
        order.left -= shares
        holding = self._holding(order.user_id)
        if order.side is Side.SELL:
            self._moved[order.user_id] = holding
            holding.hold(-shares)
            if not (self._is_fresh_sell and order is self._entering):
                self._hold(order.user_id, -shares, is_shares=True)
            return
        holding.buying -= shares
        self._give_back_cash(order)

    def _give_back_cash(self, order: OpenOrder) -> None:
        still = self._needs(order)
        if still != order.held_minor:
            self._hold(order.user_id, still - order.held_minor, is_shares=False)
            order.held_minor = still

    def _set_aside(self) -> None:
        """What the entering order left in the book."""
        order = self._entering
        if order is not None and order.left:
            if order.side is Side.BUY:
                self._give_back_cash(order)
            elif self._is_fresh_sell:
                self._hold(order.user_id, order.left, is_shares=True)

    def _move_back(self) -> None:
        """What is set aside, and what is no longer needed."""
        for (user_id, is_shares), amount in self._back.items():
            if amount:
                self.transactions.append(
                    self._exchange.hold(user_id, amount, self._number, shares=is_shares)
                )

    def _hold(self, user_id: str, amount: int, *, is_shares: bool) -> None:
        place = (user_id, is_shares)
        self._back[place] = self._back.get(place, 0) + amount

    def _needs(self, order: OpenOrder) -> int:
        value = order.left * order.price * self._trading.tick_minor
        return hold_minor(value, order.most_bps)

    # --- bookkeeping ------------------------------------------------------------------------------

    def _end(self, order: OpenOrder, reason: EndReason) -> None:
        """Note that an order changed, and that it is over if there is a reason."""
        if reason:
            assert not order.left, "what is over wants nothing"
            self._trading.remove(order)
        self._note(order, reason)

    def _note(self, order: OpenOrder, reason: EndReason) -> None:
        self._first = self._first or order.order_id
        self._touched[order.order_id] = (order, reason)

    def _holding(self, user_id: str) -> Holding:
        return self._market.owned_by(user_id)

    # --- what is told -----------------------------------------------------------------------------

    def answer(self) -> OrderView | None:
        """The order that the last command placed, replaced or cancelled; the first, of several."""
        if not self._first:
            return None
        order, reason = self._touched[self._first]
        fields = order.fields(self._market.issue_id, self._trading.tick_minor, self.now_ms, reason)
        return OrderView(*fields)

    def _orders(self) -> Iterable[OrderChanged]:
        issue_id, tick, now_ms = self._market.issue_id, self._trading.tick_minor, self.now_ms
        return [
            OrderChanged(*order.fields(issue_id, tick, now_ms, reason))
            for order, reason in self._touched.values()
        ]

    def _holdings(self) -> Iterable[HoldingChanged]:
        for user_id, holding in self._moved.items():
            yield changed(self._market.issue_id, user_id, holding, self.now_ms)

    def _book(self, changed_phase: bool) -> Iterable[BookChanged]:
        trading, levels = self._trading, self._trading.take_changes()
        if not (levels or self._trades or changed_phase):
            return
        if levels:
            trading.note_quotes(self.now_ms, levels)
        trading.depth.number += 1
        yield BookChanged(
            self._market.issue_id,
            trading.depth.number,
            trading.depth.number - 1,
            trading.depth.checksum,
            levels,
            tuple(self._trades),
            trading.phase,
            trading.until_ms,
            self.now_ms,
        )


def _fill(order: OpenOrder, shares: int, value: int, fee: int) -> None:
    order.left -= shares
    order.filled += shares
    order.paid_minor += value
    order.fee_minor += fee
    assert order.left >= 0, "no order is filled beyond its size"


_HANDLERS: dict[str, Callable[[Advance, Output], None]] = {
    "ack": Advance._acked,
    "trade": Advance._traded,
    "cancelled": Advance._cancelled,
    "rejected": Advance._rejected,
    "replaced": Advance._acked,
    "decremented": Advance._decremented,
    "triggered": Advance._triggered,
}
