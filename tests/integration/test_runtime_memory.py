"""Entities leave memory and come back the same, from the snapshot and what follows it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from actors.runtime.codec import Health
from actors.runtime.host import Host
from storage.journal import KEY_RETENTION_MS, trim_journal
from tests.integration.runtime_kinds import Add, Fund, Get, Pay
from tests.integration.runtime_support import (
    CALM,
    START_MS,
    World,
    answers,
    codes,
    counted,
    sent,
    until,
)


async def in_memory(host: Host) -> int:
    return msgspec.msgpack.decode(await host.health(), type=Health).entities


async def add(host: Host, times: int, entity_id: str = "a") -> None:
    """Count up, a command a batch."""
    for _ in range(times):
        await answers(host, "counter", sent(Add(1), entity_id))


async def snapshot(world: World, entity_id: str = "a") -> int:
    """The sequence of the entity's snapshot; 0 if it has none."""
    query = "select sequence from runtime.snapshots where entity_id = $1"
    return int(await world.pool.fetchval(query, entity_id) or 0)


async def test_a_snapshot_every_so_many_events(world: World) -> None:
    host = await world.start()
    await add(host, 9)
    assert await snapshot(world) == 0
    await add(host, 1)
    assert await snapshot(world) == 10
    await answers(host, "counter", *(sent(Add(1)) for _ in range(25)))
    assert await snapshot(world) == 35


@pytest.mark.parametrize("events", [0, 1, 9, 10, 11, 37])
async def test_what_is_rebuilt_equals_what_was_in_memory(world: World, events: int) -> None:
    host = await world.start()
    for _ in range(events):
        await answers(host, "counter", sent(Add(3)), sent(Add(-1)))
        await answers(host, "till", sent(Fund(f"f{_}", 10)))
        await answers(host, "till", sent(Pay(f"p{_}", "b", 4)))
    query = sent(Get())
    before = await answers(host, "counter", query)
    tills = await answers(host, "till", sent(Fund("last", 1)))
    host = await world.restart()
    assert await answers(host, "counter", query) == before
    assert counted(before[0]).count == 2 * events
    await world.pool.execute("delete from runtime.snapshots")
    host = await world.restart()
    assert await answers(host, "counter", query) == before
    assert codes(tills) == [""]


async def test_idle_entities_leave_and_come_back(world: World) -> None:
    host = await world.start(limits=replace(CALM, sweep_ms=5, idle_ms=1_000))
    await add(host, 3)
    await add(host, 3, "b")
    assert await in_memory(host) == 2
    world.clock.now_ms += 999
    await add(host, 1, "b")
    world.clock.now_ms += 1
    await until(lambda: _live(host) == 1)
    found = await answers(host, "counter", sent(Get()), sent(Get(), "b"))
    assert [counted(answer).count for answer in found] == [3, 4]
    assert b'entities_passivated_total{kind="counter"} 1.0' in await host.scrape()


async def test_the_least_recently_used_leave_when_there_are_too_many(world: World) -> None:
    host = await world.start(limits=replace(CALM, entities=3))
    for name in "abcde":
        await add(host, 1, name)
    await until(lambda: _live(host) == 3)
    loads = b'entity_loads_total{kind="counter"} '
    assert loads + b"5.0" in await host.scrape()
    await answers(host, "counter", *(sent(Get(), name) for name in "cde"))
    assert loads + b"5.0" in await host.scrape()
    assert counted((await answers(host, "counter", sent(Get())))[0]).count == 1
    assert loads + b"6.0" in await host.scrape()


async def test_a_leaving_entity_is_snapshotted_if_that_saves_work(world: World) -> None:
    few = replace(CALM, sweep_ms=5, idle_ms=1, passivation_snapshot_events=4)
    host = await world.start(limits=few)
    await add(host, 4)
    await add(host, 3, "b")
    world.clock.now_ms += 1
    await until(lambda: _live(host) == 0)
    assert (await snapshot(world), await snapshot(world, "b")) == (4, 0)
    await add(host, 1)
    found = await answers(host, "counter", sent(Get()), sent(Get(), "b"))
    assert [counted(answer).count for answer in found] == [5, 3]


async def test_a_fenced_owner_writes_no_snapshot(world: World) -> None:
    few = replace(CALM, sweep_ms=5, idle_ms=1, passivation_snapshot_events=1)
    host = await world.start(limits=few)
    await add(host, 1)
    await world.pool.execute("update runtime.partitions set epoch = epoch + 1, host = 'h1'")
    world.clock.now_ms += 1
    await until(lambda: _live(host) == 0)
    assert await snapshot(world) == 0


async def test_trimming_leaves_what_recovery_and_retries_need(world: World) -> None:
    host = await world.start()
    first, late = sent(Add(1)), sent(Add(1))
    await answers(host, "counter", first)
    await add(host, 10)  # the snapshot is at 10 or 11 now
    await add(host, 5, "b")  # and b has none
    world.clock.now_ms += KEY_RETENTION_MS
    await answers(host, "counter", late)
    assert await trim_journal(world.pool, world.clock()) == 0  # exactly as old as may be kept
    assert await trim_journal(world.pool, world.clock() + 1, chunk=3) == 10
    host = await world.restart()
    found = await answers(host, "counter", sent(Get()), sent(Get(), "b"), late)
    assert [counted(answer).count for answer in found] == [12, 5, 12]
    assert counted((await answers(host, "counter", first))[0]).count == 13  # forgotten by now
    assert world.clock() > START_MS


@pytest.mark.parametrize(
    "damage",
    [
        "delete from runtime.journal where sequence = 2 and entity_id = 'a'",
        "update runtime.journal set events = '\\xc1' where sequence = 2 and entity_id = 'a'",
        "update runtime.snapshots set state = '\\xc1' where entity_id = 'a'",
    ],
)
async def test_an_entity_that_cannot_be_rebuilt_fails_alone(world: World, damage: str) -> None:
    host = await world.start()
    await add(host, 10 if "snapshots" in damage else 3)
    await add(host, 3, "b")
    await world.kill()
    await world.pool.execute(damage)
    host = await world.start()
    found = await answers(host, "counter", sent(Get()), sent(Add(1)), sent(Add(1), "b"))
    assert codes(found) == ["internal", "internal", ""]
    assert counted(found[2]).count == 4


def _live(host: Host) -> int:
    return sum(lane.entities for lanes in host._lanes.values() for lane in lanes)
