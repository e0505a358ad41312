"""Whatever is asked of a book in whatever order: nothing is lost, nobody is passed over, and the
facts make the same book again."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.market.depth import checksum
from domain.market.quotes import quotable
from domain.market.trading import QUOTED_LEVELS
from domain.policy import MarketPolicy
from messages.errors import Refusal
from messages.market.orders import (
    BookAdvanced,
    BookChanged,
    CloseTrading,
    DepthLevel,
    HaltTrading,
    OpenTrading,
    OrderChanged,
    OrderKind,
    Output,
    Phase,
    ResumeTrading,
    SelfTrade,
    Side,
    TimeInForce,
)
from tests.unit.market_desk import ARTIST, FAN, OTHER, TICK, Desk, active

USERS = st.sampled_from((ARTIST, FAN, OTHER))
NEAR = st.integers(197, 203)
PRICES = st.one_of(NEAR, NEAR, NEAR, st.integers(186, 214)).map(lambda ticks: ticks * TICK)
SHARES = st.integers(1, 60)
POLICY = MarketPolicy(max_open_orders=6, max_book_orders=14, halt_ms=5_000, auction_ms=3_000)


class Shown:
    """An order as a listener to the journal knows it."""

    def __init__(self, side: str, price: int, left: int, owner: int) -> None:
        self.side, self.price, self.left, self.owner = side, price, left, owner


class Trading(RuleBasedStateMachine):
    """A market under arbitrary commands, beside a plain model that hears only facts."""

    @initialize(cash=st.integers(100_000, 10_000_000))
    def begin(self, cash: int) -> None:
        self.desk = Desk(
            active(shares=2_000, artist=700, fan=400, other=400),
            {ARTIST: cash, FAN: cash, OTHER: cash},
            POLICY,
        )
        self.desk.open()
        self.desk.pass_time(1)
        self.levels: dict[tuple[Side, int], int] = {}
        self.number = 0
        self.live: dict[int, Shown] = {}
        self.size: dict[int, tuple[int, int]] = {}
        self.heard = 0
        self.hear()

    def hear(self) -> None:
        """Take in what was told since."""
        events = self.desk.events[self.heard :]
        self.heard = len(self.desk.events)
        for event in events:
            if isinstance(event, BookChanged):
                self.number += 1
                assert (event.after, event.depth_number) == (self.number - 1, self.number)
                self.follow(event)
            elif isinstance(event, BookAdvanced):
                self.advance(event)
            elif isinstance(event, OrderChanged):
                assert event.filled <= event.shares, "no order is filled beyond its size"

    def follow(self, event: BookChanged) -> None:
        for level in event.levels:
            self.levels[level.side, level.price_minor] = level.shares
        self.levels = {place: shares for place, shares in self.levels.items() if shares}
        assert event.checksum == checksum(DepthLevel(*at, n) for at, n in self.levels.items())

    def advance(self, event: BookAdvanced) -> None:
        at_once = {told.op for told in event.instructions} & {"uncross"}
        for told in event.instructions:
            if told.op == "new":
                self.terms = told
        for output in event.outputs:
            if output.kind == "trade" and not at_once:
                self.check_best(output)
            self.note(output)

    def check_best(self, trade: Output) -> None:
        """The maker has the best price of all that the taker may meet."""
        maker = self.live[trade.maker_order_id]
        others = [o for o in self.live.values() if o.side == maker.side and o.owner != trade.owner]
        prices = [order.price for order in others]
        assert trade.price == maker.price
        assert maker.price == (min(prices) if maker.side == "sell" else max(prices))

    def note(self, output: Output) -> None:
        if output.kind == "ack":
            if not self.terms.stop:
                self.live[output.order_id] = Shown(
                    output.side, output.price, output.quantity, output.owner
                )
        elif output.kind in {"replaced", "triggered"}:
            self.live[output.order_id] = Shown(
                output.side, output.price, output.quantity, output.owner
            )
        elif output.kind in {"trade", "decremented"}:
            for order_id in (output.order_id, output.maker_order_id):
                self.live[order_id].left -= output.quantity
                assert self.live[order_id].left >= 0
                if not self.live[order_id].left:
                    del self.live[order_id]
        elif output.kind == "cancelled":
            self.live.pop(output.order_id, None)

    def attempt(self, what: Any, *given: Any, **changes: Any) -> None:
        before = self.desk.picture()
        try:
            what(*given, **changes)
        except Refusal:
            assert self.desk.picture() == before, "what is refused changes nothing"
        self.hear()

    @rule(
        user=USERS,
        side=st.sampled_from(Side),
        shares=SHARES,
        price=PRICES,
        tif=st.sampled_from(TimeInForce),
        stp=st.sampled_from(SelfTrade),
        display=st.sampled_from((0, 0, 7)),
    )
    def limit(self, **given: Any) -> None:
        tif, display = given["tif"], given["display"]
        rests = tif not in {TimeInForce.IOC, TimeInForce.FOK}
        self.attempt(
            self.desk.order,
            given["user"],
            given["side"],
            given["shares"],
            given["price"],
            tif=tif,
            display=display if rests else 0,
            expires_at_ms=self.desk.now_ms + 4_000 if tif is TimeInForce.GTD else 0,
            self_trade=given["stp"],
        )

    @rule(user=USERS, side=st.sampled_from(Side), shares=SHARES)
    def market(self, user: str, side: Side, shares: int) -> None:
        self.attempt(
            self.desk.order, user, side, shares, kind=OrderKind.MARKET, tif=TimeInForce.IOC
        )

    @rule(user=USERS, side=st.sampled_from(Side), shares=SHARES, stop=PRICES, price=PRICES)
    def stop(self, user: str, side: Side, shares: int, stop: int, price: int) -> None:
        kind = OrderKind.STOP_LIMIT if price > stop else OrderKind.STOP
        limit = price if price > stop else 0
        self.attempt(self.desk.order, user, side, shares, limit, kind=kind, stop_minor=stop)

    @rule(user=USERS, order_id=st.integers(1, 40))
    def cancel(self, user: str, order_id: int) -> None:
        self.attempt(self.desk.cancel, user, order_id)

    @rule(data=st.data(), shares=SHARES, price=PRICES, post=st.booleans())
    def replace(self, data: st.DataObject, shares: int, price: int, post: bool) -> None:
        orders = self.desk.market.trading.orders  # type: ignore[union-attr]
        if orders:
            order = orders[data.draw(st.sampled_from(sorted(orders)))]
            given = (order.user_id, order.order_id, shares, price)
            self.attempt(self.desk.replace, *given, post_only=post)

    @rule(ms=st.sampled_from((500, 3_000, 8_000)))
    def wait(self, ms: int) -> None:
        self.desk.pass_time(ms)
        self.hear()

    @rule(
        command=st.sampled_from((HaltTrading(), CloseTrading(), CloseTrading(True))),
        is_rare=st.integers(0, 7),
    )
    def stop_trading(self, command: Any, is_rare: int) -> None:
        if not is_rare:
            self.attempt(self.desk.ask, command)

    @rule(command=st.sampled_from((ResumeTrading(), OpenTrading())))
    def start_trading(self, command: Any) -> None:
        self.attempt(self.desk.ask, command)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "desk"):
            self.desk.check()
            trading = self.desk.market.trading
            assert trading is not None
            assert self.levels == trading.depth.levels
            quoted = tuple(price * TICK for price in trading.quotes())
            assert trading.quoted == quoted, "no change of the quotes is overlooked"
            book = trading.book
            if trading.phase is Phase.CONTINUOUS and book.best_bid and book.best_ask:
                assert book.best_bid < book.best_ask, "a book is never crossed"
            floor_minor = trading.prices.policy.min_quote_minor
            assert trading.quoted == tuple(
                TICK * quotable([level[:2] for level in side], TICK, floor_minor)
                for side in book.depth(QUOTED_LEVELS)
            ), "what was not looked at again has not changed"

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        before, events = self.desk.picture(), len(self.desk.events)
        for split in range(0, events, max(1, events // 6)):
            self.desk.market = self.desk.rebuilt(split)
            assert self.desk.picture() == before, "the facts make the same market"


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
