"""What the tests of the runtime share: a clock, hosts that can be killed, looks at the tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec

from actors.runtime.codec import decode_answers, encode
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.kind import EntityKind
from actors.runtime.limits import HandleLimits, Limits
from actors.runtime.transport_local import LocalTransport
from messages.envelope import Answer, CommandEnvelope
from messages.keys import derive_key, partition_of
from storage import ledger, placement
from storage.database import Pool
from tests.integration.runtime_kinds import PAYMENTS, Count, Counter, Till, Tills

START_MS = 1_767_225_600_000
COUNTER, TILLS = Counter(), Tills()
# Nothing happens by itself in a quarter of a second unless the test is about it.
CALM = Limits(
    sweep_ms=3_600_000, reminder_poll_ms=3_600_000, backoff_first_ms=1, retry_for_ms=8_000
)
PATIENT = HandleLimits(ask_ms=20_000, backoff_first_ms=2, backoff_most_ms=20)
_keys = count()


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


class World:
    """Hosts on one database, and a transport to them."""

    def __init__(self, pool: Pool, limits: Limits = CALM) -> None:
        self.pool = pool
        self.limits = limits
        self.clock = Clock()
        self.transport = LocalTransport()
        self.hosts: dict[str, Host] = {}
        self._all: list[Host] = []
        self._handles: list[Handle] = []

    async def prepare(self, host: str = "h0") -> None:
        """Place every partition on one host."""
        await self.pool.execute(PAYMENTS)
        for kind in (COUNTER, TILLS):
            where = dict.fromkeys(range(kind.partitions), host)
            await placement.ensure(self.pool, kind.name, where)

    async def start(
        self,
        name: str = "h0",
        limits: Limits | None = None,
        kinds: Sequence[EntityKind[Any, Any, Any]] = (COUNTER, TILLS),
    ) -> Host:
        """A new process of that name. The one before, if any, lives on unreachable."""
        host = Host(name, kinds, self.pool, self.clock, limits or self.limits)
        await host.start()
        if name in self.hosts:
            self.transport.kill(name)
        self.hosts[name] = host
        self._all.append(host)
        self.transport.add(name, host)
        return host

    async def kill(self, name: str = "h0") -> None:
        """kill -9: nobody hears from it any more."""
        self.transport.kill(name)
        await self.hosts.pop(name).abandon()

    async def restart(self, name: str = "h0") -> Host:
        """Kill it, and start another of the same name."""
        await self.kill(name)
        return await self.start(name)

    def handle(
        self, kind: EntityKind[Any, Any, Any] = COUNTER, limits: HandleLimits = PATIENT
    ) -> Handle:
        """A caller in a process of its own."""

        async def read(name: str) -> dict[int, str]:
            return await placement.read(self.pool, name)

        made = Handle(kind, self.transport, read, limits)
        self._handles.append(made)
        return made

    async def stop(self) -> None:
        """End everything, living or left for dead."""
        for handle in self._handles:
            await handle.close()
        for host in self._all:
            await host.abandon()

    async def place(self, kind: EntityKind[Any, Any, Any], host: str, *partitions: int) -> None:
        """Move partitions (all of them if none is named) to a host."""
        wanted = dict.fromkeys(partitions or range(kind.partitions), host)
        await placement.move(self.pool, kind.name, wanted, self.clock())

    # --- what was written -------------------------------------------------------------------------

    async def journal(self, entity_id: str) -> list[Any]:
        """The entity's recorded events, in order."""
        rows = await self.pool.fetch(
            "select kind, events from runtime.journal where entity_id = $1 order by sequence",
            entity_id,
        )
        events: list[Any] = []
        for kind, body in rows:
            of = COUNTER if kind == "counter" else TILLS
            events += msgspec.msgpack.decode(body, type=list[of.event_type])  # type: ignore[name-defined]
        return events

    async def balance(self, code: str) -> int:
        """What an account holds, in a ledger that verifies."""
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []
            return (await ledger.balances(connection, [code]))[code]

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(await self.pool.fetchval(f"select count(*) from {table}"))


def key(*parts: str | int) -> bytes:
    """A key made of words, or one that was never used."""
    return derive_key("test", *(parts or (next(_keys),)))


def sent(command: Any, entity_id: str = "a", own_key: bytes | None = None) -> CommandEnvelope:
    """A command on its way."""
    return CommandEnvelope(own_key or key(), entity_id, encode(command))


async def answers(host: Host, kind: str, *envelopes: CommandEnvelope) -> list[Answer]:
    """What a host says to commands that come in one call."""
    return decode_answers(await host.call(encode((kind, list(envelopes)))))


def counted(answer: Answer) -> Count:
    """The count in an answer that is no error."""
    assert answer.code == "", answer
    return msgspec.msgpack.decode(answer.body, type=Count)


def till_of(answer: Answer) -> Till:
    """The till in an answer that is no error."""
    assert answer.code == "", answer
    return msgspec.msgpack.decode(answer.body, type=Till)


def codes(found: Sequence[Answer]) -> list[str]:
    """The outcome of each; empty for success."""
    return [answer.code for answer in found]


def elsewhere(entity_id: str, partitions: int = 8) -> str:
    """An entity id in another partition than this one's."""
    home = partition_of(entity_id, partitions)
    return next(name for n in count() if partition_of(name := f"x{n}", partitions) != home)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
