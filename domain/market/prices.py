"""The price record of one book: told of quotes and trades, it knows the averages and references.

Deterministic and exact: integers alone, moments as arguments, no difference between one long step
and many short ones. O(1) for an observation; memory is bounded whatever the traffic (some 220 rows
of sums), and a silence of any length loses nothing, for between observations nothing changes.
What the references are and why: docs/decisions/0012-reference-prices.md.
"""

from __future__ import annotations

from copy import copy
from functools import lru_cache

import msgspec

from domain.market.price_windows import (
    MODULUS,
    Grid,
    Reading,
    Sums,
    Window,
    arithmetic,
    from_log,
    is_covered,
    is_known,
    read,
    window,
    winsorised,
)
from domain.market.quotes import (
    MAX_PRICE,
    NO_KEY,
    Rung,
    ask_key,
    believed,
    bid_key,
    can_trust,
    drop,
    extend,
    is_narrow,
    mark,
    sides,
)
from domain.policy import BPS, MINUTE_MS, PricePolicy
from kernels.twap.fixed import log2

NEVER_MS = 1 << 62
LOGS_REMEMBERED = 4_096


class Prices(msgspec.Struct, frozen=True):
    """What is published of a book. Each reading has its own window and confidence.

    mark_milliticks: the mark now, None where there is none.  index: for display and price bands,
    follows news within the hour.  settle: for what money hangs on; slow and dear to move.
    """

    at_ms: int
    mark_milliticks: int | None
    five_minutes: Reading
    hour: Reading
    day: Reading
    index: Reading
    settle: Reading


