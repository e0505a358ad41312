"""The bus end to end: outbox insert → relay → Redis Streams → consumer, its place committed.

    python -m benchmarks bus

A producer process writes events as entity hosts do (an append a batch, a transaction each); this
process runs the relay and a consumer, as the bus worker does. PostgreSQL commits to disk (fsync
on), Valkey appends to its file. Peers, on the same servers in the same run:

- delete: the usual outbox, `DELETE … FOR UPDATE SKIP LOCKED RETURNING` → XADD pipeline → commit in
  batches of 500, and an inbox row per event. It can hand events over out of order.
- row: the same, a row and a commit at a time on both sides.

Events a second run from the first insert to the last arrival, ms from insert to arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import asyncpg
import msgspec

from benchmarks.bus_peers import INSERT, PEER_SCHEMA, DeletePeer
from benchmarks.harness import (
    Contender,
    Direction,
    Figures,
    Target,
    compare,
    percentile,
    rounds,
    servers,
)
from bus.stream_redis import RedisStream
from bus.worker import Worker
from messages.envelope import Event
from storage import outbox
from storage.bus import BusStore
from storage.database import Connection
from storage.migrate import migrate

STREAM = "bench"
PADDING = "x" * 150
PEER_BATCHES = {"delete": 500, "row": 1}


class Plan(msgspec.Struct, frozen=True):
    """What a producer does: `rate` events a second, 0 for as fast as it can."""

    events: int
    batch: int
    rate: int = 0


FLAT_OUT = Plan(100_000, 200)
LATENCY = Plan(10_000, 10, 2_000)
LOADS: dict[str, dict[str, Plan]] = {
    "ours": {
        "flat out": FLAT_OUT,
        "2,000/s": LATENCY,
        "2,000/s, 1 a transaction": msgspec.structs.replace(LATENCY, batch=1),
        "20,000/s": Plan(100_000, 100, 20_000),
    },
    "delete": {"flat out": FLAT_OUT, "2,000/s": LATENCY},
    "row": {"flat out": msgspec.structs.replace(FLAT_OUT, events=3_000)},
}
BETTER: dict[str, Direction] = {
    "flat out: events/s": "higher",
    "2,000/s: p50 ms": "lower",
    "2,000/s: p99 ms": "lower",
}


class Arrivals:
    """A consumer group that notes when each event reached it. Its effect is its place alone."""

    group = "bench"
    streams = (STREAM,)

    def __init__(self) -> None:
        self._latencies_ms: list[float] = []
        self._first_ns = 0
        self._wanted = 0
        self._done = asyncio.Event()

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Note events handed over by the bus."""
        self._note([event.body for event in events])

    def note_encoded(self, texts: Sequence[str]) -> None:
        """Note events handed over by a peer."""
        self._note([msgspec.json.decode(text, type=Event).body for text in texts])

    def _note(self, bodies: Sequence[str]) -> None:
        now = time.monotonic_ns()
        written = [int(body[7 : body.index(",")]) for body in bodies]
        self._first_ns = min(self._first_ns, *written) if self._first_ns else min(written)
        self._latencies_ms += [(now - at) / 1e6 for at in written]
        if len(self._latencies_ms) >= self._wanted:
            self._done.set()

    def expect(self, count: int) -> None:
        """Begin to count."""
        self._latencies_ms.clear()
        self._first_ns, self._wanted = 0, count
        self._done.clear()

    async def figures(self, load: str) -> Figures:
        """Wait for all."""
        await self._done.wait()
        seconds = (time.monotonic_ns() - self._first_ns) / 1e9
        found = sorted(self._latencies_ms)
        assert len(found) == self._wanted, "an event arrived twice"
        return {
            f"{load}: events/s": len(found) / seconds,
            f"{load}: p50 ms": percentile(found, 50),
            f"{load}: p99 ms": percentile(found, 99),
        }


def produce(url: str, plan: Plan, *, ours: bool) -> None:
    """The producer process: events for the bus's outbox, or the peer's."""
    asyncio.run(_produce(url, plan, ours))


