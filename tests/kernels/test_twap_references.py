"""INDEX and SETTLE over a history: equal to the naive twin and to the record of a live book."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.market.prices import PriceRecord, _cap
from domain.policy import DAY_MS, MINUTE_MS, PricePolicy
from kernels.twap import fixed, logs
from kernels.twap.references import NO_PRICE, History, Rules, references
from tests.kernels.naive import references as naive

Mark = tuple[int, int, bool]

SMALL = PricePolicy(
    hour_window_ms=16,
    hour_step_ms=4,
    day_window_ms=60,
    day_step_ms=12,
    cap_bps_per_minute=9_000,
)
marks_of_books = st.lists(
    st.lists(
        st.tuples(
            st.one_of(st.integers(-3, 9), st.integers(0, 90)),
            st.one_of(st.just(0), st.integers(2, 200)),
            st.booleans(),
        ),
        max_size=20,
    ),
    min_size=1,
    max_size=3,
)


def rules_of(policy: PricePolicy) -> Rules:
    return Rules(
        policy.hour_window_ms,
        policy.hour_step_ms,
        policy.day_window_ms,
        policy.day_step_ms,
        policy.trim_bps,
        _cap(policy),
        policy.min_known_bps,
        policy.min_coverage_bps,
    )


def run(
    books: list[list[Mark]], asked: list[list[int]], policy: PricePolicy
) -> list[tuple[int | None, int | None]]:
    rows = [mark for book in books for mark in book]
    moments = [at_ms for row in asked for at_ms in row]
    history = History(
        np.array([0, *accumulate(map(len, books))], np.int64),
        np.array([at_ms for at_ms, _, _ in rows], np.int64),
        np.array([half for _, half, _ in rows], np.int64),
        np.array([covered for _, _, covered in rows], np.bool_),
        np.array([0, *accumulate(map(len, asked))], np.int64),
        np.array(moments, np.int64),
    )
    index, settle = references(history, rules_of(policy)).tolist()
    return [
        (None if one == NO_PRICE else one, None if other == NO_PRICE else other)
        for one, other in zip(index, settle, strict=True)
    ]


@given(marks_of_books, st.data())
def test_equals_its_naive_twin(told: list[list[Mark]], data: st.DataObject) -> None:
    books = []
    for book in told:
        at_ms, row = 100, []
        for gap_ms, half, covered in book:
            at_ms = max(0, at_ms + gap_ms)
            row.append((at_ms, half, covered and half > 0))
        books.append(row)
    moments = st.lists(st.integers(0, 900), max_size=6).map(sorted)
    asked = [data.draw(moments) for _ in books]
    expected = [
        naive.references(SMALL, _cap(SMALL), book, at_ms)
        for book, row in zip(books, asked, strict=True)
        for at_ms in row
    ]
    assert run(books, asked, SMALL) == expected


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * 60 * MINUTE_MS), st.integers(100, 200), st.integers(1, 12)),
        min_size=1,
        max_size=60,
    )
)
def test_the_record_of_a_live_book_says_the_same(steps: list[tuple[int, int, int]]) -> None:
    policy = PricePolicy(rest_ms=1)
    record, book, asked, expected = PriceRecord(policy=policy), [], [], []
    at_ms = 10 * DAY_MS + 12_345
    for gap_ms, bid, spread in steps:
        at_ms += gap_ms + 2
        record.observe_quote(at_ms, bid, bid + spread)
        for moment in (at_ms, at_ms + 1):  # a worse quote counts at once, a better a moment later
            found = record.prices(moment)
            half = (found.mark_milliticks or 0) // 500
            book.append((moment, half, half > 0))  # without a trade only narrow quotes have a mark
        asked.append(at_ms + 1)
        expected.append((found.index.price_milliticks, found.settle.price_milliticks))
    assert run([book], [asked], policy) == expected


def test_books_do_not_mix() -> None:
    """The second opens where a window begins, with what the first left in the same places."""
    first = [(at_ms, 100 + at_ms, True) for at_ms in range(0, 96, 5)]
    for opened_ms in range(40, 100, 4):
        second = [(opened_ms, 50, True), (opened_ms + 20, 70, True)]
        asked = list(range(opened_ms, opened_ms + 70))
        alone = run([second], [asked], SMALL)
        assert run([first, second], [[95], asked], SMALL)[1:] == alone


def test_what_does_not_fit_together_is_refused() -> None:
    one, none = np.array([0, 1]), np.array([0, 0])
    at_ms, covered = np.array([5]), np.array([True])
    good = History(one, at_ms, at_ms, covered, one, at_ms)
    rules = rules_of(SMALL)
    assert references(good, rules).tolist() == [[NO_PRICE], [NO_PRICE]]
    for bad in (
        good._replace(halves=np.array([5, 5])),
        good._replace(starts=none),
        good._replace(asked_starts=none),
        good._replace(asked_starts=np.array([0, 1, 1])),
    ):
        with pytest.raises(ValueError, match="fit"):
            references(bad, rules)
    for wrong in (rules._replace(trim_bps=10_000), rules._replace(day_step_ms=0)):
        with pytest.raises(ValueError, match="at least 1"):
            references(good, wrong)


@given(st.lists(st.one_of(st.just(0), st.integers(1, fixed.MAX_VALUE)), max_size=20))
def test_compiled_logarithms_are_the_plain_ones(values: list[int]) -> None:
    found = logs.logarithms(np.array(values, np.int64))
    assert found.tolist() == [fixed.log2(value) if value else 0 for value in values]


@given(st.integers(0, 31 * fixed.ONE - 1), st.integers(1, logs.MAX_SCALE))
def test_compiled_powers_are_the_plain_ones(logarithm: int, scale: int) -> None:
    assert logs.power2(logarithm, scale, logs.root_table()) == fixed.power2(logarithm, scale)
