"""Two usual ways to do without the bus's care, for `benchmarks/bus.py`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg
import redis.asyncio as redis_asyncio

KEY = "peer"
PEER_SCHEMA = """
create schema peer;
create table peer.outbox (
    id bigint generated always as identity primary key, event_id uuid not null, body text not null);
create table peer.inbox (event_id uuid primary key);"""
INSERT = """
insert into peer.outbox (event_id, body) select * from unnest($1::uuid[], $2::text[])"""
TAKE = """
delete from peer.outbox where id in (
    select id from peer.outbox order by id limit $1 for update skip locked)
returning id, event_id::text, body"""
REMEMBER = """
insert into peer.inbox select unnest($1::uuid[]) on conflict do nothing returning event_id::text"""

Note = Callable[[Sequence[str]], None]


class DeletePeer:
    """`DELETE … SKIP LOCKED RETURNING`, XADD, commit; an inbox row per event."""

    def __init__(self, postgres_url: str, redis_url: str, note: Note, batch: int) -> None:
        self._urls = postgres_url, redis_url
        self._note = note
        self._batch = batch

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Relay and consume until the block ends."""
        redis = redis_asyncio.Redis.from_url(self._urls[1], protocol=2, socket_timeout=None)
        await redis.delete(KEY)
        await redis.xgroup_create(KEY, "g", "0", mkstream=True)
        tasks = [asyncio.create_task(self._relay(redis)), asyncio.create_task(self._consume(redis))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await redis.aclose()

    async def _relay(self, redis: Any) -> None:
        connection = await asyncpg.connect(self._urls[0])
        while True:
            async with connection.transaction():
                rows = sorted(tuple(row) for row in await connection.fetch(TAKE, self._batch))
                if rows:
                    pipeline = redis.pipeline(transaction=False)
                    for _, event_id, body in rows:
                        pipeline.xadd(KEY, {"i": event_id, "e": body})
                    await pipeline.execute()
            if not rows:
                await asyncio.sleep(0.002)

    async def _consume(self, redis: Any) -> None:
        connection = await asyncpg.connect(self._urls[0])
        while True:
            answer = await redis.xreadgroup("g", "c", {KEY: ">"}, count=self._batch, block=1000)
            for _, entries in answer or ():
                bodies = {fields[b"i"].decode(): fields[b"e"].decode() for _, fields in entries}
                async with connection.transaction():
                    fresh = await connection.fetch(REMEMBER, list(bodies))
                    self._note([bodies[event_id] for (event_id,) in fresh])
                await redis.xack(KEY, "g", *(entry_id for entry_id, _ in entries))
