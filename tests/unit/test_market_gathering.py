"""Orders that make an entry together come to what they come to one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ledger import settle
from domain.market import gathering as together
from domain.market import market as rules
from domain.market.gathering import MAX_COMMANDS, Gathering
from domain.market.rematch import Rematch
from domain.market.state import Market, StoredMarket, restored, stored
from domain.policy import MarketPolicy
from messages.errors import InsufficientFunds, Refusal
from messages.ledger import LedgerTransaction
from messages.market.accounts import PURPOSE_HOLD, PURPOSE_RELEASE
from messages.market.orders import (
    BookAdvanced,
    CancelOrder,
    EntryJoined,
    OrderChanged,
    OrderKind,
    OrdersAdvanced,
    Phase,
    PlaceOrder,
    ReplaceOrder,
    SelfTrade,
    Side,
    TimeInForce,
)
from tests.unit.market_desk import ARTIST, FAN, OTHER, TICK, Desk, active

POLICY = MarketPolicy(max_open_orders=12, max_book_orders=30)
RICH = 10**9
USERS = st.sampled_from((ARTIST, FAN, OTHER))
PRICES = st.one_of(st.integers(196, 204), st.integers(188, 212)).map(lambda ticks: ticks * TICK)
PLACES = st.builds(
    PlaceOrder,
    USERS,
    st.uuids().map(str),
    st.sampled_from(Side),
    st.just(OrderKind.LIMIT),
    st.sampled_from((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.POST)),
    st.integers(1, 60),
    PRICES,
    st.just(0),
    st.just(0),
    st.just(0),
    st.sampled_from(SelfTrade),
)
CANCELS = st.builds(CancelOrder, USERS, st.integers(1, 30))
REPLACES = st.builds(
    ReplaceOrder, USERS, st.uuids().map(str), st.integers(1, 30), st.integers(1, 60), PRICES
)
ORDERS = st.lists(st.one_of(PLACES, PLACES, PLACES, CANCELS, REPLACES), max_size=40)
decode_state = msgspec.msgpack.Decoder(StoredMarket).decode


class Told:
    """A market whose orders are gathered, with the facts and the money that came of them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.market = restored(decode_state(msgspec.msgpack.encode(stored(desk.market))))
        self.balances = dict(desk.balances)
        self.facts: list[Any] = []
        self.told: list[Any] = []
        self.open: Gathering | None = None
        self.entries: list[OrdersAdvanced] = []

    def ask(self, command: Any) -> Any:
        if self.open is None:
            self.open = Gathering(POLICY, self.market, self.desk.now_ms)
        given = rules.prepared(POLICY, self.market, command) or command
        answer = self.open.take(given)
        self.facts.append(self.open.part)
        if self.open.is_full:
            self.finish()
        return answer

    def finish(self) -> None:
        if self.open is not None and not self.open.is_empty:
            made = self.open.finish()
            self.facts.append(made.fact)
            self.entries.append(made.fact)
            self.told += made.told
            self.post(made.transactions)
        self.open = None

    def post(self, transactions: Any) -> None:
        settlement = settle(self.balances, transactions, together=True)
        for code, gain in settlement.deltas.items():
            self.balances[code] = self.balances.get(code, 0) + gain


def picture(market: Market) -> Any:
    trading = market.trading
    assert trading is not None
    return (
        trading.book.state_hash(),
        trading.depth.checksum,
        msgspec.to_builtins(trading.orders),
        (trading.last_order_id, trading.last_trade_id, trading.last),
        (trading.phase, trading.until_ms),
        msgspec.to_builtins(market.holders),
    )


def begun() -> Desk:
    desk = Desk(
        active(shares=2_000, artist=700, fan=400, other=400),
        {ARTIST: RICH, FAN: RICH, OTHER: RICH},
        POLICY,
    )
    desk.open()
    return desk


def outcome(ask: Any, command: Any) -> Any:
    try:
        return ask(command)
    except InsufficientFunds:
        raise
    except Refusal as refusal:
        return refusal.code


@settings(max_examples=150)
@given(ORDERS, st.integers(1, 40))
def test_together_they_come_to_the_same(orders: list[Any], size: int) -> None:
    desk = begun()
    told = Told(desk)
    for number, command in enumerate(orders, 1):
        assert outcome(told.ask, command) == outcome(desk.ask, command)
        if number % size == 0:
            told.finish()
    told.finish()
    assert picture(told.market) == picture(desk.market)
    assert {code: n for code, n in told.balances.items() if n} == {
        code: n for code, n in desk.balances.items() if n
    }