class PriceRecord(msgspec.Struct):
    """Rebuilt from events or taken from a snapshot: a Struct of plain values, as msgspec has it.

    Give it everything in the order in which it happened. A moment before the last one counts as
    that one: the record's clock does not go back. It keeps the policy it was opened with.

    last_half: the last trade in half ticks, or what an auction was held at and quotes have not yet
    confirmed; for want of an index it is what there is.  told_ms: the latest moment that it was
    told of.  at_ms: up to when the sums (`Sums`) are made, for as long as nothing changes they need
    not be.  boundary_ms: the next of the finest grid.
    """

    policy: PricePolicy = PricePolicy()
    opened_ms: int = -1
    told_ms: int = 0
    at_ms: int = 0
    boundary_ms: int = 0
    observed_ms: int = 0
    halted: bool = False
    last_half: int = 0
    confirmed: bool = False
    mark_half: int = 0
    mark_log: int = 0
    capped_log: int = 0
    covered: bool = False
    trades: int = 0
    quotes: int = 0
    marks: int = 0
    logs: int = 0
    capped: int = 0
    known_ms: int = 0
    covered_ms: int = 0
    bids: list[Rung] = msgspec.field(default_factory=lambda: [(0, NO_KEY)])
    asks: list[Rung] = msgspec.field(default_factory=lambda: [(0, NO_KEY)])
    grids: list[Grid] = msgspec.field(default_factory=lambda: [Grid(), Grid(), Grid()])

    def observe_quote(self, at_ms: int, bid: int, ask: int) -> None:
        """The best bid and ask, in ticks, 0 where there is none, as they stand from now on.

        The caller passes what `quotable` makes of each side, so that orders worth
        `policy.min_quote_minor` stand behind it. That they have rested is seen to here: a better
        quote counts after `policy.rest_ms`, a worse one at once.
        """
        assert 0 <= bid <= MAX_PRICE, "a price is in range"
        assert 0 <= ask <= MAX_PRICE, "a price is in range"
        bids, asks, best, least = self.bids, self.asks, bid_key(bid), ask_key(ask)
        if bids[-1][1] == best and asks[-1][1] == least:
            self._hear(at_ms)
            return
        self._advance(at_ms)
        extend(bids, self.at_ms, best)
        extend(asks, self.at_ms, least)
        self.quotes += 1
        self.observed_ms = self.at_ms
        self._remark()

    def observe_trade(self, at_ms: int, price: int, quantity: int, *, same_owner: bool) -> None:
        """A trade, in ticks and shares. same_owner: both sides are one beneficial owner's; such a
        trade never counts, nor does one that the quotes do not bear out: `can_trust`."""
        assert 0 < price <= MAX_PRICE, "a price is in range"
        self._advance(at_ms)
        bid, ask = self._sides()
        narrow = is_narrow(bid, ask, self.policy.max_spread_bps)
        if same_owner or quantity <= 0 or self.halted or not can_trust(bid, ask, narrow=narrow):
            return
        last_half = self.last_half if self.confirmed else 0
        if last := believed(bid, ask, last_half, price, narrow=narrow):
            self.last_half, self.confirmed = last, True
        self.trades += 1
        self.observed_ms = self.at_ms
        self._remark()

    def anchor(self, at_ms: int, price: int) -> None:
        """What a primary sale or a call auction was held at: the last trade, to be confirmed.

        Two accounts of one owner may have met in an auction as well. So it makes no mark by itself;
        when narrow quotes have rested around it, or beside it, it counts as a trade between them.
        """
        assert 0 < price <= MAX_PRICE, "a price is in range"
        self._advance(at_ms)
        self.last_half, self.confirmed = 2 * price, False
        self.observed_ms = self.at_ms
        self._remark()

    def halt(self, at_ms: int) -> None:
        """Trading stops: until it resumes there is no mark, and the time counts in no average."""
        self._advance(at_ms)
        self.halted = True
        self._remark()

    def resume(self, at_ms: int) -> None:
        """Trading goes on, with the quotes as they stand."""
        self._advance(at_ms)
        self.halted = False
        self._remark()

    def prices(self, now_ms: int) -> Prices:
        """All that is published now. Changes nothing, so asking leaves no trace in a replay."""
        ahead = copy(self)
        ahead.bids, ahead.asks = self.bids.copy(), self.asks.copy()
        ahead.grids = [Grid(grid.last_ms, grid.rows.copy()) for grid in self.grids]
        ahead._advance(now_ms)
        return ahead._read()

    def _read(self) -> Prices:
        policy, now = self.policy, self._sums()
        short, hour, day = (
            window(grid, step_ms, window_ms, self.at_ms, now)
            for grid, (window_ms, step_ms) in zip(self.grids, _windows(policy), strict=True)
        )
        index = settle = None
        if is_covered(policy, hour):
            index = from_log(winsorised(hour, policy.trim_bps))
        if is_covered(policy, day):
            settle = from_log(day.spent.capped // day.spent.known_ms)
        stale_ms = self.at_ms - self.observed_ms
        return Prices(
            at_ms=self.at_ms,
            mark_milliticks=500 * self.mark_half or None,
            five_minutes=read(short, self._average(short), stale_ms),
            hour=read(hour, self._average(hour), stale_ms),
            day=read(day, self._average(day), stale_ms),
            index=read(hour, index, stale_ms),
            settle=read(day, settle, stale_ms),
        )

    def _average(self, of: Window) -> int | None:
        return arithmetic(of.spent) if is_known(self.policy, of) else None

    def _advance(self, at_ms: int) -> None:
        """Let time pass: quotes come to rest, sums grow."""
        self._hear(at_ms)
        at_ms = self.told_ms
        if at_ms == self.at_ms:
            return
        bids, asks, rest_ms = self.bids, self.asks, self.policy.rest_ms
        while len(bids) > 1 or len(asks) > 1:
            bid_ms = bids[1][0] if len(bids) > 1 else NEVER_MS
            ask_ms = asks[1][0] if len(asks) > 1 else NEVER_MS
            since_ms = min(bid_ms, ask_ms)
            if since_ms + rest_ms > at_ms:
                break
            self._add_up(since_ms + rest_ms)
            drop(bids, since_ms)
            drop(asks, since_ms)
            self._remark()
        self._add_up(at_ms)

    def _hear(self, at_ms: int) -> None:
        """Know that it is so late, if it is not later already. The first thing heard opens it."""
        if self.opened_ms < 0:
            self.opened_ms = self.at_ms = self.observed_ms = at_ms
            step_ms = self.policy.short_step_ms
            self.boundary_ms = at_ms // step_ms * step_ms + step_ms
        self.told_ms = max(self.told_ms, at_ms)

    def _add_up(self, at_ms: int) -> None:
        """Bring the sums to a moment up to which nothing changes, and keep them at boundaries."""
        if at_ms >= self.boundary_ms:
            for grid, (window_ms, step_ms) in zip(self.grids, _windows(self.policy), strict=True):
                self._keep(grid, at_ms, window_ms, step_ms)
            step_ms = self.policy.short_step_ms
            self.boundary_ms = at_ms // step_ms * step_ms + step_ms
        self._pass(at_ms)

    def _keep(self, grid: Grid, at_ms: int, window_ms: int, step_ms: int) -> None:
        """Note the sums at the boundaries that are passed, of those that a window can begin at."""
        oldest_ms = (at_ms - window_ms) // step_ms * step_ms
        first_ms = max((self.at_ms // step_ms + 1) * step_ms, oldest_ms)
        if first_ms > at_ms:
            return
        ahead = copy(self)
        for boundary_ms in range(first_ms, at_ms + 1, step_ms):
            ahead._pass(boundary_ms)
            grid.rows.append(ahead._sums())
            grid.last_ms = boundary_ms
        del grid.rows[: max(0, len(grid.rows) - (grid.last_ms - oldest_ms) // step_ms - 1)]

    def _pass(self, at_ms: int) -> None:
        """Time passes, and nothing changes meanwhile."""
        half, log, passed_ms = self.mark_half, self.mark_log, at_ms - self.at_ms
        self.at_ms = at_ms
        if not half:
            return
        if self.capped_log == log:
            ramp = log * passed_ms
        else:
            ramp, self.capped_log = follow(self.capped_log, log, passed_ms, _cap(self.policy))
        self.marks = (self.marks + half * passed_ms) & MODULUS
        self.logs = (self.logs + log * passed_ms) & MODULUS
        self.capped = (self.capped + ramp) & MODULUS
        self.known_ms += passed_ms
        if self.covered:
            self.covered_ms += passed_ms

    def _sums(self) -> Sums:
        return Sums(
            self.marks,
            self.logs,
            self.capped,
            self.known_ms,
            self.covered_ms,
            self.trades,
            self.quotes,
        )

    def _sides(self) -> tuple[int, int]:
        return sides(self.bids[0][1], self.asks[0][1])

    def _remark(self) -> None:
        """The mark after something changed. The capped one begins with the first there is."""
        bid, ask = self._sides()
        narrow = is_narrow(bid, ask, self.policy.max_spread_bps)
        last_half = self.last_half if narrow or self.confirmed else 0
        half = 0 if self.halted else mark(bid, ask, last_half, narrow=narrow)
        if narrow and half and last_half and not self.confirmed:
            self.last_half, self.confirmed = half, True
        self.covered = narrow and half > 0
        if half != self.mark_half:
            self.mark_half = half
            self.mark_log = _log(half) if half else 0
            self.capped_log = self.capped_log or self.mark_log


def follow(value: int, goal: int, steps: int, cap: int) -> tuple[int, int]:
    """(the sum over `steps` turns, the value after them) of a value that moves by `cap` a turn
    towards a goal and stays there. A turn adds the value that it begins with."""
    distance = goal - value
    way = cap if distance > 0 else -cap
    turns = min(steps, abs(distance) // cap)
    total = turns * value + way * (turns * (turns - 1) // 2)
    value += way * turns
    if turns < steps:
        total += value + goal * (steps - turns - 1)
        value = goal
    return total, value


@lru_cache(maxsize=LOGS_REMEMBERED)
def _log(half_ticks: int) -> int:
    return log2(half_ticks)


@lru_cache(maxsize=8)
def _cap(policy: PricePolicy) -> int:
    """How far the capped logarithm moves in a millisecond, at least 1."""
    return max(1, (log2(BPS + policy.cap_bps_per_minute) - log2(BPS)) // MINUTE_MS)


def _windows(policy: PricePolicy) -> tuple[tuple[int, int], ...]:
    """(length, step) of the windows, in the order of the grids."""
    return (
        (policy.short_window_ms, policy.short_step_ms),
        (policy.hour_window_ms, policy.hour_step_ms),
        (policy.day_window_ms, policy.day_step_ms),
    )
