"""The naive twin of the price record: the whole history, walked millisecond by millisecond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median

from domain.policy import BPS, PricePolicy
from kernels.twap.fixed import log2, power2

INFINITE = 1 << 40
Clock = Callable[[], int]


@dataclass
class Instant:
    """What held from one millisecond to the next."""

    at_ms: int
    half: int
    log: int
    capped: int
    covered: bool


@dataclass
class NaiveRecord:
    """Told of the same things as the record; `halves` says what the mark was at each moment."""

    policy: PricePolicy
    cap: int
    bids: list[tuple[int, int]] = field(default_factory=lambda: [(-INFINITE, 0)])
    asks: list[tuple[int, int]] = field(default_factory=lambda: [(-INFINITE, INFINITE)])
    last: Fraction | None = None
    unconfirmed: Fraction | None = None
    halted: bool = False
    capped: int = 0
    now_ms: int = -1
    opened_ms: int = -1
    observed_ms: int = -1
    past: list[Instant] = field(default_factory=list)
    trades: list[int] = field(default_factory=list)
    quotes: list[int] = field(default_factory=list)

    def quote(self, at_ms: int, bid: int, ask: int) -> None:
        self.walk(at_ms)
        before = self.bids[-1][1], self.asks[-1][1]
        self.bids.append((self.now_ms, bid))
        self.asks.append((self.now_ms, ask or INFINITE))
        if (bid, ask or INFINITE) != before:
            self.quotes.append(self.now_ms)
            self.observed_ms = self.now_ms
        self.settle_down()

    def trade(self, at_ms: int, price: int, quantity: int, *, same_owner: bool) -> None:
        self.walk(at_ms)
        bid, ask = self.rested()
        if same_owner or quantity <= 0 or self.halted or (not bid and ask == INFINITE):
            return
        if bid and ask < INFINITE and not self.is_narrow():
            return
        self.trades.append(self.now_ms)
        self.observed_ms = self.now_ms
        drawn = Fraction(median([bid, price, ask]))
        if self.is_narrow():
            self.last, self.unconfirmed = drawn, None
        elif self.last is not None and bid:
            self.last = median([Fraction(bid), drawn, max(self.last, Fraction(bid))])
        elif self.last is not None:
            self.last = median([Fraction(ask), drawn, min(self.last, Fraction(ask))])
        self.settle_down()

    def anchor(self, at_ms: int, price: int) -> None:
        self.walk(at_ms)
        self.last, self.unconfirmed = None, Fraction(price)
        self.observed_ms = self.now_ms
        self.settle_down()

    def halt(self, at_ms: int, *, halted: bool) -> None:
        self.walk(at_ms)
        self.halted = halted
        self.settle_down()

    def settle_down(self) -> None:
        """What follows from a change: an auction is confirmed, the capped mark begins."""
        if self.unconfirmed is not None and self.is_narrow() and not self.halted:
            bid, ask = self.rested()
            self.last = median([Fraction(bid), self.unconfirmed, Fraction(ask)])
            self.unconfirmed = None
        if not self.capped and (half := self.half()):
            self.capped = log2(half)

    def rested(self) -> tuple[int, int]:
        """(lowest bid, highest ask) of the last `rest_ms`."""

        def within(changes: list[tuple[int, int]]) -> list[int]:
            ends = [at for at, _ in changes[1:]] + [INFINITE]
            since = self.now_ms - self.policy.rest_ms
            return [price for (_, price), end in zip(changes, ends, strict=True) if end > since]

        return min(within(self.bids)), max(within(self.asks))

    def is_narrow(self) -> bool:
        bid, ask = self.rested()
        if not bid or ask == INFINITE:
            return False
        return Fraction(ask - bid, bid) <= Fraction(self.policy.max_spread_bps, BPS)

    def half(self) -> int:
        """The mark, doubled; 0 for none."""
        bid, ask = self.rested()
        has_bid, has_ask = bid > 0, ask < INFINITE
        if self.halted or not (has_bid or has_ask):
            return 0
        if self.last is None:
            return bid + ask if self.is_narrow() else 0
        return int(2 * median([Fraction(bid), self.last, Fraction(ask)]))

    def walk(self, to_ms: int) -> None:
        """Live through each millisecond."""
        if self.opened_ms < 0:
            self.opened_ms = self.now_ms = self.observed_ms = to_ms
            self.settle_down()
        while self.now_ms < to_ms:
            self.settle_down()
            half = self.half()
            covered = bool(half) and self.is_narrow()
            logarithm = log2(half) if half else 0
            self.past.append(Instant(self.now_ms, half, logarithm, self.capped, covered))
            if half:
                self.capped += max(-self.cap, min(self.cap, logarithm - self.capped))
            self.now_ms += 1
        self.settle_down()

    def window(self, window_ms: int, step_ms: int) -> tuple[int, list[Instant]]:
        start = (self.now_ms - window_ms) // step_ms * step_ms
        return start, [instant for instant in self.past if instant.at_ms >= start]

    def average(self, window_ms: int, step_ms: int) -> tuple[int | None, int, int]:
        """(thousandths of a tick, known share, covered share in bps) of a window."""
        start, instants = self.window(window_ms, step_ms)
        length = self.now_ms - start
        known = [instant for instant in instants if instant.half]
        covered = sum(instant.covered for instant in instants) * BPS // length
        share = len(known) * BPS // length
        if len(known) * BPS < self.policy.min_known_bps * length:
            return None, share, covered
        mean = Fraction(sum(instant.half for instant in known), 2 * len(known))
        return int(1000 * mean + Fraction(1, 2)), share, covered

    def is_covered(self, window_ms: int, step_ms: int) -> bool:
        start, instants = self.window(window_ms, step_ms)
        covered, known = sum(i.covered for i in instants), sum(i.half > 0 for i in instants)
        length = self.now_ms - start
        policy = self.policy
        return (
            covered * BPS >= policy.min_coverage_bps * length
            and known * BPS >= policy.min_known_bps * length
        )

    def index(self) -> int | None:
        policy = self.policy
        if not self.is_covered(policy.hour_window_ms, policy.hour_step_ms):
            return None
        start, instants = self.window(policy.hour_window_ms, policy.hour_step_ms)
        values: list[int] = []  # each known millisecond has the mean of its step
        edges = [*range(start, self.now_ms, policy.hour_step_ms), self.now_ms]
        for begin, end in pairwise(edges):
            logs = [i.log for i in instants if i.half and begin <= i.at_ms < end]
            values += [sum(logs) // len(logs)] * len(logs) if logs else []
        values.sort()
        count = len(values)

        cut = count * policy.trim_bps // BPS  # so many milliseconds at either end are drawn in
        low, high = values[cut], values[count - 1 - cut]
        return power2(sum(min(max(v, low), high) for v in values) // count, 500)

    def settle(self) -> int | None:
        policy = self.policy
        if not self.is_covered(policy.day_window_ms, policy.day_step_ms):
            return None
        _, instants = self.window(policy.day_window_ms, policy.day_step_ms)
        capped = [i.capped for i in instants if i.half]
        return power2(sum(capped) // len(capped), 500)
