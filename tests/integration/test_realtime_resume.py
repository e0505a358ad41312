"""From the outbox to the listener, all real: each event comes once, in order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import uuid
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis_asyncio
from websockets.exceptions import ConnectionClosed

from api.realtime.feed import Feed
from api.realtime.limits import Limits
from bus.stream_redis import RedisStream
from bus.worker import Worker
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from storage import outbox
from storage.bus import BusStore
from storage.database import Pool
from storage.realtime import RealtimeStore
from tests.integration.bus_support import QUICK, make_event, now_ms, write
from tests.integration.realtime_support import Door, Follower, connected, open_door, until

STREAMS = ("music", "rewards")
CHANNELS = ("song:1", "song:2")


class System:
    """What the door stands on, and everything that happened."""

    def __init__(self, pool: Pool, redis: redis_asyncio.Redis, url: str) -> None:
        self.pool = pool
        self.redis = redis
        self.broker = RedisStream(url)
        self.store = RealtimeStore(pool)
        self.happened: list[Event] = []

    @contextlib.asynccontextmanager
    async def door(self, history_events: int = 10) -> AsyncIterator[Door]:
        limits = Limits(history_events=history_events, bye_spread_ms=0, close_linger_ms=50)
        feed = Feed(self.broker, STREAMS, self.store)
        async with open_door(limits, self.store.replay, feed) as door:
            await until(lambda: feed.up)
            yield door

    async def happen(self, chance: random.Random) -> None:
        """A transaction that takes a moment, with events of one stream."""
        stream = chance.choice(STREAMS)
        events = [
            make_event(stream, stream=stream, channels=chance.choice((CHANNELS, *zip(CHANNELS))))
            for _ in range(chance.randrange(1, 4))
        ]
        async with self.pool.acquire() as connection, connection.transaction():
            await outbox.append(connection, events)
            if chance.random() < 0.3:
                await asyncio.sleep(0.003)
        self.happened += events

    async def wanted(self, channel: str, stream: str) -> list[str]:
        """The events' ids in the order of their positions."""
        events = await outbox.read_settled(self.pool, stream, "", 5_000)
        return [e.event_id for e in events if channel in e.channels]


@pytest.fixture
async def system(
    pool: Pool, database_url: str, redis_client: redis_asyncio.Redis, redis_server: str
) -> AsyncIterator[System]:
    store, broker = await BusStore.open(database_url), RedisStream(redis_server)
    worker = Worker("test", store, broker, (), STREAMS, now_ms, limits=QUICK)
    await worker.start()
    opened = System(pool, redis_client, redis_server)
    yield opened
    await worker.stop()
    for closing in (broker, store, opened.broker):
        await closing.close()


