"""What the tests of the bus share: events, a handler with a countable effect, a running worker."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from bus.handler import Handler
from bus.limits import Limits
from bus.metrics import BusMetrics
from bus.stream_redis import RedisStream, stream_key
from bus.wiring import Wiring
from bus.worker import Worker
from messages.bus import START
from messages.envelope import Event
from storage import outbox
from storage.bus import BusStore
from storage.database import Connection, Pool

STREAM = "rewards"
QUICK = Limits(
    idle_poll_s=0.1,
    block_ms=100,
    attempt_pause_s=0.001,
    retry_pause_s=0.01,
    retry_pause_max_s=0.1,
    trim_every_s=0.1,
    grace_ms=0,
)
EFFECTS = """
create table effects (
    n bigint generated always as identity, group_name text, event_id uuid, entity_id text,
    sequence bigint)"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def make_event(entity: str = "e", sequence: int = 1, **changes: Any) -> Event:
    event = Event(str(uuid.uuid4()), STREAM, "Happened", entity, sequence, now_ms(), (), "{}")
    return msgspec.structs.replace(event, **changes)


async def write(pool: Pool, *events: Event) -> None:
    """Append events in a transaction of their own."""
    async with pool.acquire() as connection, connection.transaction():
        await outbox.append(connection, events)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Poll a condition; TimeoutError if it does not come true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition is in a database
            await asyncio.sleep(0.01)


class Effects:
    """A group whose effect is a row per event, so that a second effect would show."""

    def __init__(self, group: str = "effects", *streams: str) -> None:
        self.group = group
        self.streams = streams or (STREAM,)

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        await connection.executemany(
            "insert into effects (group_name, event_id, entity_id, sequence)"
            " values ($1, $2, $3, $4)",
            [(self.group, event.event_id, event.entity_id, event.sequence) for event in events],
        )


class Failing(Effects):
    """Effects, but raises what `reason` says for an event."""

    def __init__(self, reason: Callable[[Event], Exception | None]) -> None:
        super().__init__()
        self.reason = reason
        self.asked: list[str] = []

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        await super().handle(connection, events)
        self.asked += [event.event_id for event in events]
        for event in events:
            if error := self.reason(event):
                raise error


async def settled(store: BusStore, count: int) -> list[Event]:
    """The stream's events once `count` are settled: any transaction may hold that back."""
    found: list[Event] = []

    async def enough() -> bool:
        found[:] = await store.read_settled(STREAM, START, 5000)
        return len(found) >= count

    await until(enough)
    return found


async def entries(client: Any) -> list[tuple[str, dict[bytes, bytes]]]:
    """The entries of the stream in Redis."""
    return [(name.decode(), fields) for name, fields in await client.xrange(stream_key(STREAM))]


async def effects(pool: Pool, group: str = "effects") -> list[tuple[str, int]]:
    """(entity, sequence) of each effect in the order in which they happened."""
    query = "select entity_id, sequence from effects where group_name = $1 order by n"
    return [tuple(row) for row in await pool.fetch(query, group)]


def in_order(found: Sequence[tuple[str, int]]) -> bool:
    """Whether each entity's sequences rise without repetition."""
    last: dict[str, int] = {}
    for entity, sequence in found:
        if sequence <= last.get(entity, 0):
            return False
        last[entity] = sequence
    return True


async def has(pool: Pool, count: int, group: str = "effects") -> bool:
    """Whether that many effects have happened."""
    return len(await effects(pool, group)) >= count


class Writers:
    """Entities whose events are written one transaction after another, several entities at once."""

    def __init__(self, pool: Pool, seed: int, entities: int = 6) -> None:
        self.pool = pool
        self.chance = random.Random(seed)
        self.written = dict.fromkeys((f"e{i}" for i in range(entities)), 0)

    async def write(self, entity: str, transactions: int) -> None:
        for _ in range(transactions):
            last = self.written[entity]
            batch = [make_event(entity, last + 1 + i) for i in range(self.chance.randint(1, 5))]
            async with self.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await outbox.append(connection, batch[:1])
                await asyncio.sleep(self.chance.random() * 0.02)
                await outbox.append(connection, batch[1:])
                if self.chance.random() < 0.1:
                    await transaction.rollback()
                    continue
                await transaction.commit()
            self.written[entity] += len(batch)

    async def all(self, transactions: int) -> None:
        await asyncio.gather(*(self.write(entity, transactions) for entity in self.written))

    async def check(self, group: str = "effects") -> None:
        """Every event written has had its effect once, in the order of its entity."""
        total = sum(self.written.values())
        await until(lambda: has(self.pool, total, group))
        found = await effects(self.pool, group)
        assert len(found) == total
        assert in_order(found)


def wiring(store: BusStore, broker: RedisStream, limits: Limits = QUICK) -> Wiring:
    return Wiring(store, broker, now_ms, BusMetrics(CollectorRegistry()), limits)


@contextlib.asynccontextmanager
async def running(
    database_url: str, redis_url: str, *handlers: Handler, name: str = "w", limits: Limits = QUICK
) -> AsyncIterator[Worker]:
    """A started worker with connections of its own."""
    store, broker = await BusStore.open(database_url), RedisStream(redis_url)
    worker = Worker(name, store, broker, handlers, [STREAM], now_ms, limits=limits)
    try:
        await worker.start()
        yield worker
    finally:
        await worker.stop()
        await broker.close()
        await store.close()
