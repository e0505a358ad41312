"""Transfers a second through the ledger, each acknowledged after its commit (fsync on).

    python -m benchmarks.ledger

Ours is the path that hosts take: 64 callers await a future each, an actor takes what has arrived as
one batch, posts it in one transaction, and answers. The peer is the usual path, a transaction per
transfer: lock both accounts, insert the header and two lines, update both balances, commit; on one
connection and on 16. It has plain tables with foreign keys, a unique key per transfer and a check
on balances, but neither append-only rules nor a proof that postings sum to zero.

Two loads: `spread` moves value between 2,000 accounts at random; `one pool` pays all of it from one
account, as a reward pool does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import asyncpg
import msgspec

from domain.ledger import Verdict
from messages.ledger import LedgerTransaction, account, transfer
from storage import ledger
from storage.database import Pool, open_pool
from storage.migrate import migrate

ROUNDS = int(os.environ.get("VIBESTREAM_BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("VIBESTREAM_BENCH_SECONDS", "3"))
CALLERS = 64
MAX_BATCH = 200
FUNDS_MINOR = 10**12
ISSUE = account("outside", "treasury", "issue", "VIBES")
POOL = account("pool", "bench", "balance", "VIBES")
USERS = [account("user", str(uuid.UUID(int=n)), "available", "VIBES") for n in range(2_000)]
RESULTS = Path(__file__).with_name("results") / "ledger.json"

PEER_SCHEMA = """
create schema peer;
create table peer.accounts (
    id bigint primary key, balance numeric(38, 0) not null check (balance >= 0)
) with (fillfactor = 70);
create table peer.transactions (
    id bigint generated always as identity primary key,
    key bytea not null unique, cause text not null, purpose text not null, at_ms bigint not null
);
create table peer.postings (
    transaction_id bigint not null references peer.transactions,
    line smallint not null,
    account_id bigint not null references peer.accounts,
    amount numeric(38, 0) not null,
    primary key (transaction_id, line)
);
create index on peer.postings (account_id, transaction_id);"""

Transfer = Callable[[int], Awaitable[None]]  # by a caller's number


class Result(msgspec.Struct, frozen=True):
    """Transfers a second; from asking to the acknowledgement, in ms."""

    per_second: float
    p50_ms: float
    p99_ms: float


def draw(load: str) -> tuple[str, str]:
    """The two accounts of a transfer."""
    source, target = random.sample(USERS, 2)
    return (POOL if load == "one pool" else source), target


class BatchingActor:
    """The least that commits in groups: what waits is posted as one transaction, then answered."""

    def __init__(self, pool: Pool, load: str) -> None:
        self._pool, self._load = pool, load
        self._waiting: list[tuple[LedgerTransaction, asyncio.Future[Verdict]]] = []
        self._arrived = asyncio.Event()

    async def transfer(self, caller: int) -> None:
        """One caller's transfer; returns when it is committed."""
        source, target = draw(self._load)
        cause = f"bench:{caller}"
        request = transfer(os.urandom(16), source, target, 5, cause=cause, purpose="listen-reward")
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._arrived.set()
        assert await answer is Verdict.APPLIED

    async def run(self) -> None:
        """Post until cancelled."""
        async with self._pool.acquire() as connection:
            while await self._arrived.wait():
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                if not self._waiting:
                    self._arrived.clear()
                async with connection.transaction():
                    requests = [request for request, _ in batch]
                    verdicts = await ledger.post(connection, requests, now_ms())
                for (_, answer), verdict in zip(batch, verdicts, strict=True):
                    answer.set_result(verdict)


class NaivePath:
    """A transaction per transfer, a connection per caller."""

    def __init__(
        self, connections: Sequence[asyncpg.Connection[asyncpg.Record]], load: str
    ) -> None:
        self._connections, self._load = connections, load
        self._ids = {code: n for n, code in enumerate([POOL, *USERS])}

    async def transfer(self, caller: int) -> None:
        """One transfer on the caller's connection."""
        connection = self._connections[caller]
        source, target = (self._ids[code] for code in draw(self._load))
        async with connection.transaction():
            rows = await connection.fetch(
                "select id, balance from peer.accounts where id = any($1::bigint[])"
                " order by id for update",
                [source, target],
            )
            assert all(row["balance"] >= 5 for row in rows if row["id"] == source)
            transaction_id = await connection.fetchval(
                "insert into peer.transactions (key, cause, purpose, at_ms)"
                " values ($1, $2, $3, $4) returning id",
                *(os.urandom(16), f"bench:{caller}", "listen-reward", now_ms()),
            )
            await connection.execute(
                "insert into peer.postings values ($1, 1, $2, -5), ($1, 2, $3, 5)",
                *(transaction_id, source, target),
            )
            update = "update peer.accounts set balance = balance + $2 where id = $1"
            await connection.execute(update, source, -5)
            await connection.execute(update, target, 5)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


