"""When a book trades, and how far: auctions, halts, closing, price bands."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from domain.market.telling import subject, together
from messages.market import IssueStatus, TerminateIssue
from messages.market.orders import (
    CloseTrading,
    EndReason,
    HaltTrading,
    OpenTrading,
    OrderChanged,
    OrderKind,
    OrderStatus,
    Phase,
    ResumeTrading,
    TimeInForce,
)
from tests.unit.market_desk import ARTIST, FAN, ISSUE, OTHER, SHARE, Desk, active, advanced

CASH = {FAN: 1_000_000, OTHER: 1_000_000}
LIMIT, MARKET, STOP, STOP_LIMIT = OrderKind
GTC, GTD, IOC, FOK, POST = TimeInForce


@pytest.fixture
def desk() -> Desk:
    made = Desk(active(artist=5_000), dict(CASH))
    made.open()
    return made


def phase(desk: Desk) -> Phase:
    assert desk.market.trading is not None
    return desk.market.trading.phase


def test_a_stop_may_have_a_date_too(desk: Desk) -> None:
    at_ms = desk.now_ms + 1_000
    desk.buy(FAN, 1, kind=STOP, stop_minor=1_010, tif=GTD, expires_at_ms=at_ms)
    desk.pass_time(1_000)
    assert (desk.market.trading.orders, desk.cash(FAN)) == ({}, (1_000_000, 0))  # type: ignore[union-attr]


def test_a_fact_that_its_instructions_do_not_make_is_no_fact(desk: Desk) -> None:
    """A journal that was changed, or a book that answers otherwise, stops the recovery."""
    desk.sell(ARTIST, 10, 1_010)
    [fact] = advanced(desk)
    told = replace(fact.instructions[0], quantity=11)
    desk.events[desk.events.index(fact)] = replace(fact, instructions=(told,))
    with pytest.raises(AssertionError, match="the same instructions make the same book"):
        desk.rebuilt(0)


# --- phases ---------------------------------------------------------------------------------------


def test_a_book_is_closed_until_it_is_opened_by_an_auction() -> None:
    desk = Desk(active(artist=5_000), dict(CASH))
    assert desk.refused(desk.buy, FAN, 1, 1_000) == "book-closed"
    desk.market.issue = type(desk.market.issue)(status=IssueStatus.DRAFT)
    assert desk.refused(desk.ask, OpenTrading()) == "book-closed"
    desk = Desk(active(artist=5_000), dict(CASH))
    view = desk.ask(OpenTrading())
    assert (view.phase, view.until_ms) == (Phase.AUCTION, desk.now_ms + desk.policy.auction_ms)
    assert desk.refused(desk.ask, OpenTrading()) == "book-open"
    assert desk.refused(desk.buy, FAN, 1, 1_000, tif=IOC) == "book-in-auction"
    desk.buy(FAN, 30, 1_020)
    desk.sell(ARTIST, 20, 1_000)
    desk.sell(ARTIST, 20, 1_010)
    assert desk.trades() == []
    desk.pass_time(desk.policy.auction_ms)
    assert desk.trades() == [(1_010, 20), (1_010, 10)]
    assert phase(desk) is Phase.CONTINUOUS
    # In an auction both sides have made the market: 0.25 % each, at each trade.
    assert desk.balances["platform:market:fees/USD"] == 2 * (50 + 25)
    desk.check()


def test_a_halt_keeps_orders_out_and_ends_by_an_auction(desk: Desk) -> None:
    own = desk.buy(FAN, 1, 990)
    view = desk.ask(HaltTrading())
    assert (view.phase, view.until_ms) == (Phase.HALTED, desk.now_ms + desk.policy.halt_ms)
    assert desk.refused(desk.buy, FAN, 1, 990) == "book-halted"
    assert desk.refused(desk.replace, FAN, own.order_id, 2, 990) == "book-halted"
    desk.cancel(FAN, own.order_id)
    desk.pass_time(desk.policy.halt_ms)
    assert phase(desk) is Phase.AUCTION
    desk.pass_time(desk.policy.auction_ms)
    assert phase(desk) is Phase.CONTINUOUS
    assert desk.refused(desk.ask, ResumeTrading()) == "book-not-halted"
    desk.ask(HaltTrading())
    assert desk.ask(ResumeTrading()).phase is Phase.AUCTION
    desk.pass_time(desk.policy.halt_ms)
    assert phase(desk) is Phase.CONTINUOUS


def test_a_closed_book_keeps_its_orders_or_ends_them(desk: Desk) -> None:
    kept = desk.buy(FAN, 1, 990)
    desk.sell(ARTIST, 2, 1_010)
    assert desk.ask(CloseTrading()).phase is Phase.CLOSED
    assert desk.refused(desk.buy, FAN, 1, 990) == "book-closed"
    assert desk.refused(desk.ask, CloseTrading()) == "book-closed"
    desk.open()
    assert desk.sell(ARTIST, 1, 990).status is OrderStatus.FILLED
    assert kept.order_id not in desk.market.trading.orders  # type: ignore[union-attr]
    desk.ask(CloseTrading(cancel_orders=True))
    ended = [e.reason for e in desk.told if isinstance(e, OrderChanged)]
    assert ended == [EndReason.CLOSED]
    assert desk.market.trading.orders == {}  # type: ignore[union-attr]
    desk.check()


def test_the_end_of_an_issue_ends_its_orders(desk: Desk) -> None:
    """And an artist's open sells are among the shares that are gone."""
    desk.market.issue = replace(desk.market.issue, artist_user_id=ARTIST, retained=5_000)
    desk.balances[f"issue:{ISSUE}:offered/{SHARE}"] = 5_000
    desk.totals = desk.sums()
    desk.sell(ARTIST, 100, 1_010)
    desk.buy(FAN, 10, 990)
    desk.ask(TerminateIssue())
    ended = [e.reason for e in desk.told if isinstance(e, OrderChanged)]
    assert ended == [EndReason.CLOSED, EndReason.CLOSED]
    assert (desk.cash(FAN)[1], phase(desk)) == (0, Phase.CLOSED)
    assert desk.shares(ARTIST)[1] == 0
    assert desk.refused(desk.buy, FAN, 1, 1_000) == "book-closed"
    assert desk.refused(desk.ask, TerminateIssue()) == "issue-terminated"


