"""The relay on a real PostgreSQL and Redis: once into the stream, in order, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import redis.asyncio as redis_asyncio

from bus.relay import Relay
from bus.stream_redis import RedisStream, stream_key
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from messages.errors import Unavailable
from storage import inbox
from storage.bus import BusStore
from storage.database import Pool
from tests.integration.bus_support import (
    QUICK,
    STREAM,
    entries,
    make_event,
    now_ms,
    settled,
    until,
    wiring,
    write,
)

KEY = stream_key(STREAM)


async def publish_all(relay: Relay, top: Position, until_top: Position | None = None) -> Position:
    """Publish until nothing is left (or the given position is reached, if it takes a while)."""
    async with asyncio.timeout(30):
        while True:
            reached = await relay.publish_after(top)
            top = reached or top
            if reached is None and (until_top is None or top >= until_top):
                return top


async def published(client: redis_asyncio.Redis) -> list[str]:
    return [name for name, _ in await entries(client)]


async def all_settled(store: BusStore, count: int) -> list[str]:
    return [event.position for event in await settled(store, count)]


class Unsure(RedisStream):
    """Publishes, and then claims that it could not: the answer was lost on the way."""

    failures = 3

    async def publish(self, stream: str, top: Position, events: Sequence[Event]) -> Position:
        reached = await super().publish(stream, top, events)
        if self.failures:
            self.failures -= 1
            raise Unavailable("the answer was lost")
        return reached


async def test_what_is_written_is_published_under_its_own_position(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    await write(pool, *(make_event("a", n) for n in range(1, 8)))
    positions = await all_settled(store, 7)
    await publish_all(Relay(STREAM, wiring(store, broker)), START)
    assert await published(redis_client) == positions
    assert [int(p.split("-")[0]) for p in positions] == [parse_position(positions[0]).xid] * 7


async def test_an_answer_that_was_lost_does_not_repeat_or_skip(
    pool: Pool, store: BusStore, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    unsure = Unsure(redis_server)
    limits = QUICK.__class__(publish_batch=2, retry_pause_s=0.001)
    relay = Relay(STREAM, wiring(store, unsure, limits))
    await write(pool, *(make_event("a", n) for n in range(1, 12)))
    positions = await all_settled(store, 11)
    running = asyncio.create_task(relay.run())

    async def all_there() -> bool:
        assert not running.done()
        return len(await published(redis_client)) >= 11

    await until(all_there)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await published(redis_client) == positions
    assert unsure.failures == 0
    await unsure.close()


async def test_two_relays_at_once_publish_each_event_once(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    """As if both believed that they held the lease."""
    limits = QUICK.__class__(publish_batch=3)
    for n in range(40):
        await write(pool, make_event("a", 2 * n + 1), make_event("a", 2 * n + 2))
    positions = await all_settled(store, 80)
    relays = [Relay(STREAM, wiring(store, broker, limits)) for _ in range(3)]
    await asyncio.gather(*(publish_all(relay, START) for relay in relays))
    assert await published(redis_client) == positions


async def test_a_relay_notices_that_redis_was_emptied_before_it_writes_past_the_loss(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    await inbox.register(pool, "g", STREAM, START, now_ms())
    relay = Relay(STREAM, wiring(store, broker))
    await write(pool, make_event("a", 1), make_event("a", 2))
    first = await all_settled(store, 2)
    top = await publish_all(relay, START)
    await redis_client.flushdb()
    await write(pool, make_event("a", 3))
    positions = await all_settled(store, 3)
    await publish_all(relay, top, parse_position(positions[-1]))
    assert await published(redis_client) == positions
    assert positions[:2] == first


async def test_an_idle_relay_notices_that_redis_was_emptied(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    await inbox.register(pool, "g", STREAM, START, now_ms())
    await write(pool, make_event("a", 1), make_event("a", 2))
    positions = await all_settled(store, 2)
    running = asyncio.create_task(Relay(STREAM, wiring(store, broker)).run())

    async def all_there() -> bool:
        assert not running.done()
        return await published(redis_client) == positions

    await until(all_there)
    await redis_client.flushdb()
    await until(all_there)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_refill_begins_where_the_slowest_group_stands(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    await write(pool, *(make_event("a", n) for n in range(1, 7)))
    positions = await all_settled(store, 6)
    for group, handled in (("slow", 2), ("quick", 5)):
        start = parse_position(positions[handled - 1])
        await inbox.register(pool, group, STREAM, start, now_ms())
    relay = Relay(STREAM, wiring(store, broker))
    await publish_all(relay, await relay.find_top())
    assert await published(redis_client) == positions[2:]
    (_, fields), *_ = await entries(redis_client)
    assert fields[b"p"].decode() == positions[1]


async def test_a_refill_is_bounded_by_the_length_of_a_stream(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    await inbox.register(pool, "far behind", STREAM, START, now_ms())
    await write(pool, *(make_event("a", n) for n in range(1, 11)))
    positions = await all_settled(store, 10)
    relay = Relay(STREAM, wiring(store, broker, QUICK.__class__(stream_limit=4)))
    await publish_all(relay, await relay.find_top())
    assert await published(redis_client) == positions[6:]


async def test_a_lost_suffix_is_published_again(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    await inbox.register(pool, "g", STREAM, START, now_ms())
    relay = Relay(STREAM, wiring(store, broker))
    await write(pool, *(make_event("a", n) for n in range(1, 7)))
    positions = await all_settled(store, 6)
    top = await publish_all(relay, START)
    # What a restart does that reads an older append-only file: the stream ends earlier.
    await redis_client.delete(KEY)
    for position in positions[:3]:
        await redis_client.xadd(KEY, {"e": "{}"}, id=position)
    await write(pool, make_event("a", 7))
    positions = await all_settled(store, 7)
    await publish_all(relay, top, parse_position(positions[-1]))
    assert await published(redis_client) == positions


async def test_a_top_from_another_history_does_not_block_the_stream_for_ever(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    await redis_client.xadd(KEY, {"who": "an operator, or another database"})
    relay = Relay(STREAM, wiring(store, broker))
    await write(pool, make_event("a", 1))
    positions = await all_settled(store, 1)
    await publish_all(relay, await relay.find_top())
    assert await published(redis_client) == positions


async def test_large_bodies_are_published_in_several_calls(
    pool: Pool, store: BusStore, broker: RedisStream, redis_client: redis_asyncio.Redis
) -> None:
    limits = QUICK.__class__(publish_bytes=1000)
    await write(pool, *(make_event("a", n, body=f'"{"x" * 700}"') for n in range(1, 5)))
    positions = await all_settled(store, 4)
    await publish_all(Relay(STREAM, wiring(store, broker, limits)), START)
    assert await published(redis_client) == positions
