"""INDEX and SETTLE over a history of marks: what `domain/market/prices.py` says of a live book.

The two are defined there and in docs/decisions/0012-reference-prices.md; here they are computed for
any moments of any number of books at once, in the same integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kernels.compile import njit
from kernels.twap.logs import logarithms, power2, root_table

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NO_PRICE = -1
BPS = 10_000
HALF_SCALE = 500  # thousandths of a tick in half a tick
INDEX, SETTLE = range(2)
LOGS, CAPPED, KNOWN, COVERED, LEVEL = range(5)  # of the sums; LEVEL: the capped logarithm now
HOUR, HOUR_STEP, DAY, DAY_STEP, TRIM, CAP, LEAST_KNOWN, LEAST_COVERED = range(8)


class Rules(NamedTuple):
    """The policy's numbers. cap: how far the capped logarithm moves in a millisecond."""

    hour_ms: int
    hour_step_ms: int
    day_ms: int
    day_step_ms: int
    trim_bps: int
    cap: int
    least_known_bps: int
    least_covered_bps: int


class History(NamedTuple):
    """Marks of books, book by book, and the moments to ask at.

    starts, asked_starts: where each book's begin, and the end of the last's.  halves: marks in half
    ticks, which hold from their moment to the next; 0 for none.  covered: whether narrow quotes
    stood on both sides.  asked_ms: ascending within a book; a mark of that very moment is known.
    """

    starts: Integers
    at_ms: Integers
    halves: Integers
    covered: Flags
    asked_starts: Integers
    asked_ms: Integers


