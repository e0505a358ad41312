"""Prices of an issue: what they rest on is part of them."""

from __future__ import annotations

import msgspec


class GetPrices(msgspec.Struct, frozen=True, tag=True):
    """Query: the prices of this moment."""


class PriceReading(msgspec.Struct, frozen=True):
    """A price with what it rests on: `docs/contexts/market-prices.md`.

    price_milliminor: thousandths of a minor unit for one share; None where there is no price to
    name.  window_ms: how far it looks back.  known_bps, coverage_bps: the share of the window with
    a mark, and with narrow quotes on both sides: the confidence.  trades, quotes: its sources, how
    many counted.  staleness_ms: since the last of them.
    """

    price_milliminor: int | None
    window_ms: int
    known_bps: int
    coverage_bps: int
    trades: int
    quotes: int
    staleness_ms: int


class PricesView(msgspec.Struct, frozen=True, tag=True):
    """All prices of an issue at a moment; without a book that was ever opened there are none.

    sale_minor: what offered shares cost.  last_minor: of the last trade, 0 before the first.
    mark_milliminor: the mark now.
    """

    issue_id: str
    currency: str
    at_ms: int
    sale_minor: int
    last_minor: int
    mark_milliminor: int | None
    five_minutes: PriceReading | None
    hour: PriceReading | None
    day: PriceReading | None
    index: PriceReading | None
    settle: PriceReading | None
