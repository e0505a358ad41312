"""What is published of an issue's prices. Pure."""

from __future__ import annotations

from msgspec.structs import asdict

from domain.decision import Decision
from domain.market.price_windows import Reading
from domain.market.state import Deciders, Market
from domain.policy import MarketPolicy
from messages.market import IssueNotFound, IssueStatus, MarketEvent
from messages.market.prices import GetPrices, PriceReading, PricesView


def prices_view(market: Market, now_ms: int) -> PricesView:
    """All prices of this moment, in the issue's currency."""
    issue, trading = market.issue, market.trading
    if trading is None:
        none = (None,) * 6
        return PricesView(market.issue_id, issue.currency, now_ms, issue.price_minor, 0, *none)
    tick, found = trading.tick_minor, trading.prices.prices(now_ms)
    mark = found.mark_milliticks
    return PricesView(
        issue_id=market.issue_id,
        currency=issue.currency,
        at_ms=now_ms,
        sale_minor=issue.price_minor,
        last_minor=trading.last * tick,
        mark_milliminor=None if mark is None else mark * tick,
        five_minutes=_reading(found.five_minutes, tick),
        hour=_reading(found.hour, tick),
        day=_reading(found.day, tick),
        index=_reading(found.index, tick),
        settle=_reading(found.settle, tick),
    )


def reference_milliminor(market: Market, now_ms: int) -> int | None:
    """INDEX, by which shares are valued for display; None where there is none."""
    if market.trading is None:
        return None
    price = market.trading.prices.prices(now_ms).index.price_milliticks
    return None if price is None else price * market.trading.tick_minor


def _reading(found: Reading, tick_minor: int) -> PriceReading:
    fields = asdict(found)
    price = fields.pop("price_milliticks")
    return PriceReading(None if price is None else price * tick_minor, **fields)


def _get(
    policy: MarketPolicy, market: Market, command: GetPrices, now_ms: int
) -> Decision[MarketEvent]:
    if market.issue.status is IssueStatus.NONE:
        raise IssueNotFound(issue_id=market.issue_id)
    return Decision(answer=prices_view(market, now_ms))


DECIDERS: Deciders = {GetPrices: _get}
