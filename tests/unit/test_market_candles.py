"""Candles: sums of trades that do not mind how they are added up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.market.candles import (
    STEP_NAMES,
    Candle,
    Key,
    Print,
    Step,
    add,
    aggregate,
    of_one,
    start_of,
)
from domain.policy import DAY_MS, MINUTE_MS

BOOKS = ("0197c000-0000-7000-8000-000000000001", "0197c000-0000-7000-8000-000000000002")


@st.composite
def prints(draw: st.DrawFn) -> list[Print]:
    """Trades of two books within some days; clocks may step back, numbers rise."""
    found = draw(
        st.lists(
            st.tuples(
                st.sampled_from(BOOKS),
                st.integers(1, 10**15),
                st.integers(1, 10_000),
                st.one_of(st.integers(0, 3 * DAY_MS), st.integers(0, 3 * MINUTE_MS)),
            ),
            max_size=40,
        )
    )
    return [Print(book, number, *rest) for number, (book, *rest) in enumerate(found, 1)]


def by_hand(trades: list[Print]) -> dict[Key, Candle]:
    """Each candle from all of its trades at once."""
    groups: dict[Key, list[Print]] = {}
    for trade in trades:
        for step in Step:
            groups.setdefault((trade.issue_id, step, start_of(step, trade.at_ms)), []).append(trade)
    return {
        key: Candle(
            start_ms=key[2],
            open_minor=group[0].price_minor,
            high_minor=max(t.price_minor for t in group),
            low_minor=min(t.price_minor for t in group),
            close_minor=group[-1].price_minor,
            shares=sum(t.shares for t in group),
            turnover_minor=sum(t.shares * t.price_minor for t in group),
            trades=len(group),
            first_trade=group[0].trade_id,
            last_trade=group[-1].trade_id,
        )
        for key, group in groups.items()
    }


@given(prints(), st.data())
def test_any_batches_in_any_order_make_the_same_candles(
    trades: list[Print], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(trades))
    cut = data.draw(st.integers(0, len(trades)))
    grown = aggregate(aggregate({}, shuffled[:cut]), shuffled[cut:])
    assert grown == by_hand(trades)


@given(prints())
def test_each_step_has_all_trades_and_the_finer_make_up_the_coarser(trades: list[Print]) -> None:
    candles = aggregate({}, trades)
    for step in Step:
        of_step = {key: candle for key, candle in candles.items() if key[1] is step}
        assert sum(candle.trades for candle in of_step.values()) == len(trades)
        coarser: dict[tuple[str, int], Candle] = {}
        for (book, _, start_ms), candle in of_step.items():
            key = (book, start_of(Step.DAY, start_ms))
            moved = replace(candle, start_ms=key[1])
            coarser[key] = add(coarser[key], moved) if key in coarser else moved
        for (book, start_ms), candle in coarser.items():
            assert candles[book, Step.DAY, start_ms] == candle


def test_a_trade_at_the_edge_belongs_to_the_span_that_begins() -> None:
    for step in Step:
        assert of_one(step, Print(BOOKS[0], 1, 5, 1, 7 * step)).start_ms == 7 * step
        assert of_one(step, Print(BOOKS[0], 1, 5, 1, 7 * step - 1)).start_ms == 6 * step


def test_candles_of_different_spans_do_not_add_up() -> None:
    one, other = (of_one(Step.MINUTE, Print(BOOKS[0], 1, 5, 1, at)) for at in (0, MINUTE_MS))
    with pytest.raises(AssertionError):
        add(one, other)


def test_steps_have_their_names() -> None:
    assert set(STEP_NAMES.values()) == set(Step)
    assert STEP_NAMES["4h"] == 4 * 60 * MINUTE_MS
    assert all(DAY_MS % step == 0 for step in Step)
