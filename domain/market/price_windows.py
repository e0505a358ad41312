"""Sums over time at the boundaries of a grid, and what a window of them says as a price.

A window begins at a boundary, a multiple of the window's step, and ends now. So what must be kept
is the sums at the window's boundaries, whatever happened between them, and averages are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from domain.policy import BPS, PricePolicy
from kernels.twap.fixed import power2

MODULUS = (1 << 63) - 1  # as a mask: sums wrap, and differences over a window are right
MILLI = 1_000
HALVES = 2


class Sums(NamedTuple):
    """What has added up since the record began, modulo 2^63.

    marks, logs, capped: the mark in half ticks, its logarithm, and the capped logarithm, times
    milliseconds.  known_ms: with a mark.  covered_ms: with narrow quotes on both sides.
    """

    marks: int = 0
    logs: int = 0
    capped: int = 0
    known_ms: int = 0
    covered_ms: int = 0
    trades: int = 0
    quotes: int = 0


class Grid(msgspec.Struct, array_like=True):
    """The sums at the latest boundaries of one step, oldest first; `last_ms` is the newest's."""

    last_ms: int = 0
    rows: list[Sums] = msgspec.field(default_factory=list)


class Reading(msgspec.Struct, frozen=True):
    """A price with what it rests on. price_milliticks: None where there is no price to name.

    window_ms: from the window's beginning to now.  known_bps, coverage_bps: the share of it with a
    mark, and with narrow quotes on both sides.  trades, quotes: how many of them counted, the
    quotes by their changes.  staleness_ms: since the last of them.
    """

    price_milliticks: int | None
    window_ms: int
    known_bps: int
    coverage_bps: int
    trades: int
    quotes: int
    staleness_ms: int


class Window(NamedTuple):
    """A window's sums at its beginning, at the boundaries within it, and now."""

    length_ms: int
    rows: Sequence[Sums]

    @property
    def spent(self) -> Sums:
        """What added up in the window."""
        return difference(self.rows[-1], self.rows[0])


def difference(later: Sums, earlier: Sums) -> Sums:
    """What added up between two moments."""
    return Sums(*[(b - a) & MODULUS for a, b in zip(earlier, later, strict=True)])


def window(grid: Grid, step_ms: int, window_ms: int, now_ms: int, now: Sums) -> Window:
    """The window that ends now. Before the record began there is nothing, and its sums are 0."""
    start_ms = (now_ms - window_ms) // step_ms * step_ms
    held = (grid.last_ms - start_ms) // step_ms + 1
    if 0 < held <= len(grid.rows):
        return Window(now_ms - start_ms, [*grid.rows[-held:], now])
    return Window(now_ms - start_ms, [Sums(), *grid.rows, now])


def arithmetic(spent: Sums) -> int:
    """The time-weighted arithmetic mean in thousandths of a tick, to the nearest (half up)."""
    return (MILLI * spent.marks + spent.known_ms) // (HALVES * spent.known_ms)


def from_log(logarithm: int) -> int:
    """Thousandths of a tick of a logarithm of half ticks, to the nearest (half up)."""
    return power2(logarithm, MILLI // HALVES)


def winsorised(window: Window, trim_bps: int) -> int:
    """The mean logarithm, each step of the window by its own mean, the extreme ones drawn in.

    Of the time that is known, the lowest and the highest `trim_bps` count as the values next to
    them (winsorising: Tukey, "The Future of Data Analysis", 1962). So what holds for no more than
    that share of the window is worth no more than the rest of it was.
    """
    parts = []
    for earlier, later in pairwise(window.rows):
        if known_ms := (later.known_ms - earlier.known_ms) & MODULUS:
            parts.append((((later.logs - earlier.logs) & MODULUS) // known_ms, known_ms))
    parts.sort()
    total_ms = sum(known_ms for _, known_ms in parts)
    low = _quantile(reversed(parts), total_ms * (BPS - trim_bps))
    high = _quantile(parts, total_ms * (BPS - trim_bps))
    return sum(min(max(value, low), high) * ms for value, ms in parts) // total_ms


def _quantile(parts: Iterable[tuple[int, int]], rank: int) -> int:
    """The value at which, in the order given, `rank` ten-thousandths of a millisecond are passed.

    From either end alike, so that up and down are treated the same.
    """
    passed, found = 0, 0
    for value, ms in parts:
        passed, found = passed + ms * BPS, value
        if passed >= rank:
            break
    return found


def read(window: Window, price: int | None, staleness_ms: int) -> Reading:
    """The reading of a window whose price was found, or was not."""
    spent = window.spent
    return Reading(
        price_milliticks=price,
        window_ms=window.length_ms,
        known_bps=spent.known_ms * BPS // window.length_ms,
        coverage_bps=spent.covered_ms * BPS // window.length_ms,
        trades=spent.trades,
        quotes=spent.quotes,
        staleness_ms=staleness_ms,
    )


def is_known(policy: PricePolicy, window: Window) -> bool:
    """Whether enough of the window has a mark for an average of it."""
    known_ms = window.spent.known_ms
    return known_ms > 0 and known_ms * BPS >= policy.min_known_bps * window.length_ms


def is_covered(policy: PricePolicy, window: Window) -> bool:
    """Whether enough of the window is known, and had quotes on both sides, for a reference."""
    covered = window.spent.covered_ms * BPS >= policy.min_coverage_bps * window.length_ms
    return covered and is_known(policy, window)