@njit(error_model="numpy")
def _pass(sums: Integers, log: int, covered: bool, passed: int, cap: int) -> None:
    """Add up a time in which nothing changes; the capped logarithm follows turn by turn."""
    if not log or passed <= 0:
        return
    level = sums[LEVEL]
    distance = log - level
    way = cap if distance > 0 else -cap
    turns = min(passed, abs(distance) // cap)
    ramp = turns * level + way * (turns * (turns - 1) // 2)
    level += way * turns
    if turns < passed:
        ramp += level + log * (passed - turns - 1)
        level = log
    sums[LEVEL] = level
    sums[CAPPED] += ramp
    sums[LOGS] += log * passed
    sums[KNOWN] += passed
    if covered:
        sums[COVERED] += passed


@njit(error_model="numpy")
def _keep(ring: Integers, number: int, sums: Integers) -> None:
    row = number % (len(ring) - 1)
    for column in range(len(sums)):
        ring[row, column] = sums[column]


@njit(error_model="numpy")
def _is_covered(first: Integers, now: Integers, length: int, rules: Integers) -> bool:
    known, covered = now[KNOWN] - first[KNOWN], now[COVERED] - first[COVERED]
    if known <= 0 or known * BPS < rules[LEAST_KNOWN] * length:
        return False
    return bool(covered * BPS >= rules[LEAST_COVERED] * length)


@njit(error_model="numpy")
def _row(ring: Integers, boundary: int, step: int, opened: int) -> Integers:
    """The sums at a boundary; the ring's last row has those of before the first mark: zeros."""
    place = -1 if boundary <= opened else boundary // step % (len(ring) - 1)
    row: Integers = ring[place]
    return row


@njit(error_model="numpy")
def _winsorised(parts: Integers, count: int, trim_bps: int) -> int:
    """The weighted mean of (value, weight) rows, sorted here, the ends drawn in.

    Ranks are counted from either end alike. trim_bps is below BPS.
    """
    total = 0
    for place in range(count):
        value, weight = parts[place, 0], parts[place, 1]
        total += weight
        at = place
        while at and parts[at - 1, 0] > value:
            parts[at, 0], parts[at, 1] = parts[at - 1, 0], parts[at - 1, 1]
            at -= 1
        parts[at, 0], parts[at, 1] = value, weight
    rank = total * (BPS - trim_bps)
    high, passed = 0, 0
    while passed < rank:
        passed += parts[high, 1] * BPS
        high += 1
    low, passed = count, 0
    while passed < rank:
        low -= 1
        passed += parts[low, 1] * BPS
    least, most = parts[low, 0], parts[high - 1, 0]
    mean = 0
    for place in range(count):
        mean += min(max(parts[place, 0], least), most) * parts[place, 1]
    return mean // total


@njit(error_model="numpy")
def _index(
    ring: Integers, sums: Integers, now: int, opened: int, rules: Integers, parts: Integers
) -> int:
    """The logarithm of INDEX, or NO_PRICE."""
    step = rules[HOUR_STEP]
    start = (now - rules[HOUR]) // step * step
    before = _row(ring, start, step, opened)
    if not _is_covered(before, sums, now - start, rules):
        return NO_PRICE
    count, logs, known = 0, before[LOGS], before[KNOWN]
    for boundary in range(max(start, opened // step * step) + step, now + step, step):
        after = sums if boundary > now else _row(ring, boundary, step, opened)
        passed = after[KNOWN] - known
        if passed > 0:
            parts[count, 0] = (after[LOGS] - logs) // passed
            parts[count, 1] = passed
            count += 1
        logs, known = after[LOGS], after[KNOWN]
    return _winsorised(parts, count, rules[TRIM])


@njit(error_model="numpy")
def _settle(ring: Integers, sums: Integers, now: int, opened: int, rules: Integers) -> int:
    """The logarithm of SETTLE, or NO_PRICE."""
    step = rules[DAY_STEP]
    start = (now - rules[DAY]) // step * step
    before = _row(ring, start, step, opened)
    if not _is_covered(before, sums, now - start, rules):
        return NO_PRICE
    return int((sums[CAPPED] - before[CAPPED]) // (sums[KNOWN] - before[KNOWN]))


@njit(error_model="numpy")
def _book(
    ticks: tuple[Integers, Integers, Flags],
    asked_ms: Integers,
    rules: Integers,
    hours: Integers,
    days: Integers,
    out: Integers,
) -> None:
    """One book. Rings are (boundaries + 1, 5): a window's boundaries, and a row of zeros."""
    at_ms, logs, covered = ticks
    sums = np.zeros(5, np.int64)
    parts = np.empty((len(hours) + 1, 2), np.int64)
    opened = now = at_ms[0]
    log, is_covered, tick = 0, False, 0
    next_hour = (now // rules[HOUR_STEP] + 1) * rules[HOUR_STEP]
    next_day = (now // rules[DAY_STEP] + 1) * rules[DAY_STEP]
    asked = 0
    while asked < len(asked_ms):
        is_tick = tick < len(at_ms) and at_ms[tick] <= asked_ms[asked]
        until = max(now, at_ms[tick] if is_tick else asked_ms[asked])
        while min(next_hour, next_day) <= until:
            boundary = min(next_hour, next_day)
            _pass(sums, log, is_covered, boundary - now, rules[CAP])
            now = boundary
            if boundary == next_hour:
                _keep(hours, boundary // rules[HOUR_STEP], sums)
                next_hour += rules[HOUR_STEP]
            if boundary == next_day:
                _keep(days, boundary // rules[DAY_STEP], sums)
                next_day += rules[DAY_STEP]
        _pass(sums, log, is_covered, until - now, rules[CAP])
        now = until
        if is_tick:
            log, is_covered = int(logs[tick]), covered[tick]
            if not sums[LEVEL]:
                sums[LEVEL] = log
            tick += 1
        else:
            out[INDEX, asked] = out[SETTLE, asked] = NO_PRICE
            if asked_ms[asked] >= opened and tick:
                out[INDEX, asked] = _index(hours, sums, now, opened, rules, parts)
                out[SETTLE, asked] = _settle(days, sums, now, opened, rules)
            asked += 1


@njit(error_model="numpy")
def _all(
    starts: Integers,
    ticks: tuple[Integers, Integers, Flags],
    asked_starts: Integers,
    asked_ms: Integers,
    rules: Integers,
    table: Integers,
    out: Integers,
) -> None:
    at_ms, logs, covered = ticks
    hours = np.zeros((rules[HOUR] // rules[HOUR_STEP] + 3, 5), np.int64)
    days = np.zeros((rules[DAY] // rules[DAY_STEP] + 3, 5), np.int64)
    for book in range(len(starts) - 1):
        first, end = starts[book], starts[book + 1]
        begin, stop = asked_starts[book], asked_starts[book + 1]
        if first == end:
            for place in range(begin, stop):
                out[INDEX, place] = out[SETTLE, place] = NO_PRICE
            continue
        of_book = (at_ms[first:end], logs[first:end], covered[first:end])
        _book(of_book, asked_ms[begin:stop], rules, hours, days, out[:, begin:stop])
    for row in range(len(out)):
        for place in range(out.shape[1]):
            if out[row, place] != NO_PRICE:
                out[row, place] = power2(out[row, place], HALF_SCALE, table)


def references(history: History, rules: Rules) -> Integers:
    """(2, asked): INDEX and SETTLE in thousandths of a tick, NO_PRICE where there is none.

    A mark that is older than the one before it counts as of the same moment. Some 0.1 µs a mark and
    2 µs a question; nothing grows with the history. Raises ValueError where the parts do
    not fit together or a rule is out of range.
    """
    lengths = {len(history.at_ms), len(history.halves), len(history.covered)}
    fit = len(lengths) == 1 and len(history.starts) == len(history.asked_starts)
    if not fit or history.starts[-1] != len(history.at_ms):
        raise ValueError("the columns of the history do not fit together")
    if history.asked_starts[-1] != len(history.asked_ms):
        raise ValueError("the moments to ask at do not fit the books")
    if not 0 <= rules.trim_bps < BPS or min(rules[: DAY_STEP + 1]) < 1 or rules.cap < 1:
        raise ValueError("a window, a step and a cap are at least 1, and not all is drawn in")
    out = np.empty((2, len(history.asked_ms)), np.int64)
    ticks = (history.at_ms, logarithms(history.halves), history.covered)
    asked = (history.asked_starts, history.asked_ms)
    with np.errstate(over="ignore"):  # where it is not compiled: sums may wrap
        _all(history.starts, ticks, *asked, np.array(rules, np.int64), root_table(), out)
    return out
