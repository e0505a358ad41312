"""The averages over a history against their naive twin, and at each edge."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import floor, nextafter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.market.prices import PriceRecord
from domain.policy import PricePolicy
from kernels.twap.averages import MAX_VALUE, MAX_WINDOW_MS, NO_PRICE, _milli, averages
from tests.kernels.naive import twap as naive

Ticks = list[tuple[int, int]]

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WINDOWS = ((300_000, 1, 1), (HOUR_MS, 1, 1), (DAY_MS, 1, 1))

small_windows = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30)), min_size=1, max_size=3
)
gaps = st.one_of(st.just(0), st.integers(-5, 12), st.integers(0, 100))
small_symbols = st.lists(
    st.lists(st.tuples(gaps, st.one_of(st.just(0), st.integers(1, 60))), max_size=25), max_size=4
)
real_windows = st.lists(
    st.tuples(
        st.integers(1, MAX_WINDOW_MS // 4), st.integers(1, MAX_WINDOW_MS // 4), st.integers(0, 10)
    ),
    min_size=1,
    max_size=2,
)
real_symbols = st.lists(
    st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, MAX_VALUE)), max_size=12), max_size=2
)


def run(
    symbols: list[Ticks], windows: list[tuple[int, int, int]], unit: int = 1
) -> list[list[int]]:
    starts = np.array([0, *accumulate(len(ticks) for ticks in symbols)], np.int64)
    flat = np.array([tick for ticks in symbols for tick in ticks], np.int64).reshape(-1, 2)
    rows = np.array(windows, np.int64)
    found = averages(starts, flat[:, 0].copy(), flat[:, 1].copy(), rows, unit=unit)
    return [[int(value) for value in row] for row in found]


def moments(symbols: list[Ticks], first_ms: int = 1_000) -> list[Ticks]:
    """Gaps turned into moments."""
    made = []
    for ticks in symbols:
        at_ms, row = first_ms, []
        for gap, value in ticks:
            at_ms = max(0, at_ms + gap)
            row.append((at_ms, value))
        made.append(row)
    return made


@given(small_symbols, small_windows, st.integers(1, 3))
def test_equals_its_naive_twin(
    symbols: list[Ticks], windows: list[tuple[int, int, int]], unit: int
) -> None:
    told = moments(symbols)
    assert run(told, windows, unit) == naive.averages(told, windows, unit)


@given(real_symbols, real_windows, st.integers(1, 2))
@settings(max_examples=300)
def test_equals_it_with_values_and_windows_of_any_size(
    symbols: list[Ticks], windows: list[tuple[int, int, int]], unit: int
) -> None:
    told = moments(symbols, 0)
    assert run(told, windows, unit) == naive.averages(told, windows, unit)


@given(
    st.one_of(
        st.integers(1, MAX_WINDOW_MS // 2_000).map(lambda part: 2_000 * part),
        st.integers(1, MAX_WINDOW_MS),
    ),
    st.integers(0, MAX_VALUE // 2),
    st.integers(0, 2_000),
    st.integers(-1, 1),
)
@settings(max_examples=1_000)
def test_quotients_are_right_beside_every_whole_and_half(
    divisor: int, whole: int, halves: int, beside: int
) -> None:
    """Where a guess by doubles falls on the wrong side."""
    total = max(0, whole * divisor + halves * divisor // 2_000 + beside)
    exact = floor(Fraction(1_000 * total, divisor) + Fraction(1, 2))
    for inverse in (1.0 / divisor, nextafter(1.0 / divisor, 0), nextafter(1.0 / divisor, 2)):
        assert _milli(total, divisor, inverse) == exact


@pytest.mark.parametrize("unit", [1, 2])
def test_no_symbol_no_tick_one_tick(unit: int) -> None:
    windows = list(WINDOWS)
    assert run([], windows, unit) == [[], [], []]
    assert run([[], []], windows, unit) == [[], [], []]
    assert run([[], [(5, 100)], []], windows, unit) == [[NO_PRICE]] * 3


def test_before_the_first_tick_nothing_is_known() -> None:
    ticks = [(1_000, 100), (2_000, 300), (3_000, 1)]
    assert run([ticks], [(HOUR_MS, 1, 1)]) == [[NO_PRICE, 100_000, 200_000]]
    assert run([ticks], [(HOUR_MS, 1, 1_500)]) == [[NO_PRICE, NO_PRICE, 200_000]]


def test_a_tick_at_the_windows_beginning_counts_from_there() -> None:
    ticks = [(0, 7), (100, 50), (200, 90), (400, 1)]
    assert run([ticks], [(300, 1, 1), (301, 1, 1), (299, 1, 1)]) == [
        [NO_PRICE, 7_000, 28_500, 76_667],
        [NO_PRICE, 7_000, 28_500, 76_435],
        [NO_PRICE, 7_000, 28_500, 76_756],
    ]


def test_of_equal_moments_the_last_counts_and_a_late_tick_is_now() -> None:
    equal = [(0, 10), (100, 999), (100, 20), (200, 1)]
    assert run([equal], [(200, 1, 1)])[0][-1] == 15_000
    late = [(0, 10), (100, 30), (50, 20), (200, 1)]
    assert run([late], [(200, 1, 1)])[0] == [NO_PRICE, 10_000, 10_000, 15_000]


def test_time_without_a_price_counts_in_no_average() -> None:
    halted = [(0, 10), (100, 0), (900, 30), (1_000, 1)]
    assert run([halted], [(1_000, 1, 1), (1_000, 1, 201), (50, 1, 1)]) == [
        [NO_PRICE, 10_000, 10_000, 20_000],
        [NO_PRICE, NO_PRICE, NO_PRICE, NO_PRICE],
        [NO_PRICE, 10_000, NO_PRICE, 30_000],
    ]


def test_a_gap_of_years_and_sums_beyond_64_bits() -> None:
    years = 50 * 366 * DAY_MS
    ticks = [
        (0, MAX_VALUE),
        (years, MAX_VALUE),
        (2 * years, MAX_VALUE - 1),
        (2 * years + DAY_MS, 1),
    ]
    windows = [(DAY_MS, 1, 1)]
    assert run([ticks], windows)[0] == [
        NO_PRICE, 1_000 * MAX_VALUE, 1_000 * MAX_VALUE, 1_000 * (MAX_VALUE - 1)
    ]  # fmt: skip


def test_what_is_out_of_range_is_refused() -> None:
    good = [(0, 1), (1, 1)]
    for windows in ([(0, 1, 1)], [(1, 0, 1)], [(MAX_WINDOW_MS, 1, 1)]):
        with pytest.raises(ValueError, match="window"):
            run([good], windows)
    with pytest.raises(ValueError, match="unit"):
        run([good], [(1, 1, 1)], unit=0)
    for value in (-1, MAX_VALUE + 1):
        with pytest.raises(ValueError, match="value"):
            run([[(0, value)]], [(1, 1, 1)])


def test_input_may_be_read_only_and_stays_as_it_was() -> None:
    arrays = [np.array(row, np.int64) for row in ([0, 2], [0, 10], [5, 9], [[10, 1, 1]])]
    for array in arrays:
        array.flags.writeable = False
    starts, at_ms, values, windows = arrays
    room = np.zeros((1, 2), np.int64)
    assert averages(starts, at_ms, values, windows, out=room) is room
    assert averages(starts, at_ms, values, windows).tolist() == room.tolist() == [[NO_PRICE, 5_000]]
    with pytest.raises(ValueError, match="room"):
        averages(starts, at_ms, values, windows, out=room.T)


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000_000), st.integers(100, 400), st.integers(1, 9)),
        min_size=1,
        max_size=40,
    )
)
def test_the_record_of_a_live_book_says_the_same(steps: list[tuple[int, int, int]]) -> None:
    """A day of marks, told to the record one by one and to the kernel as a history."""
    policy = PricePolicy(rest_ms=1, min_known_bps=0)
    record, ticks, at_ms = PriceRecord(policy=policy), [], 10 * DAY_MS
    for gap_ms, bid, spread in steps:
        at_ms += gap_ms + 2
        record.observe_quote(at_ms, bid, bid + spread)
        # A worse quote counts at once, a better one when it has rested.
        ticks += [
            (moment, (record.prices(moment).mark_milliticks or 0) // 500)
            for moment in (at_ms, at_ms + 1)
        ]
    now_ms = at_ms + 1_000
    live = record.prices(now_ms)
    windows = [
        (policy.short_window_ms, policy.short_step_ms, 1),
        (policy.hour_window_ms, policy.hour_step_ms, 1),
        (policy.day_window_ms, policy.day_step_ms, 1),
    ]
    found = run([[*ticks, (now_ms, 1)]], windows, 2)
    assert [row[-1] for row in found] == [
        reading.price_milliticks for reading in (live.five_minutes, live.hour, live.day)
    ]
