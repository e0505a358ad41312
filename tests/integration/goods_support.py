"""Drops and ventures on the real runtime, ledger and stores; time by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import msgspec

from actors.drops import DropsKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.kind import EntityKind
from actors.runtime.limits import Limits
from actors.runtime.metrics import HandleMetrics
from actors.runtime.placement import assign
from actors.runtime.transport_local import LocalTransport
from actors.ventures import VenturesKind
from deployments.commands import goods_verified
from domain.drops.policy import DropPolicy
from domain.ventures.policy import VenturePolicy
from messages.drops.drops import ActivateDrop
from messages.keys import derive_key
from messages.ledger import transfer
from messages.ventures.ventures import OpenRound
from storage import ledger, placement
from storage.database import Pool, open_pool
from tests.unit import drops_entities, ventures_entities
from tests.unit.drops_entities import DROP
from tests.unit.goods_entities import TREASURY
from tests.unit.rewards_entities import T0
from tests.unit.ventures_entities import VENTURE

READ_ALL = "select stream, type, entity_id, channels, body from bus.outbox order by xid, id"


@dataclass
class GoodsWorld:
    """A host of drops and ventures, and handles to them."""

    pool: Pool
    transport: LocalTransport
    handles: Mapping[str, Handle]
    kinds: list[EntityKind[Any, Any, Any]]
    host: Host = None  # type: ignore[assignment]
    now_ms: int = T0
    keys: Any = field(default_factory=itertools.count)
    limits: Limits = field(default_factory=lambda: Limits(reminder_poll_ms=20))

    def clock(self) -> int:
        return self.now_ms

    async def drop(self, command: Any, key: bytes | None = None, drop_id: str = DROP) -> Any:
        return await self.handles["drops"].ask(drop_id, command, key=key or self.new_key())

    async def venture(
        self, command: Any, key: bytes | None = None, venture_id: str = VENTURE
    ) -> Any:
        return await self.handles["ventures"].ask(venture_id, command, key=key or self.new_key())

    def new_key(self) -> bytes:
        return derive_key("test", next(self.keys))

    async def start(self) -> None:
        self.host = Host("host", self.kinds, self.pool, self.clock, self.limits)
        await self.host.start()
        self.transport.add("host", self.host)

    async def restart_host(self) -> None:
        """The host dies with all its memory; another takes over under its name."""
        self.transport.kill("host")
        await self.host.abandon()
        await self.start()

    async def until(self, holds: Callable[[Any], bool], ask: Callable[[], Awaitable[Any]]) -> Any:
        """The first answer for which something holds; time passes and timers work meanwhile."""
        for _ in range(1_000):
            answer = await ask()
            if holds(answer):
                return answer
            await asyncio.sleep(0.02)
            self.now_ms += 1
        raise AssertionError(f"it never came to that: {answer}")

    async def open_drop(self, **changes: Any) -> None:
        """An active drop."""
        await self.drop(drops_entities.draft(**changes))
        await self.drop(ActivateDrop())

    async def open_round(self, **changes: Any) -> None:
        """An open venture."""
        await self.venture(ventures_entities.draft(**changes))
        await self.venture(OpenRound())

    async def fund(self, *users: str, amount_minor: int = 10**6) -> None:
        """Give users cash."""
        moved = [
            transfer(
                self.new_key(),
                TREASURY,
                f"user:{user_id}:available/USD",
                amount_minor,
                cause="test",
                purpose="test",
            )
            for user_id in users
        ]
        async with self.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, moved, self.now_ms)

    async def take(self, user_id: str, amount_minor: int) -> None:
        """A user spends cash elsewhere."""
        source = f"user:{user_id}:available/USD"
        moved = transfer(
            self.new_key(), source, TREASURY, amount_minor, cause="test", purpose="test"
        )
        async with self.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, [moved], self.now_ms)

    async def balances(self, *codes: str) -> list[int]:
        async with self.pool.acquire() as connection:
            held = await ledger.balances(connection, codes)
        return [held[code] for code in codes]

    async def events(self) -> list[tuple[asyncpg.Record, Any]]:
        """All that was published, with its body decoded."""
        rows = await self.pool.fetch(READ_ALL)
        return [(row, msgspec.json.decode(row["body"])) for row in rows]

    async def verify(self) -> None:
        """The ledger is in balance; tokens and escrow are what it says."""
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []
            assert await goods_verified.differences(connection) == []


@asynccontextmanager
async def open_goods(
    database_url: str, ventures: VenturePolicy = ventures_entities.POLICY
) -> AsyncIterator[GoodsWorld]:
    pool = await open_pool(database_url, max_size=12)
    kinds: list[EntityKind[Any, Any, Any]] = [DropsKind(DropPolicy()), VenturesKind(ventures)]
    transport = LocalTransport()
    reader = partial(placement.read, pool)
    handles = {}
    for kind in kinds:
        await placement.ensure(pool, kind.name, assign(kind.name, kind.partitions, ["host"]))
        handles[kind.name] = Handle(kind, transport, reader, metrics=HandleMetrics())
    world = GoodsWorld(pool, transport, handles, kinds)
    await world.start()
    try:
        yield world
    finally:
        for handle in handles.values():
            await handle.close()
        await world.host.stop()
        await pool.close()
