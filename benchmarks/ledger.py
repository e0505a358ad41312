"""Transfers a second through the ledger, each acknowledged after its commit (fsync on).

    python -m benchmarks ledger

Ours is the path that every payment takes: 64 callers ask entities through a handle of the actor
runtime, whose host commits what has arrived as one batch: ledger, journal, outbox, each command's
key. The batching loop posts to the same ledger and does nothing else, so the difference is what
the runtime costs. Host, handle and callers share one process (no Ray), PostgreSQL has its own.

The peer is the usual path, a transaction per transfer: lock both accounts, insert the header and
two lines, update both balances, commit; on one connection and on 16. It has plain tables with
foreign keys, a unique key per transfer and a check on balances, but neither journal nor outbox,
neither append-only rules nor a proof that postings sum to zero.

Two loads: `spread` moves value between 2,000 accounts at random; `one pool` pays all of it from one
account, as a reward pool does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg

from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.transport_local import LocalTransport
from benchmarks.harness import Contender, Direction, Figures, Target, compare, percentile, servers
from benchmarks.ledger_kind import POOL, Pay, Purses, balance_of
from benchmarks.ledger_peers import PEER_SCHEMA, BatchingLoop, NaivePath
from messages.ledger import account, transfer
from storage import ledger, placement
from storage.database import Pool, open_pool
from storage.migrate import migrate

SECONDS = float(os.environ.get("VIBESTREAM_BENCH_SECONDS", "3"))
CALLERS = 64
FUNDS_MINOR = 10**12
ISSUE = account("outside", "treasury", "issue", "VIBES")
USERS = [str(uuid.UUID(int=n)) for n in range(2_000)]
CODES = {owner: balance_of(owner) for owner in (POOL, *USERS)}
IDS = {owner: n for n, owner in enumerate(CODES)}
LOADS = ("spread", "one pool")
HOST = "bench-0"
BETTER: dict[str, Direction] = {f"{load}: transfers/s": "higher" for load in LOADS}

Transfer = Callable[[int], Awaitable[None]]  # by a caller's number
Way = Callable[["Bench", str], contextlib.AbstractAsyncContextManager[Transfer]]


def draw(load: str) -> tuple[str, str]:
    """The two owners of a transfer."""
    source, target = random.sample(USERS, 2)
    return (POOL if load == "one pool" else source), target


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


async def measure(load: str, callers: int, one: Transfer) -> Figures:
    """So many callers, each asking again when it was answered, for SECONDS."""
    latencies_ms: list[float] = []
    end = time.perf_counter() + SECONDS

    async def caller(number: int) -> None:
        while (asked := time.perf_counter()) < end:
            await one(number)
            latencies_ms.append((time.perf_counter() - asked) * 1e3)

    began = time.perf_counter()
    await asyncio.gather(*map(caller, range(callers)))
    seconds = time.perf_counter() - began
    latencies_ms.sort()
    return {
        f"{load}: transfers/s": len(latencies_ms) / seconds,
        f"{load}: p50 ms": percentile(latencies_ms, 50),
        f"{load}: p99 ms": percentile(latencies_ms, 99),
    }


class Bench:
    """The database, and a host that owns all purses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pool: Pool
        self.kind = Purses()
        self.host: Host
        self.transport = LocalTransport()

    async def open(self) -> None:
        """Migrate, fund the accounts of both sides, start the host."""
        await migrate(self.url)
        self.pool = await open_pool(self.url)
        await self._fund()
        where = dict.fromkeys(range(self.kind.partitions), HOST)
        await placement.ensure(self.pool, self.kind.name, where)
        self.host = Host(HOST, [self.kind], self.pool, now_ms)
        await self.host.start()
        self.transport.add(HOST, self.host)

    async def close(self) -> None:
        """Prove the ledger, then let go."""
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []
        await self.host.stop()
        await self.pool.close()

    async def run(self, way: Way, callers: int) -> Figures:
        """Both loads, each from clean tables."""
        figures: dict[str, float] = {}
        for load in LOADS:
            async with way(self, load) as one:
                figures |= await measure(load, callers, one)
            await self.pool.execute("truncate bus.outbox")
            await self.pool.execute("vacuum analyze")
            await self.pool.execute("checkpoint")
        return figures

    async def placed(self, kind: str) -> dict[int, str]:
        """Where the kind's partitions are."""
        return await placement.read(self.pool, kind)

    async def _fund(self) -> None:
        funds = [
            transfer(os.urandom(16), ISSUE, code, FUNDS_MINOR, cause="bench:fund", purpose="issue")
            for code in CODES.values()
        ]
        async with self.pool.acquire() as connection:
            for first in range(0, len(funds), 1_000):
                async with connection.transaction():
                    await ledger.post(connection, funds[first : first + 1_000], now_ms())
            await connection.execute(PEER_SCHEMA)
            await connection.execute(
                "insert into peer.accounts select n, $1 from generate_series(0, $2::int) n",
                *(FUNDS_MINOR, len(USERS)),
            )


@contextlib.asynccontextmanager
async def runtime(bench: Bench, load: str) -> AsyncIterator[Transfer]:
    """Entities of the actor runtime, asked through one handle."""
    handle = Handle(bench.kind, bench.transport, bench.placed)

    async def one(caller: int) -> None:
        source, target = draw(load)
        key = os.urandom(16)
        await handle.ask(source, Pay(key.hex(), target, 5), key=key)

    try:
        yield one
    finally:
        await handle.close()


@contextlib.asynccontextmanager
async def batching(bench: Bench, load: str) -> AsyncIterator[Transfer]:
    """The ledger alone, in batches."""
    loop = BatchingLoop(bench.pool, CODES, lambda: draw(load), now_ms)
    async with loop.running():
        yield loop.transfer


def naive(connections: int) -> Way:
    """A transaction per transfer, on so many connections."""

    @contextlib.asynccontextmanager
    async def way(bench: Bench, load: str) -> AsyncIterator[Transfer]:
        opened = [await asyncpg.connect(bench.url) for _ in range(connections)]
        try:
            yield NaivePath(opened, IDS, lambda: draw(load), now_ms).transfer
        finally:
            for connection in opened:
                await connection.close()

    return way


def main() -> None:
    """Print the table and write benchmarks/results/ledger.json."""
    import uvloop

    with servers() as (url, _), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bench = Bench(url)
        runner.run(bench.open())

        def by(way: Way, callers: int) -> Callable[[], Figures]:
            return lambda: runner.run(bench.run(way, callers))

        compare(
            "ledger",
            [
                Contender(f"actor runtime, {CALLERS} callers", "ours", by(runtime, CALLERS)),
                Contender(f"batching loop, {CALLERS} callers", "part", by(batching, CALLERS)),
                Contender("naive, 1 connection", "peer", by(naive(1), 1)),
                Contender("naive, 16 connections", "peer", by(naive(16), 16)),
            ],
            unit="fsync on",
            better=BETTER,
            targets=[Target(figure, 1, "naive, 16 connections") for figure in BETTER],
        )
        runner.run(bench.close())


if __name__ == "__main__":
    main()