@settings(max_examples=50)
@given(ORDERS, st.integers(0, 60))
def test_their_facts_make_the_same_market_and_the_same_journal(orders: list[Any], at: int) -> None:
    desk = begun()
    told = Told(desk)
    for command in orders:
        outcome(told.ask, command)
    told.finish()
    again = restored(decode_state(msgspec.msgpack.encode(stored(desk.market))))
    for number, fact in enumerate(told.facts):
        if number == at:
            again = restored(decode_state(msgspec.msgpack.encode(stored(again))))
        rules.evolve(again, fact)
    assert msgspec.to_builtins(stored(again)) == msgspec.to_builtins(stored(told.market))
    trading = told.market.trading
    assert trading is not None
    public = Rematch(trading.max_price, trading.capacity)
    for entry in [event for event in desk.events if isinstance(event, BookAdvanced)]:
        text = msgspec.json.encode((entry.number, entry.at_ms, entry.instructions, entry.outputs))
        assert public.take(text, entry.chain), public.wrong
    for made in told.entries:
        assert public.take(made.text.encode(), made.chain), public.wrong
    assert public.book.state_hash() == trading.book.state_hash()


def test_an_entry_holds_so_many_and_ends_where_the_book_halts() -> None:
    desk = begun()
    gathering = Gathering(POLICY, desk.market, desk.now_ms)
    for number in range(MAX_COMMANDS):
        assert not gathering.is_full
        user = (ARTIST, FAN, OTHER)[number % 3]
        gathering.take(_funded(desk, _buy(user, 900 - TICK * (number % 5), tif=TimeInForce.IOC)))
    assert gathering.is_full
    made = gathering.finish()
    assert len(made.fact.parts) == MAX_COMMANDS
    assert not made.transactions, "what was set aside was given back"
    desk.sell(ARTIST, 5, 1_000)
    desk.sell(ARTIST, 5, 1_100)
    gathering = Gathering(POLICY, desk.market, desk.now_ms)
    gathering.take(_funded(desk, _buy(FAN, 1_150, shares=8)))
    assert gathering.is_full, "it would have traded outside the band"
    made = gathering.finish()
    assert (made.fact.phase, made.fact.until_ms) == (
        Phase.HALTED,
        desk.now_ms + POLICY.halt_ms,
    )
    assert [timer.name for timer in made.timers] == ["phase"]


def test_a_refused_order_leaves_nothing_of_itself_in_the_entry() -> None:
    desk = begun()
    desk.sell(ARTIST, 5, 1_000)
    gathering = Gathering(POLICY, desk.market, desk.now_ms)
    with pytest.raises(Refusal):
        gathering.take(_funded(desk, _buy(FAN, 1_000, tif=TimeInForce.POST)))
    assert gathering.is_empty
    answer = gathering.take(_funded(desk, _buy(FAN, 995)))
    made = gathering.finish()
    assert [part.instructions for part in made.fact.parts] == [1]
    assert [event.order_id for event in made.told if isinstance(event, OrderChanged)] == [
        answer.order_id
    ]
    assert gathering.part == EntryJoined(made.fact.number)


def test_what_was_set_aside_and_given_back_is_moved_as_its_sum() -> None:
    desk = begun()
    gathering = Gathering(POLICY, desk.market, desk.now_ms)
    first = gathering.take(_funded(desk, _buy(FAN, 995)))
    gathering.take(_funded(desk, _buy(FAN, 990)))
    gathering.take(CancelOrder(FAN, first.order_id))
    [moved] = gathering.finish().transactions
    assert isinstance(moved, LedgerTransaction)
    assert moved.purpose == PURPOSE_HOLD != PURPOSE_RELEASE
    assert max(line.amount_minor for line in moved.postings) == 990 + 8, "price and fee"


def test_what_an_order_needs() -> None:
    desk = begun()
    assert together.needs(desk.market, CancelOrder(FAN, 1)) is None
    assert together.needs(desk.market, _funded(desk, _buy(FAN, 1_000, side=Side.SELL))) is None
    assert together.needs(desk.market, _funded(desk, _buy(FAN, 1_000))) == (
        "user:fan:available/USD",
        1_008,
    )


def _funded(desk: Desk, command: Any) -> Any:
    return rules.prepared(POLICY, desk.market, command)


def _buy(
    user: str,
    price: int,
    *,
    shares: int = 1,
    side: Side = Side.BUY,
    tif: TimeInForce = TimeInForce.GTC,
) -> PlaceOrder:
    return PlaceOrder(user, f"{user}-{price}", side, OrderKind.LIMIT, tif, shares, price)
