"""The bus end to end: outbox insert → relay → Redis Streams → consumer, its place committed.

    python -m benchmarks.bus

A producer process writes events as entity hosts do (an append a batch, a transaction each); this
process runs the relay and a consumer, as the bus worker does. PostgreSQL commits to disk (fsync
on), Valkey appends to its file. Peers, on the same servers in the same run:

- `delete`: the usual outbox, `DELETE … FOR UPDATE SKIP LOCKED RETURNING` → XADD pipeline → commit
  in batches of 500, and an inbox row per event. It can hand events over out of order.
- `row`: the same, a row and a commit at a time on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import asyncpg
import msgspec

from benchmarks.bus_peers import INSERT, PEER_SCHEMA, DeletePeer
from bus.stream_redis import RedisStream
from bus.worker import Worker
from messages.envelope import Event
from storage import outbox
from storage.bus import BusStore
from storage.database import Connection
from storage.migrate import migrate

STREAM = "bench"
ROUNDS = int(os.environ.get("VIBESTREAM_BENCH_ROUNDS", "3"))
PADDING = "x" * 150
RESULTS = Path(__file__).with_name("results") / "bus.json"


class Plan(msgspec.Struct, frozen=True):
    """What a producer does: `rate` events a second, 0 for as fast as it can."""

    table: str
    events: int
    batch: int
    rate: int = 0


class Result(msgspec.Struct, frozen=True):
    """Events a second from the first insert to the last arrival; insert to arrival in ms."""

    per_second: float
    p50_ms: float
    p99_ms: float


LATENCY = Plan("bus", 10_000, 10, 2_000)
SUSTAINED = Plan("bus", 100_000, 100, 20_000)
FLAT_OUT = Plan("bus", 100_000, 200)
CASES: dict[str, tuple[str, Plan]] = {
    "ours, 2,000/s": ("ours", LATENCY),
    "ours, 1 a transaction": ("ours", msgspec.structs.replace(LATENCY, batch=1)),
    "delete, 2,000/s": ("delete", msgspec.structs.replace(LATENCY, table="peer")),
    "ours, 20,000/s": ("ours", SUSTAINED),
    "ours, flat out": ("ours", FLAT_OUT),
    "delete, flat out": ("delete", msgspec.structs.replace(FLAT_OUT, table="peer")),
    "row, flat out": ("row", msgspec.structs.replace(FLAT_OUT, table="peer", events=3_000)),
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

    async def result(self) -> Result:
        """Wait for all."""
        await self._done.wait()
        seconds = (time.monotonic_ns() - self._first_ns) / 1e9
        found = sorted(self._latencies_ms)
        assert len(found) == self._wanted, "an event arrived twice"
        return Result(len(found) / seconds, statistics.median(found), found[len(found) * 99 // 100])


def produce(url: str, plan: Plan) -> None:
    """The producer process."""
    asyncio.run(_produce(url, plan))


async def _produce(url: str, plan: Plan) -> None:
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
            if plan.table == "bus":
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


@contextlib.contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """PostgreSQL and Valkey in a fresh folder, as `make run` starts them."""
    from deployments.launcher.postgres import EmbeddedPostgres
    from deployments.launcher.valkey import EmbeddedValkey

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o711)  # PostgreSQL runs as another user and must reach its folder
        with EmbeddedPostgres(root / "pg") as postgres, EmbeddedValkey(root / "vk") as valkey:
            yield postgres.url, valkey.url


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


async def run_case(kind: str, plan: Plan, postgres_url: str, redis_url: str) -> Result:
    """One case from an idle start."""
    arrivals = Arrivals()
    if kind == "ours":
        system = ours(postgres_url, redis_url, arrivals)
    else:
        batch = 500 if kind == "delete" else 1
        system = DeletePeer(postgres_url, redis_url, arrivals.note_encoded, batch).running()
    async with system:
        await asyncio.sleep(0.5)
        arrivals.expect(plan.events)
        producer = multiprocessing.get_context("spawn").Process(
            target=produce, args=(postgres_url, plan)
        )
        producer.start()
        result = await arrivals.result()
        await asyncio.to_thread(producer.join)
    return result


async def run_all(postgres_url: str, redis_url: str) -> dict[str, list[Result]]:
    """All cases, interleaved, so that a noisy minute does not fall on one of them."""
    await migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute(PEER_SCHEMA)
    found: dict[str, list[Result]] = {case: [] for case in CASES}
    for _ in range(ROUNDS):
        for case, (kind, plan) in CASES.items():
            found[case].append(await run_case(kind, plan, postgres_url, redis_url))
            await connection.execute("truncate bus.outbox, peer.outbox, peer.inbox; checkpoint")
    await connection.close()
    return found


def main() -> None:
    """Print the table and write benchmarks/results/bus.json."""
    import uvloop

    with servers() as (postgres_url, redis_url):
        found = uvloop.run(run_all(postgres_url, redis_url))
    print(f"{'case':<21} {'events/s min/median/max':>28} {'p50 ms':>22} {'p99 ms':>22}")
    for case, results in found.items():
        cells = [_spread([getattr(r, name) for r in results]) for name in Result.__struct_fields__]
        print(f"{case:<21} {cells[0]:>28} {cells[1]:>22} {cells[2]:>22}")
    for case in ("delete", "row"):
        ratio = _median(found["ours, flat out"]) / _median(found[f"{case}, flat out"])
        print(f"ours / {case}, flat out: {ratio:.1f}×")
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"machine": platform.platform(), "cores": os.cpu_count()}
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode({**machine, "cases": found})))


def _spread(values: list[float]) -> str:
    return " / ".join(f"{v:,.1f}" for v in (min(values), statistics.median(values), max(values)))


def _median(results: list[Result]) -> float:
    return statistics.median(result.per_second for result in results)


if __name__ == "__main__":
    main()