async def write_events(system: System, chance: random.Random, transactions: int) -> None:
    await asyncio.gather(*(_writer(system, chance, transactions // 4) for _ in range(4)))


async def _writer(system: System, chance: random.Random, transactions: int) -> None:
    for _ in range(transactions):
        await system.happen(chance)
        await asyncio.sleep(chance.random() * 0.01)


@contextlib.asynccontextmanager
async def unsteady(
    followers: list[Follower], door: Door, chance: random.Random, kind: str = "listener"
) -> AsyncIterator[None]:
    """Followers that stay for some messages, lose the connection, and come back."""
    over = asyncio.Event()

    async def follow(follower: Follower) -> None:
        while not over.is_set():
            with contextlib.suppress(ConnectionClosed):
                most = chance.randrange(1, 25)
                await follower.run(door.url(kind), most, abrupt=chance.random() < 0.5)

    tasks = [asyncio.create_task(follow(f)) for f in followers]
    yield
    over.set()
    await asyncio.gather(*(f.leave(t) for f, t in zip(followers, tasks, strict=True)))


async def settle(system: System, door: Door, followers: list[Follower]) -> None:
    """Have every follower come back once more and get what is left."""
    tasks = [asyncio.create_task(f.run(door.url("listener"))) for f in followers]
    try:
        wanted = [len(await system.wanted(c, s)) for c in CHANNELS for s in STREAMS]
        await until(
            lambda: all(
                len(_seen(f, c, s)) >= n
                for f in followers
                for n, (c, s) in zip(wanted, itertools.product(CHANNELS, STREAMS), strict=True)
            )
        )
        await asyncio.sleep(0.1)  # a repetition would come now
    finally:
        await asyncio.gather(*(f.leave(t) for f, t in zip(followers, tasks, strict=True)))


def _seen(follower: Follower, channel: str, stream: str) -> list[str]:
    return [event_id for s, event_id in follower.seen[channel] if s == stream]


async def check(system: System, followers: list[Follower]) -> None:
    for channel in CHANNELS:
        for stream in STREAMS:
            wanted = await system.wanted(channel, stream)
            assert wanted
            for follower in followers:
                assert _seen(follower, channel, stream) == wanted, (channel, stream)
    assert all(f.resyncs == 0 for f in followers)


async def subscribed(followers: list[Follower], door: Door) -> None:
    """Each follower's first subscription is answered, and then lost."""
    for follower in followers:
        task = asyncio.create_task(follower.run(door.url("listener")))
        await follower.ready.wait()
        await follower.leave(task)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["listener", "asgi"])
async def test_each_event_comes_once_in_order_through_lost_connections(
    system: System, kind: str, seed: int
) -> None:
    chance = random.Random(seed)
    followers = [Follower(CHANNELS) for _ in range(4)]
    async with system.door() as door:
        await subscribed(followers, door)
        async with unsteady(followers, door, chance, kind):
            await write_events(system, chance, 120)
        await settle(system, door, followers)
        await check(system, followers)
        assert all(f.connections > 3 for f in followers)
        assert door.hub.counts.resumed_memory > 0


async def test_resuming_at_another_replica_reads_postgresql(system: System) -> None:
    chance = random.Random(7)
    followers = [Follower(CHANNELS) for _ in range(3)]
    async with system.door() as first:
        await subscribed(followers, first)
        await write_events(system, chance, 40)
    await write_events(system, chance, 40)
    async with system.door() as second:
        await write_events(system, chance, 40)
        await settle(system, second, followers)
        await check(system, followers)
        assert second.hub.counts.resumed_replay > 0


async def test_redis_is_wiped_under_the_feed(system: System) -> None:
    chance = random.Random(8)
    followers = [Follower(CHANNELS) for _ in range(3)]
    async with system.door() as door:
        await subscribed(followers, door)
        async with unsteady(followers, door, chance):
            for _ in range(4):
                await write_events(system, chance, 24)
                await system.redis.flushdb()
            await write_events(system, chance, 24)
        await settle(system, door, followers)
        await check(system, followers)


async def test_an_offset_that_was_purged_is_told(system: System) -> None:
    await write(system.pool, *(make_event(stream="music", channels=("song:1",)) for _ in range(20)))
    (first, *_, last) = await outbox.read_settled(system.pool, "music", "", 50)
    async with system.door() as door, connected(door.url("listener")) as client:
        answer = await client.subscribe("song:1", {"music": first.position})
        assert answer["resumed"]
        for _ in range(19):
            assert (await client.hear())["t"] == "event"
        await client.ask({"t": "unsubscribe", "id": "u", "channel": "song:1"})
        fifth = parse_position(last.position)
        await outbox.purge(system.pool, "music", fifth, 2**62, 5)
        answer = await client.subscribe("song:1", {"music": first.position})
        assert not answer["resumed"]
        told = await client.hear()
        assert (told["t"], told["reason"]) == ("resync", "too-old")
        await client.ask({"t": "unsubscribe", "id": "u", "channel": "song:1"})
        # One position for all streams, as a REST snapshot gives it.
        answer = await client.subscribe("song:1", last.position)
        assert answer["resumed"]


async def test_what_the_store_reads(pool: Pool) -> None:
    store = RealtimeStore(pool)
    assert await store.newest("music") == START
    events = [
        make_event(stream=stream, channels=(channel,))
        for stream in STREAMS
        for channel in CHANNELS
        for _ in range(3)
    ]
    random.Random(1).shuffle(events)
    for event in events:
        await write(pool, event)
    music = await outbox.read_settled(pool, "music", "", 50)
    rewards = await outbox.read_settled(pool, "rewards", "", 50)
    newest = parse_position(music[-1].position)
    assert await store.newest("music") == newest
    assert await store.has_reached(newest)
    assert not await store.has_reached(Position(newest.xid + 10**6, 1))
    after = {
        "music": parse_position(music[1].position),
        "rewards": parse_position(rewards[3].position),
    }
    found = await store.replay("song:1", after, 50)
    wanted = [
        e.position
        for e in sorted(music + rewards, key=lambda e: parse_position(e.position))
        if "song:1" in e.channels and parse_position(e.position) > after[e.stream]
    ]
    assert found is not None
    assert [e.position for e in found] == wanted
    assert wanted
    first_two = await store.replay("song:1", after, 1)
    assert first_two is not None
    assert [e.position for e in first_two] == wanted[:2]
    whole = await store.replay("song:1", {"music": START, "nothing": START}, 50)
    assert whole is not None
    assert [e.position for e in whole] == [e.position for e in music if "song:1" in e.channels]
    assert await store.replay("song:1", {"music": Position(10**15, 1)}, 50) is None, "foreign"
    assert await outbox.purge(pool, "music", parse_position(music[3].position), 2**62, 2) == 2
    assert await store.replay("song:1", {"music": START}, 50) is None
    assert await store.replay("song:1", {"music": parse_position(music[0].position)}, 50) is None
    assert await store.replay("song:1", after, 50) is not None
    assert await store.replay("song:1", {"rewards": START}, 50) is not None
    async with pool.acquire() as writing, writing.transaction():
        await outbox.append(writing, [make_event(stream="music", channels=("song:1",))])
        await write(pool, make_event(stream="music", channels=("song:1",)))
        assert await store.newest("music") == newest, "an older transaction is not over"
        again = await store.replay("song:1", after, 50)
        assert again is not None
        assert [e.position for e in again] == wanted
    assert uuid.UUID(found[0].event_id)
