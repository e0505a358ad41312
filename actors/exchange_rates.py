"""Keeps exchange rates up to date, and records what payments were worth when they began."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from domain.exchange import (
    POLICY,
    ExchangePolicy,
    day_begins_ms,
    is_credible,
    is_in_force,
    worth_minor,
)
from domain.exchange import pair_of as pair_between
from integrations.exchange_rates import ExchangeRates
from messages.errors import Unavailable
from messages.payments.exchange import RateSet
from storage import exchange_rates as storage
from storage.database import Pool
from storage.exchange_rates import Unvalued, Worth

FETCH_EVERY_MS = 900_000  # they come once a working day, in the afternoon
RETRY_MS = 60_000
AT_ONCE = 500

log = structlog.get_logger(__name__)


class RateKeeper:
    """Asks a publisher now and then. `clock`: epoch milliseconds."""

    def __init__(
        self,
        source: ExchangeRates,
        pool: Pool,
        clock: Callable[[], int],
        policy: ExchangePolicy = POLICY,
    ) -> None:
        self._source, self._pool, self._clock, self._policy = source, pool, clock, policy
        self._next_ms = 0

    async def run(self) -> int:
        """Ask if it is time. How many sets of rates are new."""
        now_ms = self._clock()
        if now_ms < self._next_ms:
            return 0
        try:
            published = await self._source.fetch()
        except Unavailable as error:
            self._next_ms = now_ms + RETRY_MS
            log.warning("exchange rates cannot be fetched", error=str(error))
            return 0
        self._next_ms = now_ms + FETCH_EVERY_MS
        async with self._pool.acquire() as connection, connection.transaction():
            last = await storage.latest(connection, now_ms)
            if not is_credible(published, last, now_ms, self._policy):
                log.error("exchange rates are not believed", day=str(published.published_on))
                return 0
            begins_ms = day_begins_ms(published.published_on)
            return int(await storage.add(connection, published, begins_ms, now_ms))


async def record_worth(pool: Pool, policy: ExchangePolicy = POLICY) -> int:
    """Record what some payments were worth when they began; how many.

    Rates are only ever added, with the moment they became known, so looking back gives what was in
    force then: this need not be done while the payer waits.
    """
    found = await storage.unvalued(pool, AT_ONCE)
    sets: dict[int, RateSet | None] = {}
    worth = []
    for payment in found:
        minute = payment.created_at_ms // RETRY_MS * RETRY_MS
        if minute not in sets:
            sets[minute] = await storage.latest(pool, minute)
        worth.append(_worth(payment, sets[minute], policy))
    async with pool.acquire() as connection, connection.transaction():
        await storage.record_worth(connection, worth)
    return len(worth)


def _worth(payment: Unvalued, rates: RateSet | None, policy: ExchangePolicy) -> Worth:
    """From the rates in force, which count from the minute after they became known."""
    pair = None
    own = payment.currency == policy.reporting
    if rates is not None and is_in_force(
        rates.published_at_ms, rates.fetched_at_ms, payment.created_at_ms, policy
    ):
        pair = pair_between(rates.published, payment.currency, policy.reporting)
    if own or pair is None or rates is None:
        one = 1 if own else None
        amount = payment.amount_minor if own else None
        return Worth(
            payment.payment_id, payment.created_at_ms, policy.reporting, None, one, one, amount
        )
    amount = worth_minor(payment.amount_minor, pair, payment.currency, policy.reporting)
    return Worth(
        payment.payment_id,
        payment.created_at_ms,
        policy.reporting,
        rates.set_id,
        pair.numerator,
        pair.denominator,
        amount,
    )
