"""Two other ways to post transfers, for `benchmarks/ledger.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence

import asyncpg

from domain.ledger import Verdict
from messages.ledger import LedgerTransaction, transfer
from storage import ledger
from storage.database import Pool

MAX_BATCH = 200
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

Draw = Callable[[], tuple[str, str]]  # the two owners of a transfer
Clock = Callable[[], int]


class BatchingLoop:
    """The least that commits in groups: what waits is posted as one transaction, then answered."""

    def __init__(self, pool: Pool, codes: dict[str, str], draw: Draw, clock: Clock) -> None:
        self._pool, self._codes, self._draw, self._clock = pool, codes, draw, clock
        self._waiting: list[tuple[LedgerTransaction, asyncio.Future[Verdict]]] = []
        self._arrived = asyncio.Event()

    async def transfer(self, caller: int) -> None:
        """One caller's transfer; returns when it is committed."""
        source, target = (self._codes[owner] for owner in self._draw())
        cause = f"bench:{caller}"
        request = transfer(os.urandom(16), source, target, 5, cause=cause, purpose="listen-reward")
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._arrived.set()
        assert await answer is Verdict.APPLIED

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Post until the block ends."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        async with self._pool.acquire() as connection:
            while await self._arrived.wait():
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                if not self._waiting:
                    self._arrived.clear()
                async with connection.transaction():
                    requests = [request for request, _ in batch]
                    verdicts = await ledger.post(connection, requests, self._clock())
                for (_, answer), verdict in zip(batch, verdicts, strict=True):
                    answer.set_result(verdict)


class NaivePath:
    """A transaction per transfer, a connection per caller."""

    def __init__(
        self,
        connections: Sequence[asyncpg.Connection[asyncpg.Record]],
        ids: dict[str, int],
        draw: Draw,
        clock: Clock,
    ) -> None:
        self._connections, self._ids, self._draw, self._clock = connections, ids, draw, clock

    async def transfer(self, caller: int) -> None:
        """One transfer on the caller's connection."""
        connection = self._connections[caller]
        source, target = (self._ids[owner] for owner in self._draw())
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
                *(os.urandom(16), f"bench:{caller}", "listen-reward", self._clock()),
            )
            await connection.execute(
                "insert into peer.postings values ($1, 1, $2, -5), ($1, 2, $3, 5)",
                *(transaction_id, source, target),
            )
            update = "update peer.accounts set balance = balance + $2 where id = $1"
            await connection.execute(update, source, -5)
            await connection.execute(update, target, 5)
