"""The market on the real runtime, ledger and stores; time by hand."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import msgspec

from actors.market import MarketKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.limits import Limits
from actors.runtime.metrics import HandleMetrics
from actors.runtime.placement import assign
from actors.runtime.transport_local import LocalTransport
from deployments.commands import issues_verified
from domain.policy import MarketPolicy
from messages.keys import derive_key
from messages.ledger import transfer
from messages.market import ActivateIssue
from messages.market.accounts import available, treasury
from storage import ledger, placement
from storage.database import Pool, open_pool
from tests.unit.market_entities import ISSUE, draft
from tests.unit.rewards_entities import T0

LIMITS = Limits(reminder_poll_ms=20)
READ_ALL = """
select stream, type, entity_id, channels, body from bus.outbox order by xid, id"""


@dataclass
class MarketWorld:
    """A host of the market, and a handle to it."""

    pool: Pool
    transport: LocalTransport
    handle: Handle
    kind: MarketKind
    host: Host = None  # type: ignore[assignment]
    now_ms: int = T0
    keys: Any = field(default_factory=itertools.count)
    limits: Limits = LIMITS

    def clock(self) -> int:
        return self.now_ms

    async def ask(self, command: Any, issue_id: str = ISSUE, key: bytes | None = None) -> Any:
        made = key or derive_key("test", next(self.keys))
        return await self.handle.ask(issue_id, command, key=made)

    async def start(self) -> None:
        self.host = Host("host", [self.kind], self.pool, self.clock, self.limits)
        await self.host.start()
        self.transport.add("host", self.host)

    async def restart_host(self) -> None:
        """The host dies with all its memory; another takes over under its name."""
        self.transport.kill("host")
        await self.host.abandon()
        await self.start()

    async def issue(self, **changes: Any) -> None:
        """An active issue."""
        await self.ask(draft(**changes))
        await self.ask(ActivateIssue())

    async def fund(self, *users: str, amount_minor: int = 10**6, currency: str = "EUR") -> None:
        """Give users cash."""
        source = treasury(currency)
        moved = [
            transfer(
                derive_key("fund", next(self.keys)),
                source,
                available(user_id, currency),
                amount_minor,
                cause="test",
                purpose="test",
            )
            for user_id in users
        ]
        async with self.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, moved, self.now_ms)

    async def balances(self, *codes: str) -> list[int]:
        async with self.pool.acquire() as connection:
            held = await ledger.balances(connection, codes)
        return [held[code] for code in codes]

    async def events(self) -> list[tuple[asyncpg.Record, Any]]:
        """All that was published, with its body decoded."""
        rows = await self.pool.fetch(READ_ALL)
        return [(row, msgspec.json.decode(row["body"])) for row in rows]

    async def verify(self) -> None:
        """The ledger is in balance, and holdings and distributions are what it says."""
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []
            assert await issues_verified.differences(connection) == []


@asynccontextmanager
async def open_market(database_url: str) -> AsyncIterator[MarketWorld]:
    pool = await open_pool(database_url, max_size=12)
    kind = MarketKind(MarketPolicy())
    await placement.ensure(pool, kind.name, assign(kind.name, kind.partitions, ["host"]))
    transport = LocalTransport()
    reader = partial(placement.read, pool)
    handle = Handle(kind, transport, reader, metrics=HandleMetrics())
    world = MarketWorld(pool, transport, handle, kind)
    await world.start()
    try:
        yield world
    finally:
        await handle.close()
        await world.host.stop()
        await pool.close()
