"""Trimming takes what every group has handled, and nothing else; lag is told."""

from __future__ import annotations

import redis.asyncio as redis_asyncio

from bus.health import bus_lag
from bus.relay import Relay
from bus.stream_redis import RedisStream, stream_key
from bus.trim import Trimmer
from messages.bus import START, parse_position
from storage import dead_letters, inbox
from storage.bus import BusStore
from storage.database import Pool
from tests.integration.bus_support import (
    EFFECTS,
    QUICK,
    STREAM,
    Effects,
    effects,
    entries,
    make_event,
    now_ms,
    running,
    settled,
    until,
    wiring,
    write,
)

KEY = stream_key(STREAM)
DAY_MS = 86_400_000
COUNT = 1_000  # Redis drops whole nodes of 100 entries


async def published(pool: Pool, store: BusStore, broker: RedisStream, age_ms: int = 0) -> list[str]:
    """COUNT events, written and published; their positions."""
    at_ms = now_ms() - age_ms
    await write(pool, *(make_event("a", n, at_ms=at_ms) for n in range(1, COUNT + 1)))
    relay, top = Relay(STREAM, wiring(store, broker)), START
    events = await settled(store, COUNT)
    while reached := await relay.publish_after(top):
        top = reached
    return [event.position for event in events]


async def test_entries_go_when_every_group_has_handled_them(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    positions = await published(pool, store, broker)
    slow = parse_position(positions[449])
    await inbox.register(pool, "slow", STREAM, slow, now_ms())
    await inbox.register(pool, "quick", STREAM, parse_position(positions[-1]), now_ms())
    await Trimmer([STREAM], wiring(store, broker)).trim(STREAM)
    left = [name for name, _ in await entries(redis_client)]
    assert left == positions[-len(left) :]
    assert positions[450] in left  # the first that the slow group has not handled
    assert len(left) < COUNT - 300
    assert await pool.fetchval("select count(*) from bus.outbox") == COUNT


async def test_a_group_that_has_handled_nothing_keeps_everything(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    positions = await published(pool, store, broker, age_ms=2 * DAY_MS)
    await inbox.register(pool, "stopped", STREAM, START, now_ms())
    await inbox.register(pool, "quick", STREAM, parse_position(positions[-1]), now_ms())
    await Trimmer([STREAM], wiring(store, broker)).trim(STREAM)
    assert await redis_client.xlen(KEY) == COUNT
    assert await pool.fetchval("select count(*) from bus.outbox") == COUNT


async def test_entries_stay_for_the_grace_period(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    positions = await published(pool, store, broker)
    await inbox.register(pool, "quick", STREAM, parse_position(positions[-1]), now_ms())
    shared = wiring(store, broker, QUICK.__class__(grace_ms=1_000))
    clock = 1_000_000
    object.__setattr__(shared, "clock_ms", lambda: clock)
    trimmer = Trimmer([STREAM], shared)
    await trimmer.trim(STREAM)
    clock += 999
    await trimmer.trim(STREAM)
    assert await redis_client.xlen(KEY) == COUNT
    clock += 1
    await trimmer.trim(STREAM)
    assert await redis_client.xlen(KEY) < COUNT


async def test_old_events_that_are_handled_leave_postgresql(
    pool: Pool, store: BusStore, broker: RedisStream
) -> None:
    positions = await published(pool, store, broker, age_ms=2 * DAY_MS)
    await write(pool, make_event("b", 1))
    await inbox.register(pool, "g", STREAM, parse_position(positions[599]), now_ms())
    limits = QUICK.__class__(purge_batch=100, grace_ms=0)
    await Trimmer([STREAM], wiring(store, broker, limits)).trim(STREAM)
    kept = await pool.fetch("select sequence from bus.outbox order by xid, id")
    assert [row[0] for row in kept] == [*range(601, COUNT + 1), 1]


async def test_a_group_beyond_the_limit_reads_the_rest_from_postgresql(
    pool: Pool, store: BusStore, broker: RedisStream, database_url: str, redis_server: str,
    redis_client: redis_asyncio.Redis,
) -> None:  # fmt: skip
    await pool.execute(EFFECTS)
    await inbox.register(pool, "effects", STREAM, START, now_ms())
    await published(pool, store, broker)
    limits = QUICK.__class__(stream_limit=300, block_ms=60_000)
    await Trimmer([STREAM], wiring(store, broker, limits)).trim(STREAM)
    assert await redis_client.xlen(KEY) <= 500
    async with running(database_url, redis_server, Effects(), limits=limits):

        async def all_handled() -> bool:
            return len(await effects(pool)) >= COUNT

        await until(all_handled)
    assert await effects(pool) == [("a", n) for n in range(1, COUNT + 1)]


async def test_letters_that_are_done_and_old_are_deleted(pool: Pool, store: BusStore) -> None:
    event = make_event(position="5-1")
    async with pool.acquire() as connection, connection.transaction():
        await dead_letters.park(connection, "g", event, "why", 5, now_ms=100)
    assert await store.purge_letters(101) == 0
    (letter,) = await dead_letters.list_dead(pool)
    await dead_letters.replay_dead(pool, [letter.id])
    async with pool.acquire() as connection, connection.transaction():
        assert await dead_letters.close(connection, letter.id)
        assert not await dead_letters.close(connection, letter.id)
    assert await store.purge_letters(100) == 0
    assert await store.purge_letters(101) == 1


async def test_lag_tells_who_is_behind_and_since_when(
    pool: Pool, store: BusStore, broker: RedisStream, database_url: str, redis_server: str
) -> None:
    positions = await published(pool, store, broker, age_ms=5_000)
    await write(pool, make_event("b", 1))
    await inbox.register(pool, "slow", STREAM, parse_position(positions[899]), now_ms())
    await inbox.register(pool, "other stream", "listening", START, now_ms())
    (lag,) = await bus_lag(store, broker, [STREAM], now_ms())
    assert (lag.group, lag.unpublished, lag.unhandled) == ("slow", 1, 101)
    assert lag.oldest_age_ms >= 5_000
    assert await inbox.unregister(pool, "slow") == 1
    assert await bus_lag(store, broker, [STREAM], now_ms()) == []


async def test_the_grace_period_gives_way_to_the_limit(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    positions = await published(pool, store, broker)
    await inbox.register(pool, "g", STREAM, parse_position(positions[799]), now_ms())
    limits = QUICK.__class__(grace_ms=3_600_000, stream_limit=900)
    await Trimmer([STREAM], wiring(store, broker, limits)).trim(STREAM)
    left = [name for name, _ in await entries(redis_client)]
    assert left[0] <= positions[800]
    assert 200 <= len(left) < 400
