"""Candles: what a span of time did to a price, from the trades of a book.

A candle is a sum: two of the same span add up to the candle of the trades of both, in whatever
order they come. First and last go by the trades' numbers, which rise, and not by a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TypeAlias

import msgspec

from domain.policy import DAY_MS, MINUTE_MS


class Step(IntEnum):
    """The spans there are, in milliseconds. A day is a UTC day."""

    MINUTE = MINUTE_MS
    FIVE_MINUTES = 5 * MINUTE_MS
    QUARTER_HOUR = 15 * MINUTE_MS
    HOUR = 60 * MINUTE_MS
    FOUR_HOURS = 240 * MINUTE_MS
    DAY = DAY_MS


STEP_NAMES = {
    "1m": Step.MINUTE,
    "5m": Step.FIVE_MINUTES,
    "15m": Step.QUARTER_HOUR,
    "1h": Step.HOUR,
    "4h": Step.FOUR_HOURS,
    "1d": Step.DAY,
}


class Print(msgspec.Struct, frozen=True, array_like=True):
    """A trade of a book. `trade_id` rises from trade to trade of one book."""

    issue_id: str
    trade_id: int
    price_minor: int
    shares: int
    at_ms: int


class Candle(msgspec.Struct, frozen=True):
    """The trades from `start_ms` up to the next start. There is at least one.

    turnover_minor: price times shares of all.  first_trade, last_trade: the numbers of those whose
    prices are `open_minor` and `close_minor`.
    """

    start_ms: int
    open_minor: int
    high_minor: int
    low_minor: int
    close_minor: int
    shares: int
    turnover_minor: int
    trades: int
    first_trade: int
    last_trade: int


Key: TypeAlias = tuple[str, Step, int]  # issue, step, start


def start_of(step: Step, at_ms: int) -> int:
    """When the candle that a moment falls in begins."""
    return at_ms - at_ms % step


def of_one(step: Step, trade: Print) -> Candle:
    """The candle of a single trade."""
    price = trade.price_minor
    return Candle(
        start_ms=start_of(step, trade.at_ms),
        open_minor=price,
        high_minor=price,
        low_minor=price,
        close_minor=price,
        shares=trade.shares,
        turnover_minor=price * trade.shares,
        trades=1,
        first_trade=trade.trade_id,
        last_trade=trade.trade_id,
    )


def add(one: Candle, other: Candle) -> Candle:
    """The candle of the trades of both, which have none in common."""
    assert one.start_ms == other.start_ms, "candles of one span"
    first = min(one, other, key=lambda candle: candle.first_trade)
    last = max(one, other, key=lambda candle: candle.last_trade)
    return Candle(
        start_ms=one.start_ms,
        open_minor=first.open_minor,
        high_minor=max(one.high_minor, other.high_minor),
        low_minor=min(one.low_minor, other.low_minor),
        close_minor=last.close_minor,
        shares=one.shares + other.shares,
        turnover_minor=one.turnover_minor + other.turnover_minor,
        trades=one.trades + other.trades,
        first_trade=first.first_trade,
        last_trade=last.last_trade,
    )


def aggregate(candles: dict[Key, Candle], trades: Iterable[Print]) -> dict[Key, Candle]:
    """The candles of all steps with some trades added. O(trades * steps)."""
    grown = dict(candles)
    for trade in trades:
        for step in Step:
            made = of_one(step, trade)
            key = (trade.issue_id, step, made.start_ms)
            grown[key] = add(grown[key], made) if key in grown else made
    return grown
