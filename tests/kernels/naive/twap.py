"""The naive twin of the averages: each window by itself, from all ticks, in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from math import floor

NO_PRICE = -1


def average(
    ticks: Sequence[tuple[int, int]],
    at_ms: int,
    length_ms: int,
    step_ms: int,
    least_known_ms: int,
    unit: int,
) -> int:
    """The average up to `at_ms`, in thousandths; ticks: (at_ms, value) of one symbol, in order."""
    start = floor(Fraction(at_ms - length_ms, step_ms)) * step_ms
    moments = list(accumulate((moment for moment, _ in ticks), max))
    total, known = 0, 0
    ends = [*moments[1:], at_ms]
    for (begin, end), (_, value) in zip(zip(moments, ends, strict=True), ticks, strict=True):
        passed = max(0, end - max(begin, start))
        total += value * passed
        known += passed if value else 0
    if known < max(1, least_known_ms):
        return NO_PRICE
    return floor(Fraction(1000 * total, known * unit) + Fraction(1, 2))


def averages(
    symbols: Sequence[Sequence[tuple[int, int]]],
    windows: Sequence[tuple[int, int, int]],
    unit: int,
) -> list[list[int]]:
    """Row by window: the average at each tick of each symbol in turn."""
    rows = []
    for window in windows:
        row = []
        for ticks in symbols:
            moments = list(accumulate((moment for moment, _ in ticks), max))
            for count, at_ms in enumerate(moments, 1):
                row.append(average(ticks[:count], at_ms, *window, unit))
        rows.append(row)
    return rows
