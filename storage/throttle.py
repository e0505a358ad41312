"""Where attempts at secrets are counted: in Redis, or here while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import redis.asyncio as redis_asyncio
import structlog
from redis.exceptions import RedisError

from domain import throttle
from domain.throttle import Charge, Standing
from messages.errors import Unavailable
from storage.rate_limits import ANSWER_S

SCRIPT = Path(__file__).with_name("throttle.lua").read_text("utf-8")
PREFIX = "throttle:"
MAX_KEYS = 100_000

log = structlog.get_logger(__name__)


class Attempts(Protocol):
    """Counts."""

    async def attempt(self, asked: tuple[Charge, ...]) -> int:
        """Charge an attempt. How many milliseconds to wait first, if it may not be made yet."""

    async def succeed(self, asked: tuple[Charge, ...]) -> None:
        """A charged attempt was right."""

    async def forgive(self, account: str) -> None:
        """Forget all that was counted of an account, from wherever it was tried."""


class LocalAttempts:
    """Counts in this process alone."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._standings: Mapping[str, Standing] = {}

    async def attempt(self, asked: tuple[Charge, ...]) -> int:
        """See Attempts."""
        now_ms = self._clock_ms()
        mine = {charge.key: self._standings[charge.key] for charge in asked
                if charge.key in self._standings}  # fmt: skip
        wait_ms, after = throttle.attempt(mine, asked, now_ms)
        if not wait_ms:
            self._keep(after, now_ms)
        return wait_ms

    async def succeed(self, asked: tuple[Charge, ...]) -> None:
        """See Attempts."""
        self._standings = throttle.succeed(self._standings, asked)

    async def forgive(self, account: str) -> None:
        """See Attempts."""
        kept = self._standings.items()
        self._standings = {k: v for k, v in kept if not throttle.concerns(k, account)}

    def _keep(self, after: Mapping[str, Standing], now_ms: int) -> None:
        standings = {**self._standings, **after}
        if len(standings) > MAX_KEYS:  # the latest half
            ordered = sorted(standings.items(), key=lambda item: item[1].at_ms)
            standings = dict(ordered[-MAX_KEYS // 2 :])
        self._standings = standings


class RedisAttempts:
    """Counts in Redis, one round trip an attempt. Raises RedisError."""

    def __init__(self, client: redis_asyncio.Redis) -> None:
        self._client = client
        self._script = client.register_script(SCRIPT)

    async def attempt(self, asked: tuple[Charge, ...]) -> int:
        """See Attempts."""
        arguments = ["attempt"]
        for _, budget, _ in asked:
            figures = (budget.free, budget.first_ms, budget.longest_ms, budget.forget_ms)
            arguments += [str(figure) for figure in figures]
        return int(await self._script(keys=_keys(asked), args=arguments))

    async def succeed(self, asked: tuple[Charge, ...]) -> None:
        """See Attempts."""
        clears = ["1" if charge.clears else "0" for charge in asked]
        await self._script(keys=_keys(asked), args=["succeed", *clears])

    async def forgive(self, account: str) -> None:
        """See Attempts. Looks at every key, which an admin does seldom."""
        for pattern in (f"{PREFIX}*:{account}", f"{PREFIX}*:{account}:*"):
            async for key in self._client.scan_iter(pattern, count=1_000):
                await self._client.delete(key)


class SteadyAttempts:
    """Redis, or this process's own counts while Redis does not answer in time."""

    def __init__(self, shared: Attempts, alone: Attempts) -> None:
        self._shared, self._alone = shared, alone

    async def attempt(self, asked: tuple[Charge, ...]) -> int:
        """See Attempts."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._shared.attempt(asked)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("attempts are counted here", error=type(error).__name__)
            return await self._alone.attempt(asked)

    async def succeed(self, asked: tuple[Charge, ...]) -> None:
        """See Attempts. What cannot be taken back is forgotten in time."""
        await self._alone.succeed(asked)
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._shared.succeed(asked)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("an attempt stays counted", error=type(error).__name__)

    async def forgive(self, account: str) -> None:
        """See Attempts. Raises Unavailable while Redis is away: what it counted would stay."""
        await self._alone.forgive(account)
        try:
            await self._shared.forgive(account)
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable("what was counted in Redis stays for now") from error


def _keys(asked: tuple[Charge, ...]) -> list[str]:
    return [PREFIX + charge.key for charge in asked]
