"""Orders, step by step: what is set aside, what trades move, what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest

from domain.market.holders import Holding
from domain.policy import DAY_MS, MarketPolicy
from messages.market.orders import (
    BookChanged,
    EndReason,
    OrderChanged,
    OrderKind,
    OrderStatus,
    SelfTrade,
    TimeInForce,
)
from tests.unit.market_desk import ARTIST, FAN, OTHER, Desk, active

CASH = {FAN: 1_000_000, OTHER: 1_000_000}
LIMIT, MARKET, STOP, STOP_LIMIT = OrderKind
GTC, GTD, IOC, FOK, POST = TimeInForce


@pytest.fixture
def desk() -> Desk:
    made = Desk(active(artist=5_000), dict(CASH))
    made.open()
    return made


def test_a_sell_sets_its_shares_aside_and_gives_them_back(desk: Desk) -> None:
    view = desk.sell(ARTIST, 100, 1_010)
    assert (view.status, view.left, view.limit_minor) == (OrderStatus.OPEN, 100, 1_010)
    assert desk.shares(ARTIST) == (4_900, 100)
    desk.check()
    ended = desk.cancel(ARTIST, view.order_id)
    assert (ended.status, ended.reason, ended.left) == (OrderStatus.CANCELLED, EndReason.USER, 0)
    assert desk.shares(ARTIST) == (5_000, 0)
    desk.check()


def test_a_buy_sets_its_price_and_the_higher_fee_aside(desk: Desk) -> None:
    view = desk.buy(FAN, 10, 990)
    # 9,900 and 0.75 % of it, rounded up.
    assert view.held_minor == 9_900 + 75
    assert desk.cash(FAN) == (1_000_000 - 9_975, 9_975)
    desk.cancel(FAN, view.order_id)
    assert desk.cash(FAN) == (1_000_000, 0)
    desk.check()


def test_a_trade_moves_cash_shares_and_both_fees_at_the_makers_price(desk: Desk) -> None:
    desk.sell(ARTIST, 100, 1_010)
    bought = desk.buy(FAN, 150, 1_020)
    assert desk.trades() == [(1_010, 100)]
    assert (bought.filled, bought.left, bought.paid_minor) == (100, 50, 101_000)
    assert bought.fee_minor == 757  # the taker's 0.75 %, rounded down
    assert bought.held_minor == 51_000 + 383
    assert desk.cash(FAN) == (1_000_000 - 101_757 - 51_383, 51_383)
    assert desk.cash(ARTIST) == (101_000 - 252, 0)  # less the maker's 0.25 %
    assert desk.balances["platform:market:fees/USD"] == 757 + 252
    assert desk.shares(FAN) == (100, 0)
    assert desk.market.holding(FAN).cost_minor == 101_757
    assert desk.market.holding(ARTIST).realised_minor == 100_748
    desk.check()


def test_owners_and_everyone_are_told_once_a_command(desk: Desk) -> None:
    first, second = desk.sell(ARTIST, 5, 1_010), desk.sell(ARTIST, 5, 1_005)
    desk.buy(FAN, 20, 1_010)
    [public] = [e for e in desk.told if isinstance(e, BookChanged)]
    assert [(t.price_minor, t.shares) for t in public.trades] == [(1_005, 5), (1_010, 5)]
    levels = {(level.side.value, level.price_minor): level.shares for level in public.levels}
    assert levels == {("buy", 1_010): 10, ("sell", 1_005): 0, ("sell", 1_010): 0}
    own = [(e.user_id, e.order_id, e.left) for e in desk.told if isinstance(e, OrderChanged)]
    assert own == [(FAN, 3, 10), (ARTIST, second.order_id, 0), (ARTIST, first.order_id, 0)]


def test_what_never_rests_gives_back_what_it_could_not_get(desk: Desk) -> None:
    desk.sell(ARTIST, 10, 1_000)
    view = desk.buy(FAN, 30, 1_000, tif=IOC)
    assert (view.filled, view.reason) == (10, EndReason.UNFILLED)
    assert desk.cash(FAN) == (1_000_000 - 10_000 - 75, 0)
    assert desk.refused(desk.buy, FAN, 1, 1_000, tif=FOK) == "order-cannot-fill"
    sold = desk.sell(ARTIST, 10, 1_000, tif=IOC)
    assert (sold.filled, desk.shares(ARTIST)) == (0, (4_990, 0))
    desk.check()


def test_a_market_order_is_a_limit_at_the_edge_of_the_band(desk: Desk) -> None:
    desk.sell(ARTIST, 10, 1_010)
    view = desk.buy(FAN, 20, kind=MARKET, tif=IOC)
    assert (view.filled, view.limit_minor, view.reason) == (10, 1_200, EndReason.UNFILLED)
    assert desk.cash(FAN)[1] == 0
    desk.buy(FAN, 5, 990)
    assert desk.sell(ARTIST, 5, kind=MARKET, tif=FOK).status is OrderStatus.FILLED
    desk.check()


def test_a_stop_waits_with_its_money_set_aside_until_a_trade_wakes_it(desk: Desk) -> None:
    stop = desk.buy(OTHER, 10, kind=STOP, stop_minor=1_010)
    assert stop.status is OrderStatus.WAITING
    assert desk.cash(OTHER)[1] == 12_000 + 90
    desk.sell(ARTIST, 30, 1_010)
    desk.buy(FAN, 5, 1_010)
    assert desk.trades() == [(1_010, 5), (1_010, 10)]
    assert desk.shares(OTHER) == (10, 0)
    assert desk.cash(OTHER) == (1_000_000 - 10_100 - 75, 0)
    limit = desk.sell(FAN, 5, 995, kind=STOP_LIMIT, stop_minor=1_000)
    assert desk.shares(FAN) == (0, 5)
    assert desk.refused(desk.replace, FAN, limit.order_id, 4, 995) == "order-not-replaceable"
    desk.cancel(FAN, limit.order_id)
    desk.check()


def test_an_iceberg_shows_a_part_of_itself(desk: Desk) -> None:
    desk.sell(ARTIST, 100, 1_010, display=10)
    assert list(desk.market.trading.depth.levels.values()) == [10]  # type: ignore[union-attr]
    desk.buy(FAN, 25, 1_010)
    assert list(desk.market.trading.depth.levels.values()) == [5]  # type: ignore[union-attr]
    desk.check()


@pytest.mark.parametrize(
    ("rule", "mine", "theirs", "traded"),
    [
        (SelfTrade.CANCEL_NEWEST, (10, 0), EndReason.SELF_TRADE, []),
        (SelfTrade.CANCEL_OLDEST, (0, 0), EndReason.FILLED, [(1_005, 10)]),
        (SelfTrade.CANCEL_BOTH, (0, 0), EndReason.SELF_TRADE, []),
        (SelfTrade.DECREMENT, (0, 0), EndReason.SELF_TRADE, []),
    ],
)
def test_nobody_trades_with_himself(
    rule: SelfTrade, mine: tuple[int, int], theirs: EndReason, traded: list[Any]
) -> None:
    desk = Desk(active(artist=5_000, fan=100), dict(CASH))
    desk.open()
    own = desk.sell(FAN, 10, 1_000)
    desk.sell(ARTIST, 10, 1_005)
    view = desk.buy(FAN, 10, 1_005, self_trade=rule)
    assert (view.reason, desk.trades()) == (theirs, traded)
    left = desk.market.trading.orders.get(own.order_id)  # type: ignore[union-attr]
    assert ((left.left, left.filled) if left else (0, 0)) == mine
    desk.check()


def test_a_replacement_keeps_its_place_only_where_it_asks_for_less(desk: Desk) -> None:
    first, second = desk.sell(ARTIST, 10, 1_010), desk.sell(ARTIST, 10, 1_010)
    desk.replace(ARTIST, first.order_id, 6, 1_010)
    assert desk.shares(ARTIST) == (4_984, 16)
    desk.buy(FAN, 6, 1_010)
    assert first.order_id not in desk.market.trading.orders  # type: ignore[union-attr]
    third = desk.sell(ARTIST, 5, 1_010)
    view = desk.replace(ARTIST, second.order_id, 12, 1_010)
    assert (view.left, desk.shares(ARTIST)) == (12, (4_977, 17))
    desk.buy(FAN, 5, 1_010)
    assert third.order_id not in desk.market.trading.orders  # type: ignore[union-attr]
    desk.check()


def test_a_replacement_counts_what_is_filled_already_and_moves_the_difference(desk: Desk) -> None:
    desk.sell(ARTIST, 4, 1_000)
    view = desk.buy(FAN, 10, 1_000)
    assert desk.refused(desk.replace, FAN, view.order_id, 4, 1_000) == "order-quantity"
    grown = desk.replace(FAN, view.order_id, 20, 995)
    assert (grown.filled, grown.left, grown.held_minor) == (4, 16, 15_920 + 120)
    assert desk.cash(FAN)[1] == 16_040
    shrunk = desk.replace(FAN, view.order_id, 5, 995)
    assert (shrunk.left, desk.cash(FAN)[1]) == (1, 995 + 8)
    desk.check()
    desk.sell(ARTIST, 50, 1_020)
    crossed = desk.replace(FAN, view.order_id, 30, 1_020)
    assert (crossed.status, crossed.filled) == (OrderStatus.FILLED, 30)
    assert desk.refused(desk.replace, FAN, view.order_id, 40, 1_020) == "order-not-found"
    desk.check()


def test_orders_with_a_date_end_by_the_timer(desk: Desk) -> None:
    late = desk.buy(FAN, 1, 990, tif=GTD, expires_at_ms=desk.now_ms + 2_000)
    early = desk.sell(ARTIST, 1, 1_010, tif=GTD, expires_at_ms=desk.now_ms + 1_000)
    assert desk.timers["expiry"] == desk.now_ms + 1_000
    desk.pass_time(1_000)
    assert set(desk.market.trading.orders) == {late.order_id}  # type: ignore[union-attr]
    ended = [e for e in desk.told if isinstance(e, OrderChanged)]
    assert [(e.order_id, e.reason) for e in ended] == [(early.order_id, EndReason.EXPIRED)]
    desk.pass_time(1_000)
    assert desk.market.trading.orders == {}  # type: ignore[union-attr]
    assert "expiry" not in desk.timers
    desk.check()


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("order-quantity", {"shares": 0}),
    ("order-quantity", {"shares": 10_001}),
    ("order-tick", {"price": 1_003}),
    ("order-price-band", {"price": 1_205}),
    ("order-price-band", {"price": 795}),
    ("order-invalid", {"price": 0}),
    ("order-invalid", {"price": 1_000, "kind": MARKET, "tif": IOC}),
    ("order-invalid", {"price": 0, "kind": MARKET, "tif": GTC}),
    ("order-invalid", {"stop_minor": 1_010}),
    ("order-invalid", {"price": 0, "kind": STOP}),
    ("order-stop-reached", {"price": 0, "kind": STOP, "stop_minor": 1_000}),
    ("order-invalid", {"tif": GTD}),
    ("order-invalid", {"expires_at_ms": 5}),
    ("order-invalid", {"tif": IOC, "display": 1}),
    ("order-invalid", {"shares": 1_000, "display": 1}),
    ("holder-cap", {"shares": 5_001}),
    ("insufficient-funds", {"shares": 1_000}),
]


@pytest.mark.parametrize(("code", "changes"), REFUSALS)
def test_a_buy_is_refused(desk: Desk, code: str, changes: dict[str, Any]) -> None:
    # What it costs is asked before anything else.
    desk.balances["user:fan:available/USD"] = 10**9 if code != "insufficient-funds" else 900_000
    fields = {"shares": 10, "price": 1_000, **changes}
    assert desk.refused(desk.buy, FAN, **fields) == code


def test_a_date_lies_ahead_and_not_too_far(desk: Desk) -> None:
    for at_ms in (desk.now_ms, desk.now_ms + 90 * DAY_MS + 1):
        code = desk.refused(desk.buy, FAN, 1, 1_000, tif=GTD, expires_at_ms=at_ms)
        assert code == "order-invalid"


def test_the_cap_counts_what_open_buys_may_still_add() -> None:
    desk = Desk(active(artist=5_000), {FAN: 10**9})
    desk.open()
    view = desk.buy(FAN, 4_000, 1_000)
    assert desk.refused(desk.buy, FAN, 1_001, 1_000) == "holder-cap"
    desk.sell(ARTIST, 4_000, 1_000)
    assert desk.refused(desk.buy, FAN, 1_001, 1_000) == "holder-cap"
    more = desk.buy(FAN, 1_000, 1_000)
    assert desk.refused(desk.replace, FAN, more.order_id, 1_001, 1_000) == "holder-cap"
    assert desk.refused(desk.cancel, FAN, view.order_id) == "order-not-found"
    desk.check()


def test_shares_are_sold_by_who_has_them_free(desk: Desk) -> None:
    assert desk.refused(desk.sell, FAN, 1, 1_000) == "insufficient-shares"
    desk.market.holders[FAN] = Holding(available=2, locked=5)
    assert desk.refused(desk.sell, FAN, 3, 1_000) == "shares-locked"
    assert desk.refused(desk.sell, FAN, 8, 1_000) == "insufficient-shares"


def test_anothers_order_is_as_unknown_as_none(desk: Desk) -> None:
    view = desk.sell(ARTIST, 1, 1_010)
    for order_id in (view.order_id, view.order_id + 1):
        assert desk.refused(desk.cancel, FAN, order_id) == "order-not-found"
        assert desk.refused(desk.replace, FAN, order_id, 1, 1_000) == "order-not-found"


def test_post_only_never_trades(desk: Desk) -> None:
    view = desk.sell(ARTIST, 1, 1_010, tif=POST)
    assert desk.refused(desk.buy, FAN, 1, 1_010, tif=POST) == "order-would-cross"
    bid = desk.buy(FAN, 1, 1_005, tif=POST)
    code = desk.refused(desk.replace, FAN, bid.order_id, 1, 1_010, post_only=True)
    assert code == "order-would-cross"
    assert view.status is OrderStatus.OPEN


def test_a_user_has_so_many_orders_and_a_book_too() -> None:
    policy = MarketPolicy(max_open_orders=2, max_book_orders=3)
    desk = Desk(active(artist=100), dict(CASH), policy)
    desk.open()
    desk.buy(FAN, 1, 990)
    desk.buy(FAN, 1, 990)
    assert desk.refused(desk.buy, FAN, 1, 990) == "orders-limit"
    desk.buy(OTHER, 1, 985)
    assert desk.refused(desk.sell, ARTIST, 1, 1_010) == "book-full"
    assert desk.sell(ARTIST, 1, 990, tif=IOC).status is OrderStatus.FILLED
    assert desk.sell(ARTIST, 1, 1_010).status is OrderStatus.OPEN