def test_what_a_batch_says_of_one_thing_is_said_once(desk: Desk) -> None:
    first = desk.sell(ARTIST, 10, 1_010)
    desk.sell(ARTIST, 10, 1_020)
    desk.buy(FAN, 15, 1_020)
    public = [e for e in desk.events if subject(e) is not None]
    groups: dict[Any, list[Any]] = {}
    for event in public:
        groups.setdefault(subject(event), []).append(event)
    told = {of: together(events) for of, events in groups.items()}
    assert told["order", ISSUE, first.order_id].status is OrderStatus.FILLED
    assert told["holding", ISSUE, ARTIST].available == 4_980
    book = told["book", ISSUE]
    assert (book.after, [t.trade_id for t in book.trades]) == (0, [1, 2])
    levels = {(level.side, level.price_minor): level.shares for level in book.levels}
    assert levels == {("sell", 1_010): 0, ("sell", 1_020): 5}


# --- bands ----------------------------------------------------------------------------------------


def test_a_trade_that_would_pass_the_dynamic_band_halts_the_book(desk: Desk) -> None:
    desk.sell(ARTIST, 10, 1_050)
    desk.sell(ARTIST, 10, 1_055)
    view = desk.buy(FAN, 30, 1_100)
    assert desk.trades() == [(1_050, 10)]
    assert (view.status, view.filled, view.left) == (OrderStatus.OPEN, 10, 20)
    assert phase(desk) is Phase.HALTED
    assert desk.cash(FAN)[1] == view.held_minor == 22_000 + 165
    desk.check()
    desk.pass_time(desk.policy.halt_ms)
    desk.pass_time(desk.policy.auction_ms)
    assert desk.trades() == [(1_055, 10)]
    assert list(desk.market.trading.depth.levels) == [("buy", 1_100)]  # type: ignore[union-attr]
    desk.check()


def test_after_an_auction_the_band_is_around_its_price_too(desk: Desk) -> None:
    """INDEX would be an hour behind, and the book would halt again and again."""
    desk.sell(ARTIST, 10, 1_055)
    desk.buy(FAN, 10, 1_060)
    assert phase(desk) is Phase.HALTED
    desk.pass_time(desk.policy.halt_ms)
    desk.pass_time(desk.policy.auction_ms)
    assert desk.trades() == [(1_055, 10)]
    desk.sell(ARTIST, 10, 1_105)
    desk.buy(FAN, 10, 1_105)
    assert (desk.trades(), phase(desk)) == ([(1_105, 10)], Phase.CONTINUOUS)
    desk.sell(ARTIST, 10, 1_110)
    desk.buy(FAN, 10, 1_110)
    assert phase(desk) is Phase.HALTED


