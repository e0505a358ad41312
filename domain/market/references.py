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


def reference(market: Market) -> int:
    """The last trade's price, or the one that the issue was sold at."""
    trading = market.trading
    assert trading is not None, "a book that was opened"
    return trading.last or max(1, market.issue.price_minor // trading.tick_minor)


def bands(policy: MarketPolicy, market: Market) -> Bands:
    """The bands around the references as they were last looked at."""
    trading = market.trading
    assert trading is not None, "a book that was opened"
    near = reference(market)
    return Bands(
        around(near, policy.static_band_bps, trading.max_price),
        around(near, policy.dynamic_band_bps, trading.max_price),
    )
