"""A host over the real database: durable answers, one owner, nothing lost when it is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.kind import EntityKind
from actors.runtime.transport_local import LocalTransport
from domain.decision import Decision
from messages.errors import IdempotencyKeyReused, Invalid
from messages.keys import derive_key
from storage import placement
from storage.database import Pool


class Add(msgspec.Struct, frozen=True, tag=True):
    amount: int


class Read(msgspec.Struct, frozen=True, tag=True):
    pass


class Added(msgspec.Struct, frozen=True, tag=True):
    amount: int


class Total(msgspec.Struct, frozen=True):
    value: int = 0


class NotPositive(Invalid):
    """Only positive amounts are counted."""

    code = "test-not-positive"


class Counters(EntityKind[Total, Add | Read, Added]):
    name = "counters"
    stream = "counters"
    command_type = Add | Read
    event_type = Added
    state_type = Total
    answer_type = Total
    public = frozenset({Added})
    partitions = 8
    snapshot_every = 5

    def initial(self, entity_id: str) -> Total:
        return Total()

    def decide(self, state: Total, command: Add | Read, now_ms: int) -> Decision[Added]:
        if isinstance(command, Read):
            return Decision(answer=state)
        if command.amount <= 0:
            raise NotPositive
        return Decision((Added(command.amount),), Total(state.value + command.amount))

    def evolve(self, state: Total, event: Added) -> Total:
        return Total(state.value + event.amount)


class Rig:
    """Hosts by name on one database, and a handle that finds them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.transport = LocalTransport()
        self.handle = Handle(Counters(), self.transport, self._read)
        self.hosts: list[Host] = []

    async def _read(self, kind: str) -> Mapping[int, str]:
        return await placement.read(self.pool, kind)

    async def place(self, host: str) -> None:
        await placement.ensure(self.pool, "counters", dict.fromkeys(range(8), host))

    async def start(self, name: str) -> Host:
        host = Host(name, [Counters()], self.pool, lambda: 1_000)
        await host.start()
        self.transport.add(name, host)
        self.hosts.append(host)
        return host

    async def add(self, entity: str, amount: int, key: str) -> int:
        answer: Any = await self.handle.ask(entity, Add(amount), key=derive_key(key))
        return int(answer.value)

    async def close(self) -> None:
        await self.handle.close()
        for host in self.hosts:
            await host.stop()


@pytest.fixture
async def rig(pool: Pool) -> Any:
    rig = Rig(pool)
    await rig.place("a")
    yield rig
    await rig.close()


async def test_a_retry_gets_the_recorded_answer_and_changes_nothing(rig: Rig) -> None:
    await rig.start("a")
    assert await rig.add("x", 2, "k1") == 2
    assert await rig.add("x", 3, "k2") == 5
    assert await rig.add("x", 2, "k1") == 2
    total: Any = await rig.handle.ask("x", Read(), key=derive_key("r"))
    assert total.value == 5
    with pytest.raises(IdempotencyKeyReused):
        await rig.add("x", 7, "k1")
    with pytest.raises(NotPositive):
        await rig.add("x", 0, "k3")


async def test_nothing_acknowledged_is_lost_when_the_host_is_killed_under_load(rig: Rig) -> None:
    first = await rig.start("a")
    asked = [asyncio.create_task(rig.add(f"e{n % 17}", 1, f"load-{n}")) for n in range(400)]
    await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.wait(asked, timeout=0.02)
        rig.transport.kill("a")
        await first.abandon()
        first = await rig.start("a")
    await asyncio.gather(*asked)
    totals: list[Any] = [
        await rig.handle.ask(f"e{n}", Read(), key=derive_key("read", n)) for n in range(17)
    ]
    assert sum(total.value for total in totals) == 400
    published = await rig.pool.fetchval("select count(*) from bus.outbox")
    assert published == 400


async def test_of_two_owners_of_one_name_only_the_later_commits(rig: Rig) -> None:
    old = await rig.start("a")
    assert await rig.add("x", 1, "k1") == 1
    await rig.start("a")
    assert await rig.add("x", 1, "k2") == 2
    rig.transport.add("a", old)
    stale = asyncio.create_task(rig.add("x", 1, "k3"))
    await asyncio.wait([stale], timeout=0.3)
    journalled = await rig.pool.fetchval("select count(*) from runtime.journal")
    assert (stale.done(), journalled) == (False, 2)
    rig.transport.add("a", rig.hosts[1])
    assert await stale == 3