async def measure(callers: int, one: Transfer) -> Result:
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
    p50, p99 = (latencies_ms[len(latencies_ms) * part // 100] for part in (50, 99))
    return Result(len(latencies_ms) / seconds, p50, p99)


async def ours(pool: Pool, load: str) -> Result:
    """Through the batching actor."""
    actor = BatchingActor(pool, load)
    running = asyncio.create_task(actor.run())
    try:
        return await measure(CALLERS, actor.transfer)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def naive(url: str, connections: int, load: str) -> Result:
    """The peer on so many connections."""
    opened = [await asyncpg.connect(url) for _ in range(connections)]
    try:
        return await measure(connections, NaivePath(opened, load).transfer)
    finally:
        for connection in opened:
            await connection.close()


async def prepare(url: str, pool: Pool) -> None:
    """Accounts with funds on both sides."""
    await migrate(url)
    funds = [
        transfer(os.urandom(16), ISSUE, code, FUNDS_MINOR, cause="bench:fund", purpose="issue")
        for code in (POOL, *USERS)
    ]
    async with pool.acquire() as connection:
        for first in range(0, len(funds), 1_000):
            async with connection.transaction():
                await ledger.post(connection, funds[first : first + 1_000], now_ms())
        await connection.execute(PEER_SCHEMA)
        await connection.execute(
            "insert into peer.accounts select n, $1 from generate_series(0, $2::int) n",
            *(FUNDS_MINOR, len(USERS)),
        )


async def run_all(url: str) -> dict[str, list[Result]]:
    """All cases, interleaved, so that a noisy minute does not fall on one of them."""
    pool = await open_pool(url)
    await prepare(url, pool)
    cases: dict[str, Callable[[], Awaitable[Result]]] = {}
    for load in ("spread", "one pool"):
        cases[f"{load}: batching actor, {CALLERS} callers"] = partial(ours, pool, load)
        for count in (1, 16):
            name = f"{load}: naive, {count} connection{'s' * (count > 1)}"
            cases[name] = partial(naive, url, count, load)
    found: dict[str, list[Result]] = {case: [] for case in cases}
    for _ in range(ROUNDS):
        for case, run in cases.items():
            found[case].append(await run())
            await pool.execute("vacuum analyze")
            await pool.execute("checkpoint")
    async with pool.acquire() as connection:
        assert await ledger.verify(connection) == []
    await pool.close()
    return found


@contextlib.contextmanager
def server() -> Iterator[str]:
    """PostgreSQL in a fresh folder, as `make run` starts it."""
    from deployments.launcher.postgres import EmbeddedPostgres

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o711)  # PostgreSQL runs as another user and must reach its folder
        with EmbeddedPostgres(root / "pg") as postgres:
            yield postgres.url


def main() -> None:
    """Print the table and write benchmarks/results/ledger.json."""
    import uvloop

    with server() as url:
        found = uvloop.run(run_all(url))
    print(
        f"{'min / median / max':<36} {'transfers/s':>26} {'p50 ms':>20} {'p99 ms':>22} {'ours':>6}"
    )
    for case, results in found.items():
        cells = [_spread([getattr(r, name) for r in results]) for name in Result.__struct_fields__]
        ratio = _median(found[f"{case.split(':')[0]}: batching actor, {CALLERS} callers"])
        times = f"{ratio / _median(results):.1f}×"
        print(f"{case:<36} {cells[0]:>26} {cells[1]:>20} {cells[2]:>22} {times:>6}")
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"machine": platform.platform(), "cores": os.cpu_count(), "fsync": True}
    cases = {case: [msgspec.structs.asdict(r) for r in results] for case, results in found.items()}
    RESULTS.write_text(json.dumps({**machine, "cases": cases}, indent=2) + "\n", encoding="utf-8")


def _spread(values: list[float]) -> str:
    digits = 0 if max(values) > 100 else 1
    middle = statistics.median(values)
    return " / ".join(f"{v:,.{digits}f}" for v in (min(values), middle, max(values)))


def _median(results: list[Result]) -> float:
    return statistics.median(result.per_second for result in results)


if __name__ == "__main__":
    main()