def test_the_dynamic_band_is_around_the_index_and_not_the_last_trade(desk: Desk) -> None:
    """Whoever pushes the last trade does not take the band along."""
    desk.buy(OTHER, 100, 995)
    desk.sell(ARTIST, 100, 1_005)
    desk.pass_time(45 * 60_000)
    for price in (1_010, 1_030, 1_050):
        desk.buy(FAN, 100, price, tif=IOC)
        desk.sell(ARTIST, 100, price)
        desk.pass_time(2_000)
    assert phase(desk) is Phase.CONTINUOUS
    desk.buy(FAN, 110, 1_050)
    assert desk.trades()[-1] == (1_050, 100)
    desk.sell(ARTIST, 5, 1_050)
    desk.sell(ARTIST, 5, 1_080)
    desk.buy(FAN, 10, 1_080)
    assert phase(desk) is Phase.HALTED


def test_an_order_that_never_rests_ends_where_the_band_does(desk: Desk) -> None:
    desk.buy(OTHER, 10, 950)
    desk.buy(OTHER, 10, 945)
    view = desk.sell(ARTIST, 15, kind=MARKET, tif=IOC)
    assert (view.filled, view.reason) == (10, EndReason.UNFILLED)
    assert phase(desk) is Phase.HALTED
    desk.check()


def test_the_band_does_not_stop_what_stays_inside(desk: Desk) -> None:
    desk.sell(ARTIST, 10, 1_050)
    view = desk.buy(FAN, 30, 1_100)
    assert (view.left, phase(desk)) == (20, Phase.CONTINUOUS)
    desk.check()


def test_a_fill_or_kill_beyond_the_band_is_refused(desk: Desk) -> None:
    desk.sell(ARTIST, 10, 1_050)
    desk.sell(ARTIST, 10, 1_055)
    assert desk.refused(desk.buy, FAN, 20, 1_100, tif=FOK) == "order-cannot-fill"


def test_a_replacement_does_not_pass_the_band(desk: Desk) -> None:
    desk.sell(ARTIST, 10, 1_055)
    view = desk.buy(FAN, 10, 1_000)
    assert desk.refused(desk.replace, FAN, view.order_id, 10, 1_055) == "order-price-band"


def test_an_order_that_was_left_outside_the_band_is_not_met_inside_it(desk: Desk) -> None:
    """The auction found nobody for it; whoever meets it now does so in another auction."""
    desk.buy(OTHER, 100, 995)
    desk.sell(ARTIST, 100, 1_005)
    desk.pass_time(45 * 60_000)
    desk.sell(ARTIST, 10, 1_105)
    desk.buy(FAN, 110, 1_105)
    desk.cancel(ARTIST, 3)
    desk.pass_time(desk.policy.halt_ms)
    desk.pass_time(desk.policy.auction_ms)
    assert (phase(desk), desk.trades()) == (Phase.CONTINUOUS, [])  # 10 are wanted at 1,105
    assert desk.refused(desk.sell, ARTIST, 5, 1_000, tif=IOC) == "order-price-band"
    resting = desk.sell(ARTIST, 1, 1_110)
    code = desk.refused(desk.replace, ARTIST, resting.order_id, 1, 1_105)
    assert code == "order-price-band"
    view = desk.sell(ARTIST, 5, 1_000)
    assert (desk.trades(), view.left, phase(desk)) == ([], 5, Phase.HALTED)
    desk.pass_time(desk.policy.halt_ms)
    desk.pass_time(desk.policy.auction_ms)
    assert desk.trades() == [(1_005, 5)]
    desk.check()


@pytest.mark.parametrize("ms", [0, 1])
def test_a_snapshot_keeps_the_phase_and_the_price_of_the_auction(desk: Desk, ms: int) -> None:
    """Taken in an auction, or just after it: what crosses waits, and the band is where it was."""
    desk.buy(OTHER, 100, 995)
    desk.sell(ARTIST, 100, 1_005)
    desk.pass_time(45 * 60_000)  # there is an INDEX, and it stays where it is
    desk.sell(ARTIST, 10, 1_055)
    desk.buy(FAN, 110, 1_060)
    desk.pass_time(desk.policy.halt_ms)
    desk.pass_time((desk.policy.auction_ms - 1) + ms)
    desk.market = desk.rebuilt(len(desk.events) - 1)
    if not ms:
        assert desk.refused(desk.buy, FAN, 1, 1_055, tif=IOC) == "book-in-auction"
        desk.pass_time(1)
        assert desk.trades() == [(1_055, 10)]
    desk.sell(ARTIST, 10, 1_105)
    desk.buy(FAN, 10, 1_105)
    assert (desk.trades(), phase(desk)) == ([(1_105, 10)], Phase.CONTINUOUS)
    desk.check()
