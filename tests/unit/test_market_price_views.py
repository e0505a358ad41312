"""Published prices are the record's, in the issue's currency, with what they rest on."""

from __future__ import annotations

import pytest

from domain.market.state import initial
from messages.market import GetHolding, GetPrices, IssueNotFound
from tests.unit.market_desk import ARTIST, FAN, OTHER, PRICE, TICK, Desk, active

HOUR_MS = 3_600_000
CASH = {FAN: 10_000_000, OTHER: 10_000_000}


def new_desk() -> Desk:
    return Desk(active(artist=5_000, other=1_000), dict(CASH))


def quoted() -> Desk:
    """A book that has stood for two hours, with a narrow quote either side of the price."""
    desk = new_desk()
    desk.open()
    desk.buy(FAN, 100, PRICE - TICK)
    desk.sell(ARTIST, 100, PRICE + TICK)
    for _ in range(4):
        desk.pass_time(HOUR_MS // 2)
        desk.buy(OTHER, 1, PRICE - 10 * TICK)
    return desk


def test_a_book_that_was_never_opened_has_no_price() -> None:
    view = new_desk().ask(GetPrices())
    assert (view.sale_minor, view.last_minor, view.mark_milliminor) == (PRICE, 0, None)
    assert {view.five_minutes, view.hour, view.day, view.index, view.settle} == {None}
    assert new_desk().ask(GetHolding(ARTIST)).reference_milliminor is None


def test_an_issue_that_is_none_has_no_prices() -> None:
    with pytest.raises(IssueNotFound):
        Desk(initial("nothing"), {}).ask(GetPrices())


def test_quotes_that_stand_make_prices_with_their_confidence() -> None:
    desk = quoted()
    before = desk.picture()
    view = desk.ask(GetPrices())
    assert desk.picture() == before, "asking leaves a trace"
    assert view.mark_milliminor == PRICE * 1_000
    assert view.at_ms == desk.now_ms
    for reading in (view.five_minutes, view.hour, view.index):
        assert reading.price_milliminor == PRICE * 1_000
        assert reading.coverage_bps > 9_900
    # A day looks back further than there is anything to see: there is no price to name.
    assert (view.day.price_milliminor, view.settle.price_milliminor) == (None, None)
    assert view.day.known_bps < 1_000
    assert view.hour.staleness_ms > 0
    assert desk.ask(GetHolding(ARTIST)).reference_milliminor == PRICE * 1_000


def test_prices_are_the_records_own() -> None:
    desk = quoted()
    desk.buy(OTHER, 5, PRICE + TICK)
    desk.pass_time(60_000)
    view = desk.ask(GetPrices())
    assert desk.market.trading is not None
    found = desk.market.trading.prices.prices(desk.now_ms)
    assert view.last_minor == PRICE + TICK
    for name in ("five_minutes", "hour", "day", "index", "settle"):
        mine, its = getattr(view, name), getattr(found, name)
        price = its.price_milliticks
        assert mine.price_milliminor == (None if price is None else price * TICK)
        for field in ("window_ms", "known_bps", "coverage_bps", "trades", "quotes", "staleness_ms"):
            assert getattr(mine, field) == getattr(its, field)
    assert view.mark_milliminor == (found.mark_milliticks or 0) * TICK
