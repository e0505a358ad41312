"""Fixtures that several suites of the integration tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis_asyncio

from bus.stream_redis import RedisStream
from storage.bus import BusStore
from storage.database import Pool
from tests.integration.runtime_support import World


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    """Hosts of the runtime on a database of their own."""
    made = World(pool)
    await made.prepare()
    yield made
    await made.stop()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[BusStore]:
    """The bus's tables."""
    opened = await BusStore.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def broker(
    redis_server: str, redis_client: redis_asyncio.Redis
) -> AsyncIterator[RedisStream]:
    """The bus's streams, empty."""
    opened = RedisStream(redis_server)
    yield opened
    await opened.close()
