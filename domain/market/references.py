"""The prices that a book's bands are around, in ticks."""

from __future__ import annotations

from typing import NamedTuple

from domain.market.bands import Band, around
from domain.market.state import Market
from domain.policy import MarketPolicy


class Bands(NamedTuple):
    """Where an order's price may be, and where a trade may be."""

    static: Band
    dynamic: Band


REFRESH_MS = 1_000


def reference(market: Market) -> int:
    """The last trade's price, or the one that the issue was sold at."""
    trading = market.trading
    assert trading is not None, "a book that was opened"
    return trading.last or max(1, market.issue.price_minor // trading.tick_minor)


def refer(market: Market, now_ms: int) -> None:
    """Look at INDEX and SETTLE again, if that was not done just now."""
    trading = market.trading
    assert trading is not None, "a book that was opened"
    if 0 <= now_ms - trading.referred_ms < REFRESH_MS:
        return
    prices = trading.prices.prices(now_ms)
    # Where there is no price there is the last trade that was believed, or that of an auction.
    believed = trading.prices.last_half // 2 or reference(market)
    trading.referred_ms = now_ms
    price, at_ms = trading.auctioned
    trading.references = (
        _ticks(prices.index.price_milliticks) or believed,
        _ticks(prices.settle.price_milliticks) or believed,
        price if now_ms - at_ms < trading.prices.policy.hour_window_ms else 0,
    )


def _ticks(milliticks: int | None) -> int:
    """To the nearest tick; 0 where there is no price."""
    return (milliticks + 500) // 1_000 if milliticks else 0


def bands(policy: MarketPolicy, market: Market) -> Bands:
    """The bands around the references as they were last looked at."""
    trading = market.trading
    assert trading is not None, "a book that was opened"
    index, settle, auctioned = trading.references
    if not index:
        index = settle = reference(market)
    dynamic = around(index, policy.dynamic_band_bps, trading.max_price)
    if auctioned:
        # INDEX takes an hour to follow: without this the book would halt again at once.
        other = around(auctioned, policy.dynamic_band_bps, trading.max_price)
        dynamic = Band(min(dynamic.low, other.low), max(dynamic.high, other.high))
    return Bands(around(settle, policy.static_band_bps, trading.max_price), dynamic)