async def _produce(url: str, plan: Plan, ours: bool) -> None:
    connection = await asyncpg.connect(url)
    began = time.monotonic()
    for first in range(0, plan.events, plan.batch):
        if plan.rate and (ahead := began + first / plan.rate - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        # The time stands at a fixed place, so that reading it costs the consumer nothing.
        body = json.dumps({"at": time.monotonic_ns(), "padding": PADDING})
        events = [_event(first + n, body) for n in range(plan.batch)]
        # An append is one statement: by itself it needs no transaction around it.
        async with connection.transaction() if plan.batch > 1 else contextlib.nullcontext():
            if ours:
                await outbox.append(connection, events)
            else:
                ids = [event.event_id for event in events]
                await connection.execute(INSERT, ids, [_encoded(event) for event in events])
    await connection.close()


def _event(number: int, body: str) -> Event:
    channels = (f"user:{number % 1000}", f"pool:{number % 10}")
    event_id, at_ms = str(uuid.uuid4()), time.time_ns() // 1_000_000
    return Event(event_id, STREAM, "Benched", f"e{number % 50}", number, at_ms, channels, body)


def _encoded(event: Event) -> str:
    return msgspec.json.encode(event).decode()


@contextlib.asynccontextmanager
async def ours(postgres_url: str, redis_url: str, arrivals: Arrivals) -> AsyncIterator[None]:
    """The bus with one group."""
    store, broker = await BusStore.open(postgres_url), RedisStream(redis_url)
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000  # noqa: E731
    worker = Worker("bench", store, broker, [arrivals], [STREAM], clock)
    await worker.start()
    try:
        yield
    finally:
        await worker.stop()
        await broker.close()
        await store.close()


async def run_load(
    kind: str, load: str, plan: Plan, postgres_url: str, redis_url: str
) -> Mapping[str, float]:
    """One load from an idle start."""
    arrivals = Arrivals()
    if kind == "ours":
        system = ours(postgres_url, redis_url, arrivals)
    else:
        peer = DeletePeer(postgres_url, redis_url, arrivals.note_encoded, PEER_BATCHES[kind])
        system = peer.running()
    async with system:
        await asyncio.sleep(0.5)
        arrivals.expect(plan.events)
        producer = multiprocessing.get_context("spawn").Process(
            target=produce, args=(postgres_url, plan), kwargs={"ours": kind == "ours"}
        )
        producer.start()
        figures = await arrivals.figures(load)
        await asyncio.to_thread(producer.join)
    return figures


async def run_loads(kind: str, postgres_url: str, redis_url: str) -> Figures:
    """Each load of a contender, each from clean tables."""
    figures: dict[str, float] = {}
    connection = await asyncpg.connect(postgres_url)
    for load, plan in LOADS[kind].items():
        figures |= await run_load(kind, load, plan, postgres_url, redis_url)
        await connection.execute("truncate bus.outbox, peer.outbox, peer.inbox; checkpoint")
    await connection.close()
    return figures


async def prepare(postgres_url: str) -> None:
    """The tables of both sides."""
    await migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(PEER_SCHEMA)
    await connection.close()


def main() -> None:
    """Print the table and write benchmarks/results/bus.json."""
    import uvloop

    with servers() as urls:
        uvloop.run(prepare(urls[0]))

        def by(kind: str) -> Callable[[], Figures]:
            return lambda: uvloop.run(run_loads(kind, *urls))

        compare(
            "bus",
            [
                Contender("event bus", "ours", by("ours")),
                Contender("delete in batches", "peer", by("delete")),
                Contender("row by row", "peer", by("row")),
            ],
            unit="fsync on",
            better=BETTER,
            rounds=rounds(3),
            targets=[
                Target("flat out: events/s", 1, "delete in batches"),
                Target("flat out: events/s", 1, "row by row"),
            ],
        )


if __name__ == "__main__":
    main()
