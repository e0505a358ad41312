"""Consumers on a real PostgreSQL and Redis: each effect once and in order, whoever dies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
import redis.asyncio as redis_asyncio

from bus.delivery import Delivery, ReplacedError
from bus.stream_redis import RedisStream, stream_key
from messages.bus import START
from messages.envelope import Event
from storage import inbox
from storage.bus import BusStore
from storage.database import Connection, Pool
from tests.integration.bus_support import (
    EFFECTS,
    QUICK,
    STREAM,
    Effects,
    Writers,
    effects,
    entries,
    has,
    make_event,
    now_ms,
    running,
    settled,
    until,
    wiring,
    write,
)

KEY = stream_key(STREAM)
# Consumers wait so long for the broker that what arrives is its doing, not the look at PostgreSQL.
BROKER_ONLY = QUICK.__class__(block_ms=60_000, idle_poll_s=0.1)
KILL_BUS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name like 'vibestream bus%'"""


@pytest.fixture(autouse=True)
async def table(pool: Pool, redis_client: redis_asyncio.Redis) -> None:
    await pool.execute(EFFECTS)


async def test_two_groups_under_concurrent_writers(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    writers = Writers(pool, seed=1)
    handlers = Effects("one"), Effects("two")
    async with running(database_url, redis_server, *handlers, limits=BROKER_ONLY) as worker:
        await writers.all(30)
        await writers.check("one")
        await writers.check("two")
        text = (await worker.scrape()).decode()
    assert "vibestream_bus_from_store_total{" not in text
    total = float(sum(writers.written.values()))
    assert f'vibestream_bus_published_total{{stream="rewards"}} {total}' in text


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_redis_is_emptied_again_and_again_under_load(
    pool: Pool, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis, seed: int
) -> None:
    writers, chance = Writers(pool, seed), random.Random(seed)
    async with running(database_url, redis_server, Effects()):
        writing = asyncio.create_task(writers.all(60))
        while not writing.done():
            await redis_client.flushdb()
            await asyncio.sleep(chance.random() * 0.05)
        await writing
        await redis_client.flushdb()
        await writers.check()


@pytest.mark.parametrize("seed", [4, 5])
async def test_the_stream_loses_what_came_last_under_load(
    pool: Pool, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis, seed: int
) -> None:
    """A restart from an older file: entries, the top and the group's place all go back."""
    writers, chance = Writers(pool, seed), random.Random(seed)
    async with running(database_url, redis_server, Effects()):
        writing = asyncio.create_task(writers.all(60))
        saved: bytes | None = None
        while not writing.done():
            await asyncio.sleep(chance.random() * 0.05)
            if saved is not None:
                await redis_client.restore(KEY, 0, saved, replace=True)
            await asyncio.sleep(chance.random() * 0.05)
            saved = await redis_client.dump(KEY)
        await writing
        await writers.check()


async def test_entries_deleted_from_the_middle_are_found_in_postgresql(
    pool: Pool, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    writers, chance = Writers(pool, 6), random.Random(6)
    async with running(database_url, redis_server, Effects()):
        writing = asyncio.create_task(writers.all(60))
        while not writing.done():
            await asyncio.sleep(0.005)
            ids = [name for name, _ in await entries(redis_client)][-10:]
            if ids:
                await redis_client.xdel(KEY, *chance.sample(ids, min(3, len(ids))))
        await writing
        await writers.check()


async def test_workers_come_and_go_under_load(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    """Two at a time, each stopped at a random moment, in the middle of whatever it does."""
    writers, chance = Writers(pool, 7), random.Random(7)

    async def come_and_go(name: str) -> None:
        turn = 0
        while not writing.done():
            turn += 1
            async with running(database_url, redis_server, Effects(), name=f"{name}{turn}"):
                await asyncio.sleep(chance.random() * 0.3)

    writing = asyncio.create_task(writers.all(80))
    await asyncio.gather(come_and_go("a"), come_and_go("b"))
    async with running(database_url, redis_server, Effects(), name="last"):
        await writers.check()


async def test_postgresql_drops_every_connection_of_the_bus_under_load(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    writers = Writers(pool, 8)
    async with running(database_url, redis_server, Effects()) as worker:
        writing = asyncio.create_task(writers.all(60))
        while not writing.done():
            await asyncio.sleep(0.15)
            await pool.execute(KILL_BUS)
        await writing
        await writers.check()
        assert worker.status().running
        assert sum(task.restarts for task in worker.status().tasks) > 0


class Blocking(Effects):
    """Does its work and then never comes back, so that it can be cut off before its commit."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        await super().handle(connection, events)
        self.reached.set()
        await asyncio.Event().wait()


async def test_what_a_consumer_took_and_did_not_finish_is_claimed(
    pool: Pool, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    await write(pool, *(make_event("a", n) for n in range(1, 6)))
    blocking = Blocking()
    async with running(database_url, redis_server, blocking, name="dies", limits=BROKER_ONLY):
        await asyncio.wait_for(blocking.reached.wait(), 30)
        assert (await redis_client.xpending(KEY, "effects"))["pending"] == 5
        assert await effects(pool) == []
    async with running(database_url, redis_server, Effects(), name="heir", limits=BROKER_ONLY):
        await until(lambda: has(pool, 5))

        async def acknowledged() -> bool:
            return bool((await redis_client.xpending(KEY, "effects"))["pending"] == 0)

        await until(acknowledged)
        consumers = await redis_client.xinfo_consumers(KEY, "effects")
        assert [consumer["name"] for consumer in consumers] == [b"heir"]
    assert await effects(pool) == [("a", n) for n in range(1, 6)]


async def test_of_two_that_think_they_are_active_one_commits(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    store, broker = await BusStore.open(database_url), RedisStream(redis_server)
    await inbox.register(pool, "effects", STREAM, START, now_ms())
    await write(pool, make_event("a", 1), make_event("a", 2))
    events = await settled(store, 2)
    pair = [Delivery(Effects(), STREAM, wiring(store, broker)) for _ in range(2)]
    for delivery in pair:
        await delivery.load()
    results = await asyncio.gather(
        *(delivery.deliver(events) for delivery in pair), return_exceptions=True
    )
    assert [type(result) for result in results if result is not None] == [ReplacedError]
    assert await effects(pool) == [("a", 1), ("a", 2)]
    await broker.close()
    await store.close()


async def test_without_redis_events_are_handled_all_the_same(pool: Pool, database_url: str) -> None:
    nobody_listens = "redis://127.0.0.1:1/0"
    async with running(database_url, nobody_listens, Effects()) as worker:
        await write(pool, *(make_event("a", n) for n in range(1, 6)))
        await until(lambda: has(pool, 5))
        (lag,) = await worker.lag()
        assert lag.unpublished is None
        assert lag.unhandled == 0
    assert await effects(pool) == [("a", n) for n in range(1, 6)]


async def test_a_new_group_begins_at_the_beginning_or_now(
    pool: Pool, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    await write(pool, *(make_event("a", n) for n in range(1, 4)))
    async with running(database_url, redis_server, Effects("old")):
        await until(lambda: has(pool, 3, "old"))
    # The entries are gone; the events are still in PostgreSQL.
    await redis_client.xtrim(KEY, maxlen=0, approximate=False)
    late, now = Effects("late"), Effects("now")
    now.start = "now"  # type: ignore[attr-defined]
    async with running(database_url, redis_server, Effects("old"), late, now):
        await write(pool, make_event("a", 4))
        for group, count in (("old", 4), ("late", 4), ("now", 1)):
            await until(lambda g=group, c=count: has(pool, c, g))  # type: ignore[misc]
    assert await effects(pool, "late") == [("a", n) for n in range(1, 5)]
    assert await effects(pool, "now") == [("a", 4)]


class Outside:
    """A handler whose effect is elsewhere, keyed by the event as a command to an actor would be."""

    group = "outside"
    streams = (STREAM,)
    transactional = False

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.in_transaction = False

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        self.in_transaction |= connection.is_in_transaction()
        self.seen += [(event.entity_id, event.sequence) for event in events]


async def test_a_handler_with_its_effect_elsewhere_holds_no_transaction(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    handler = Outside()
    async with running(database_url, redis_server, handler):
        await write(pool, *(make_event("a", n) for n in range(1, 4)))

        async def all_seen() -> bool:
            return len(handler.seen) >= 3

        await until(all_seen)
    assert handler.seen == [("a", 1), ("a", 2), ("a", 3)]
    assert not handler.in_transaction


async def test_a_worker_that_stops_leaves_no_task(database_url: str, redis_server: str) -> None:
    before = asyncio.all_tasks()
    async with running(database_url, redis_server, Effects()) as worker:
        assert worker.status().running
    assert not worker.status().running
    assert asyncio.all_tasks() <= before
