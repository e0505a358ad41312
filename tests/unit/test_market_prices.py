"""The price record against its naive twin, and each edge of a thin market."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.market.price_windows import Reading, Sums, Window, winsorised
from domain.market.prices import PriceRecord, _cap, follow
from domain.market.quotes import MAX_PRICE, MAX_RUNGS, quotable
from domain.policy import MINUTE_MS, PricePolicy
from kernels.twap.fixed import log2
from tests.kernels.naive.price_record import NaiveRecord

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
# The same shapes in milliseconds, so that a twin can walk through each of them.
SMALL = PricePolicy(
    rest_ms=4,
    max_spread_bps=9_000,
    short_window_ms=10,
    short_step_ms=2,
    hour_window_ms=16,
    hour_step_ms=4,
    day_window_ms=60,
    day_step_ms=12,
    cap_bps_per_minute=9_000,
)

quotes = st.tuples(st.just("quote"), st.integers(0, 30), st.sampled_from([0, *range(31, 60)]))
trades = st.tuples(st.just("trade"), st.integers(1, 70), st.integers(0, 3), st.booleans())
others = st.sampled_from([("halt",), ("resume",), ("anchor", 25), ("anchor", 44), ("ask",)])
steps = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(-3, 9), st.integers(0, 130)),
        st.one_of(quotes, quotes, trades, others),
    ),
    max_size=40,
)


def tell(record: PriceRecord, naive: NaiveRecord, at_ms: int, what: tuple[object, ...]) -> None:
    match what:
        case ("quote", int(bid), int(ask)):
            record.observe_quote(at_ms, bid, ask)
            naive.quote(at_ms, bid, ask)
        case ("trade", int(price), int(quantity), bool(same_owner)):
            record.observe_trade(at_ms, price, quantity, same_owner=same_owner)
            naive.trade(at_ms, price, quantity, same_owner=same_owner)
        case ("anchor", int(price)):
            record.anchor(at_ms, price)
            naive.anchor(at_ms, price)
        case ("halt",):
            record.halt(at_ms)
            naive.halt(at_ms, halted=True)
        case ("resume",):
            record.resume(at_ms)
            naive.halt(at_ms, halted=False)


@given(steps, st.integers(1, 90), st.integers(0, 50))
def test_equals_its_naive_twin(
    told: list[tuple[int, tuple[object, ...]]], after_ms: int, opened_ms: int
) -> None:
    record, naive = PriceRecord(policy=SMALL), NaiveRecord(SMALL, _cap(SMALL))
    at_ms = opened_ms
    for passed_ms, what in told:
        at_ms = max(0, at_ms + passed_ms)
        tell(record, naive, at_ms, what)
        if what == ("ask",):
            record.prices(at_ms + 1)
    now_ms = max(at_ms, naive.now_ms, 0) + after_ms
    found = record.prices(now_ms)
    naive.walk(now_ms)
    for reading, (window_ms, step_ms) in (
        (found.five_minutes, (10, 2)),
        (found.hour, (16, 4)),
        (found.day, (60, 12)),
    ):
        start, _ = naive.window(window_ms, step_ms)
        price, known_bps, coverage_bps = naive.average(window_ms, step_ms)
        assert reading == Reading(
            price_milliticks=price,
            window_ms=now_ms - start,
            known_bps=known_bps,
            coverage_bps=coverage_bps,
            trades=counted(naive.trades, start, step_ms),
            quotes=counted(naive.quotes, start, step_ms),
            staleness_ms=now_ms - naive.observed_ms,
        )
    assert found.index.price_milliticks == naive.index()
    assert found.settle.price_milliticks == naive.settle()
    assert (found.mark_milliticks or 0) == 500 * naive.half()


def counted(moments: list[int], start_ms: int, _step_ms: int) -> int:
    return sum(at_ms >= start_ms for at_ms in moments)


@given(steps, st.lists(st.integers(0, 40), max_size=20))
def test_asking_and_snapshots_leave_no_trace(
    told: list[tuple[int, tuple[object, ...]]], asked: list[int]
) -> None:
    plain, watched = PriceRecord(policy=SMALL), PriceRecord(policy=SMALL)
    naive = NaiveRecord(SMALL, _cap(SMALL))
    at_ms = 5
    for turn, (passed_ms, what) in enumerate(told):
        at_ms = max(0, at_ms + passed_ms)
        tell(plain, naive, at_ms, what)
        tell(watched, naive, at_ms, what)
        if turn < len(asked):
            watched.prices(at_ms + asked[turn])
            body = msgspec.msgpack.encode(watched)
            watched = msgspec.msgpack.decode(body, type=PriceRecord)
    assert watched == plain


@given(st.integers(1, 2**36), st.integers(1, 2**36), st.integers(0, 300), st.integers(1, 2**31))
def test_follow_is_turn_by_turn(value: int, goal: int, turns: int, cap: int) -> None:
    total, at = 0, value
    for _ in range(turns):
        total += at
        at += max(-cap, min(cap, goal - at))
    assert follow(value, goal, turns, cap) == (total, at)


def market(bid: int = 99, ask: int = 101, *, for_ms: int = 2 * DAY_MS) -> PriceRecord:
    """A book whose quotes have stood for long, last traded in their middle."""
    record = PriceRecord()
    record.observe_quote(0, bid, ask)
    record.observe_trade(MINUTE_MS, (bid + ask) // 2, 10, same_owner=False)
    record.observe_quote(for_ms, bid, ask)
    return record


def all_prices(record: PriceRecord, now_ms: int) -> list[int | None]:
    found = record.prices(now_ms)
    readings = (found.five_minutes, found.hour, found.day, found.index, found.settle)
    return [reading.price_milliticks for reading in readings]


NOW_MS = 2 * DAY_MS


def test_a_steady_market_has_its_price() -> None:
    assert all_prices(market(), NOW_MS) == [100_000] * 5
    found = market().prices(NOW_MS)
    assert found.day.coverage_bps == found.day.known_bps == 10_000
    assert found.day.staleness_ms == NOW_MS - MINUTE_MS
    assert (found.day.trades, found.day.quotes) == (0, 0)


def test_a_policy_that_asks_for_nothing_still_makes_no_price_of_nothing() -> None:
    record = PriceRecord(policy=PricePolicy(min_known_bps=0, min_coverage_bps=0))
    record.observe_quote(0, 10, 0)
    assert all_prices(record, HOUR_MS) == [None] * 5


def test_a_record_that_was_told_nothing_names_no_price() -> None:
    found = PriceRecord().prices(123)
    assert found.mark_milliticks is None
    assert all_prices(PriceRecord(), 123) == [None] * 5
    assert found.day.coverage_bps == found.day.known_bps == 0


def test_one_trade_is_no_price() -> None:
    record = PriceRecord()
    record.observe_trade(1, 500, 10, same_owner=False)
    assert all_prices(record, DAY_MS) == [None] * 5


def test_a_trade_in_an_empty_book_leaves_the_price_alone() -> None:
    record = market()
    record.observe_quote(NOW_MS, 0, 0)
    record.observe_trade(NOW_MS + 1, 5_000, 10, same_owner=False)
    record.observe_quote(NOW_MS + 2, 90, 6_000)
    assert record.prices(NOW_MS + HOUR_MS).mark_milliticks == 100_000


def test_in_a_book_of_one_side_a_trade_moves_towards_the_quote_only() -> None:
    record = market(bid=96, ask=104)
    record.observe_quote(NOW_MS, 96, 0)
    record.observe_trade(NOW_MS, 5_000, 1, same_owner=False)
    assert record.prices(NOW_MS).mark_milliticks == 100_000
    record.observe_trade(NOW_MS, 80, 1, same_owner=False)
    assert record.prices(NOW_MS).mark_milliticks == 96_000
    other = market(bid=96, ask=104)
    other.observe_quote(NOW_MS, 0, 104)
    other.observe_trade(NOW_MS, 1, 1, same_owner=False)
    assert other.prices(NOW_MS).mark_milliticks == 100_000
    other.observe_trade(NOW_MS, 5_000, 1, same_owner=False)
    assert other.prices(NOW_MS).mark_milliticks == 104_000


def test_between_quotes_far_apart_a_trade_shows_nothing() -> None:
    record = market()
    record.observe_quote(NOW_MS, 99, 900)
    record.observe_trade(NOW_MS + 1, 500, 1, same_owner=False)
    assert record.prices(NOW_MS + HOUR_MS).mark_milliticks == 100_000
    assert record.prices(NOW_MS + 2 * HOUR_MS).index.coverage_bps == 0
    silent = PriceRecord()
    silent.observe_quote(0, 99, 900)
    assert silent.prices(HOUR_MS).mark_milliticks is None
    silent.observe_quote(HOUR_MS, 99, 108)
    assert silent.prices(2 * HOUR_MS).mark_milliticks == 103_500


def test_one_side_without_a_trade_is_no_price() -> None:
    record = PriceRecord()
    record.observe_quote(0, 100, 0)
    record.observe_trade(MINUTE_MS, 90, 1, same_owner=False)
    assert record.prices(HOUR_MS).mark_milliticks is None
    record.anchor(HOUR_MS, 90)
    assert record.prices(HOUR_MS).mark_milliticks is None


def test_an_auction_counts_when_quotes_have_confirmed_it_and_no_further() -> None:
    record = market()
    record.halt(NOW_MS)
    record.observe_quote(NOW_MS, 99, 0)
    record.anchor(NOW_MS + MINUTE_MS, 900)
    record.resume(NOW_MS + MINUTE_MS)
    record.observe_trade(NOW_MS + MINUTE_MS, 500, 1, same_owner=False)
    assert record.last_half == 1_800
    assert record.prices(NOW_MS + 5 * MINUTE_MS).mark_milliticks is None
    record.observe_quote(NOW_MS + 5 * MINUTE_MS, 99, 103)
    assert record.prices(NOW_MS + 5 * MINUTE_MS).mark_milliticks is None
    assert record.prices(NOW_MS + 6 * MINUTE_MS).mark_milliticks == 103_000
    record.observe_quote(NOW_MS + 6 * MINUTE_MS, 99, 0)
    assert record.prices(NOW_MS + 6 * MINUTE_MS).mark_milliticks == 103_000


def test_a_better_quote_counts_when_it_has_rested_and_a_worse_at_once() -> None:
    record = market()
    record.observe_quote(NOW_MS, 103, 110)
    assert record.prices(NOW_MS).mark_milliticks == 100_000
    assert record.prices(NOW_MS + 29_999).mark_milliticks == 100_000
    assert record.prices(NOW_MS + 30_000).mark_milliticks == 103_000
    record.observe_quote(NOW_MS + 31_000, 80, 81)
    assert record.prices(NOW_MS + 31_000).mark_milliticks == 100_000
    assert record.prices(NOW_MS + 61_000).mark_milliticks == 81_000


def test_a_quote_that_flickers_never_rests() -> None:
    record = market()
    for turn in range(100):
        record.observe_quote(NOW_MS + turn * 20_000, 140, 150)
        record.observe_quote(NOW_MS + turn * 20_000 + 19_999, 99, 150)
    assert record.prices(NOW_MS + 100 * 20_000).mark_milliticks == 100_000


def test_own_trades_and_empty_ones_never_count() -> None:
    record, before = market(96, 104), all_prices(market(96, 104), NOW_MS + HOUR_MS)
    record.observe_trade(NOW_MS, 110, 10, same_owner=True)
    record.observe_trade(NOW_MS, 110, 0, same_owner=False)
    assert all_prices(record, NOW_MS + HOUR_MS) == before
    assert record.prices(NOW_MS + HOUR_MS).day.trades == 0


def test_time_in_a_halt_counts_in_no_average() -> None:
    record = market()
    record.halt(NOW_MS)
    assert record.prices(NOW_MS + 1).mark_milliticks is None
    record.observe_trade(NOW_MS + 1, 101, 5, same_owner=False)
    record.observe_quote(NOW_MS + 2, 199, 201)
    record.anchor(NOW_MS + 100_000, 200)
    record.resume(NOW_MS + 150_000)
    found = record.prices(NOW_MS + 300_000)
    assert found.five_minutes.known_bps == 5_000
    assert found.five_minutes.price_milliticks == 200_000
    stopped = market()
    stopped.halt(NOW_MS)
    assert stopped.prices(NOW_MS + 10 * MINUTE_MS).five_minutes.price_milliticks is None
    assert stopped.prices(NOW_MS + 10 * MINUTE_MS).hour.price_milliticks == 100_000


def test_of_equal_moments_the_later_counts_and_a_late_one_is_now() -> None:
    record = market(96, 104)
    record.observe_trade(NOW_MS, 97, 1, same_owner=False)
    record.observe_trade(NOW_MS, 103, 1, same_owner=False)
    assert record.prices(NOW_MS).mark_milliticks == 103_000
    record.observe_trade(NOW_MS - HOUR_MS, 98, 1, same_owner=False)
    assert record.at_ms == NOW_MS
    assert record.prices(NOW_MS).mark_milliticks == 98_000
    assert record.prices(NOW_MS - DAY_MS).at_ms == NOW_MS


def test_a_silence_of_a_year_loses_nothing() -> None:
    assert all_prices(market(), 365 * DAY_MS) == [100_000] * 5
    quiet, busy = market(), market()
    for at_ms in range(NOW_MS, NOW_MS + DAY_MS, 977_777):
        busy.observe_quote(at_ms, 99, 101)
    assert all_prices(quiet, NOW_MS + DAY_MS) == all_prices(busy, NOW_MS + DAY_MS)


def test_memory_is_bounded() -> None:
    record = PriceRecord()
    for turn in range(20_000):
        record.observe_quote(turn * 7_001, 50 + turn % 7, 60 + turn % 5)
    for turn in range(500):
        record.observe_quote(20_000 * 7_001 + turn, 100 + turn, 1_000 - turn)
    rows = [len(grid.rows) for grid in record.grids]
    assert rows == [61, 61, 97]
    assert max(len(record.bids), len(record.asks)) <= MAX_RUNGS
    assert len(msgspec.msgpack.encode(record)) < 16_000


def test_more_rising_quotes_than_are_kept_rest_later_not_earlier() -> None:
    record = PriceRecord(policy=PricePolicy(rest_ms=100, max_spread_bps=10**7))
    record.anchor(0, 1)
    for turn in range(90):
        record.observe_quote(turn, 10 + turn, 5_000)
    assert record.prices(100).mark_milliticks == 10_000
    assert record.prices(100 + MAX_RUNGS - 3).mark_milliticks == (10 + MAX_RUNGS - 3) * 1_000
    assert record.prices(188).mark_milliticks == (10 + MAX_RUNGS - 3) * 1_000
    assert record.prices(189).mark_milliticks == 99_000


def test_the_dearest_price_for_a_century_overflows_nothing() -> None:
    record = PriceRecord()
    record.observe_quote(0, MAX_PRICE - 2, MAX_PRICE)
    century_ms = 100 * 366 * DAY_MS
    record.observe_quote(century_ms, MAX_PRICE - 2, MAX_PRICE)
    msgspec.msgpack.encode(record)
    five, hour, day, *geometric = all_prices(record, century_ms)
    assert five == hour == day == 1_000 * (MAX_PRICE - 1)
    for price in geometric:
        assert price == pytest.approx(1_000 * (MAX_PRICE - 1), rel=4e-9)


@pytest.mark.parametrize("bid", [0, 1, 2, MAX_PRICE])
def test_extreme_quotes(bid: int) -> None:
    record = PriceRecord(policy=PricePolicy(max_spread_bps=10_000))
    record.observe_quote(0, 1, 2)
    record.anchor(0, 1)
    record.observe_quote(MINUTE_MS, bid, 0)
    found = record.prices(HOUR_MS)
    assert found.mark_milliticks == (1_000 * bid or None)


def test_orders_worth_too_little_are_no_quote() -> None:
    bids = [(100, 1), (99, 1), (98, 50)]
    assert quotable(bids, tick_minor=10, floor_minor=1_000) == 100
    assert quotable(bids, tick_minor=10, floor_minor=1_001) == 99
    assert quotable(bids, tick_minor=10, floor_minor=1_991) == 98
    assert quotable(bids, tick_minor=10, floor_minor=51_000) == 0
    assert quotable([], tick_minor=10, floor_minor=1) == 0


@pytest.mark.parametrize(("trim_bps", "mean"), [(0, 25), (2_499, 25), (2_500, 25), (4_000, 25)])
def test_both_ends_are_drawn_in_alike(trim_bps: int, mean: int) -> None:
    rows = [Sums()]
    for value in (20, 40, 10, 30):
        rows.append(Sums(logs=rows[-1].logs + 100 * value, known_ms=rows[-1].known_ms + 100))
    assert winsorised(Window(400, rows), trim_bps) == mean
    spike = [*rows, Sums(logs=rows[-1].logs + 100 * 900, known_ms=500)]
    assert winsorised(Window(500, spike), 2_000) == (20 + 40 + 20 + 30 + 40) // 5
    dip = [*rows, Sums(logs=rows[-1].logs, known_ms=500)]
    assert winsorised(Window(500, dip), 2_000) == (20 + 30 + 10 + 30 + 10) // 5


def test_what_comes_to_rest_at_once_counts_as_one() -> None:
    record = PriceRecord()
    for bid in (90, 93, 98):
        record.observe_quote(0, bid, 99)
    record.halt(30_000)
    assert record.capped_log == log2(98 + 99)


def test_quotes_that_cross_are_none() -> None:
    record = market()
    record.observe_quote(NOW_MS, 120, 110)
    assert record.prices(NOW_MS + MINUTE_MS).mark_milliticks is None


def test_after_a_split_the_owner_begins_anew_and_no_price_mixes_both() -> None:
    before = market(990, 1_010)
    assert before.prices(NOW_MS).index.price_milliticks == 1_000_000
    after = PriceRecord()
    after.anchor(NOW_MS, 100)
    after.observe_quote(NOW_MS, 99, 101)
    assert all_prices(after, NOW_MS + MINUTE_MS) == [None] * 5
    assert all_prices(after, NOW_MS + 4 * MINUTE_MS) == [100_000, None, None, None, None]
    assert after.prices(NOW_MS + 40 * MINUTE_MS).index.price_milliticks == 100_000


def test_with_too_little_coverage_averages_go_on_and_references_stop() -> None:
    record = market()
    record.observe_quote(NOW_MS, 99, 0)
    assert all_prices(record, NOW_MS + 2 * HOUR_MS) == [100_000, 100_000, 100_000, None, 100_000]


def test_a_clock_that_jumps_ahead_shows_as_staleness() -> None:
    found = market().prices(NOW_MS + 30 * DAY_MS)
    assert found.index.staleness_ms == NOW_MS + 30 * DAY_MS - MINUTE_MS


def test_steps_of_the_policy_fit_in_each_other() -> None:
    policy = PricePolicy()
    assert policy.hour_step_ms % policy.short_step_ms == 0
    assert policy.day_step_ms % policy.short_step_ms == 0
    for window, step in (
        (policy.short_window_ms, policy.short_step_ms),
        (policy.hour_window_ms, policy.hour_step_ms),
        (policy.day_window_ms, policy.day_step_ms),
    ):
        assert window % step == 0
    assert replace(policy) == policy
