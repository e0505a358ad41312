"""Durable timers: once, not before they are due, and neither crash nor move loses one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from actors.runtime.host import Host
from storage import journal, reminders
from storage.database import Pool
from tests.integration.runtime_kinds import Add, Added, Get, Hush, Rang
from tests.integration.runtime_support import (
    CALM,
    COUNTER,
    START_MS,
    World,
    answers,
    codes,
    counted,
    sent,
)

DUE = START_MS + 1_000
POLLING = replace(CALM, reminder_poll_ms=5)


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    made = World(pool, POLLING)
    await made.prepare()
    yield made
    await made.stop()


async def rung(world: World, entity_id: str = "a", times: int = 1) -> None:
    """Wait until timers of an entity have fired so many times."""
    async with asyncio.timeout(30):
        while sum(isinstance(e, Rang) for e in await world.journal(entity_id)) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def gone(world: World) -> None:
    """Wait until no timer is set."""
    async with asyncio.timeout(30):
        while await world.count("runtime.reminders"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def polls(host: Host, more: int = 3) -> None:
    """Let the host look for due timers a few times."""
    await asyncio.sleep(more * POLLING.reminder_poll_ms / 1000 + 0.02)


async def test_a_timer_fires_once_when_it_is_due(world: World) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(1, DUE)))
    await polls(host)
    assert await world.journal("a") == [Added(1)]
    world.clock.now_ms = DUE
    await rung(world)
    await gone(world)
    await polls(host)
    assert await world.journal("a") == [Added(1), Rang(DUE)]


async def test_a_timer_set_anew_replaces_the_earlier(world: World) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(1, DUE)), sent(Add(1, DUE + 5)))
    world.clock.now_ms = DUE + 4
    await polls(host)
    world.clock.now_ms = DUE + 5
    await rung(world)
    assert await world.journal("a") == [Added(1), Added(1), Rang(DUE + 5)]


@pytest.mark.parametrize("together", [True, False])
async def test_a_cancelled_timer_does_not_fire(world: World, together: bool) -> None:
    host = await world.start()
    commands = [sent(Add(1, DUE)), sent(Hush())]
    for group in [commands] if together else [[c] for c in commands]:
        assert set(codes(await answers(host, "counter", *group))) == {""}
    assert await world.count("runtime.reminders") == 0


@pytest.mark.parametrize("newer", [Hush(), Add(1, DUE + 7)])
@pytest.mark.parametrize("together", [True, False])
async def test_a_timer_that_was_changed_after_it_was_seen_due(
    world: World, monkeypatch: pytest.MonkeyPatch, newer: Any, together: bool
) -> None:
    """The poll has found it, but a command comes first: in the same batch, or in one before."""
    host = await world.start()
    await answers(host, "counter", sent(Add(1, DUE)))
    real, found, go_on = reminders.due, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any) -> list[reminders.Due]:
        due = await real(*arguments)
        if due:
            found.set()
            await go_on.wait()
        return due

    monkeypatch.setattr(reminders, "due", slow)
    world.clock.now_ms = DUE
    await found.wait()
    if together:
        go_on.set()
    await answers(host, "counter", sent(newer))
    go_on.set()
    await polls(host)
    assert not any(isinstance(event, Rang) for event in await world.journal("a"))
    if isinstance(newer, Add):
        world.clock.now_ms = DUE + 7
        await rung(world)
        assert (await world.journal("a"))[-1] == Rang(DUE + 7)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_while_a_timer_is_handled(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(1, DUE)))
    real, reached = journal.write, asyncio.Event()

    async def stuck(*arguments: Any) -> bool:
        if when == "after":
            await real(*arguments)
        reached.set()
        await asyncio.Event().wait()
        return True

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write", stuck)
        world.clock.now_ms = DUE
        await reached.wait()
        await world.kill()
    host = await world.start()
    await rung(world)
    await gone(world)
    await polls(host)
    assert await world.journal("a") == [Added(1), Rang(DUE)]


async def test_a_host_that_owns_nothing_yet_fires_what_is_placed_on_it(world: World) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(1, DUE)), sent(Add(1, DUE), "b"))
    await world.kill()
    await world.place(COUNTER, "h1")
    world.clock.now_ms = DUE
    await world.start("h1")
    await rung(world, "a")
    await rung(world, "b")


async def test_an_entity_that_fails_on_its_timer_is_asked_again_later(world: World) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(666, DUE)), sent(Add(1, DUE), "b"))
    world.clock.now_ms = DUE
    await rung(world, "b")
    async with asyncio.timeout(30):
        while not await world.pool.fetchval("select sum(failures) from runtime.reminders"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    row = await world.pool.fetchrow("select due_at_ms, not_before_ms from runtime.reminders")
    assert row is not None
    assert tuple(row) == (DUE, DUE + reminders.POSTPONE_FIRST_MS)
    await answers(host, "counter", sent(Add(1)))
    world.clock.now_ms = DUE + reminders.POSTPONE_FIRST_MS
    await rung(world)
    await gone(world)


async def test_more_timers_than_one_poll_takes(world: World) -> None:
    host = await world.start(limits=replace(POLLING, reminders_a_poll=7))
    await answers(host, "counter", *(sent(Add(1, DUE + n), f"e{n}") for n in range(30)))
    world.clock.now_ms = DUE + 30
    await gone(world)
    found = await answers(host, "counter", *(sent(Get(), f"e{n}") for n in range(30)))
    assert [counted(answer).rings for answer in found] == [(DUE + n,) for n in range(30)]


async def test_a_timer_that_is_postponed_while_it_is_forgotten_is_forgotten(world: World) -> None:
    (epoch,) = await world.pool.fetch(
        "update runtime.partitions set epoch = epoch + 1 where kind = $1 and partition = 0"
        " returning epoch",
        COUNTER.name,
    )
    epochs = {0: epoch["epoch"]}
    set_it = journal.Writes(remind={("a", "ring"): (0, DUE)})
    async with world.pool.acquire() as poller, world.pool.acquire() as owner:
        assert await journal.write(owner, COUNTER.name, epochs, START_MS, set_it)
        async with poller.transaction():
            await reminders.postpone(poller, COUNTER.name, [("a", "ring", DUE)], DUE)
            forget = journal.Writes(forget={("a", "ring"): None})
            async with owner.transaction():
                forgetting = asyncio.create_task(
                    journal.write(owner, COUNTER.name, epochs, START_MS, forget)
                )
                await asyncio.sleep(0.2)
                assert not forgetting.done()
                await poller.execute("commit")
                assert await forgetting
                await poller.execute("begin")
    assert await world.count("runtime.reminders") == 0
