"""How near the prices of an honest, thin market are to what a share is worth, and how soon.

The market of LAB's trials: the worth is a random walk of 60 % a year; quotes 4 % apart around it,
renewed every minute; 40 trades a day at the bid or at the ask. Seeded, so always the same numbers.
"""

from __future__ import annotations

import math
import random
from functools import cache
from statistics import median

from domain.market.prices import PriceRecord
from domain.policy import DAY_MS, MINUTE_MS

MARKETS, DAYS = 25, 2
SPREAD, TRADES_A_DAY, VOLATILITY = 0.04, 40, 0.60
MINUTES = DAYS * DAY_MS // MINUTE_MS
HOUR = 60  # minutes
NAMES = ("five_minutes", "hour", "day", "index", "settle")


def worths(dice: random.Random, news_minute: int, news: float) -> list[float]:
    """What a share is worth at each minute, in ticks."""
    step, log, found = VOLATILITY / math.sqrt(365 * 24 * 60), math.log(500), []
    for minute in range(MINUTES + 1):
        log += dice.gauss(0, step) + (news if minute == news_minute else 0)
        found.append(math.exp(log))
    return found


@cache
def errors_percent(news_minutes_ago: int = -1, news: float = 0.0) -> dict[str, float]:
    """The median error of each price, over the markets, at their end."""
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for seed in range(MARKETS):
        dice, record = random.Random(seed), PriceRecord()
        worth = worths(dice, MINUTES - news_minutes_ago, news)
        for minute, fair in enumerate(worth[:-1]):
            bid, ask = (round(fair * (1 + side * SPREAD / 2)) for side in (-1, 1))
            record.observe_quote(minute * MINUTE_MS, bid, ask)
            if dice.random() < TRADES_A_DAY / (24 * 60):
                at_ms = minute * MINUTE_MS + 45_000
                record.observe_trade(at_ms, dice.choice((bid, ask)), 10, same_owner=False)
        prices = record.prices(MINUTES * MINUTE_MS)
        for name in NAMES:
            price = getattr(prices, name).price_milliticks
            assert price is not None, "an honest market has its prices"
            found[name].append(abs(price / 1_000 / worth[-1] - 1) * 100)
    return {name: median(values) for name, values in found.items()}


def test_in_a_quiet_market_every_price_is_within_the_spread() -> None:
    errors = errors_percent()
    assert all(error < SPREAD / 2 * 100 + 0.1 for error in errors.values())
    assert errors["index"] < 2
    assert errors["settle"] < 2


def test_news_is_in_the_index_after_an_hour_and_in_settle_after_a_day() -> None:
    news = math.log(1.3)
    assert 15 < errors_percent(10, news)["index"] < 30, "too young to be told from an attack"
    assert errors_percent(HOUR, news)["index"] < 2.5
    assert 15 < errors_percent(HOUR, news)["settle"] < 30
    assert errors_percent(DAYS * 24 * HOUR - 6 * HOUR, news)["settle"] < 2.5
