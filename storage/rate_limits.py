"""Where limits are counted: in Redis for all processes, or here while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import redis.asyncio as redis_asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError

from domain.rate_limits import Ask, Grant, take

SCRIPT = Path(__file__).with_name("rate_limits.lua").read_text("utf-8")
PREFIX = "rate:"
ANSWER_S = 0.25  # a request waits no longer than this for Redis
AWAY_S = 1.0  # after a failure, how long Redis is not asked
MAX_KEYS = 100_000  # of the counters in this process
WIDTH = len(Grant._fields)

log = structlog.get_logger(__name__)


class RateStore(Protocol):
    """Counts."""

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        """Take of each limit what is there."""


class LocalRates:
    """Counts in this process alone."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._arrivals: dict[str, int] = {}

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        """See RateStore."""
        now_us = self._clock_us()
        if len(self._arrivals) > MAX_KEYS:
            # Whose quota is whole again needs no counter. If all are busy, all begin anew.
            busy = {key: at for key, at in self._arrivals.items() if at > now_us}
            self._arrivals = busy if len(busy) <= MAX_KEYS else {}
        grants = []
        for ask in asks:
            arrival_us, grant = take(self._arrivals.get(ask.key, 0), now_us, ask)
            self._arrivals[ask.key] = arrival_us
            grants.append(grant)
        return grants


class RedisRates:
    """Counts in Redis, all limits of a request in one round trip."""

    def __init__(self, client: redis_asyncio.Redis) -> None:
        self._script = client.register_script(SCRIPT)

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        """See RateStore. Raises RedisError."""
        keys = [PREFIX + ask.key for ask in asks]
        arguments = [str(n) for ask in asks for n in (ask.interval_us, ask.quota, ask.wanted)]
        found = await self._script(keys=keys, args=arguments)
        return [Grant(*found[at : at + WIDTH]) for at in range(0, len(found), WIDTH)]


class SteadyRates:
    """Redis, or the process's own counts for as long as Redis does not answer in time.

    Nobody is refused because Redis is away, and nobody is unlimited: each process counts alone.
    """

    def __init__(self, shared: RateStore, alone: RateStore, clock_s: Callable[[], float]) -> None:
        self._shared, self._alone, self._clock_s = shared, alone, clock_s
        self._away_until_s = 0.0

    async def take(self, asks: Sequence[Ask]) -> list[Grant]:
        """See RateStore."""
        if self._clock_s() >= self._away_until_s:
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await self._shared.take(asks)
            except (RedisError, OSError, TimeoutError) as error:
                self._away_until_s = self._clock_s() + AWAY_S
                log.warning("rate limits are counted here", error=type(error).__name__)
        return await self._alone.take(asks)


def open_client(url: str, credentials: CredentialProvider | None = None) -> redis_asyncio.Redis:
    """A client that fails at once: the default asks ten times again.

    credentials: of each connection, if the URL has none.
    """
    return redis_asyncio.Redis.from_url(
        url,
        credential_provider=credentials,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
    )
