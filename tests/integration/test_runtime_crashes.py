"""Whatever breaks at whatever point of a batch: once, or not at all, and never unknown for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from actors.runtime import funds
from actors.runtime.lane import Lane
from messages.envelope import CommandEnvelope
from storage import journal, outbox
from tests.integration.runtime_kinds import Add, Added, Fund, Funded, Paid, Pay, purse
from tests.integration.runtime_support import (
    TILLS,
    World,
    answers,
    codes,
    counted,
    sent,
    until,
)

POINTS = {
    "looking up": (journal, "look_up"),
    "loading": (journal, "load"),
    "reserving": (funds, "affordable"),
    "writing": (journal, "write"),
    "events": (outbox, "append"),
    "projecting": (type(TILLS), "project"),
    "posting": (funds, "post"),
    "committing": (Lane, "_commit"),
}


@asynccontextmanager
async def broken(
    patching: pytest.MonkeyPatch, point: str, when: str, fail: Callable[[], Any]
) -> AsyncIterator[asyncio.Event]:
    """The next time that the point is reached, `fail` happens before or after it."""
    owner, name = POINTS[point]
    real, reached = getattr(owner, name), asyncio.Event()

    async def instead(*arguments: Any, **named: Any) -> Any:
        if reached.is_set():
            return await real(*arguments, **named)
        if when == "before":
            reached.set()
            await fail()
        result = await real(*arguments, **named)
        reached.set()
        if when == "after":
            await fail()
        return result

    with patching.context() as patch:
        patch.setattr(owner, name, instead)
        yield reached


async def connection_lost() -> None:
    raise asyncpg.ConnectionDoesNotExistError("the server closed the connection")


async def deadlock() -> None:
    raise asyncpg.DeadlockDetectedError("deadlock detected")


async def never() -> None:
    await asyncio.Event().wait()


def story() -> list[CommandEnvelope]:
    """Four commands of two tills; the last cannot be paid."""
    return [
        sent(Fund("f1", 100)),
        sent(Pay("p1", "b", 30, checked=False)),
        sent(Fund("f2", 5), "b"),
        sent(Pay("p2", "a", 1_000), "b"),
    ]


async def check(world: World) -> None:
    """The story happened once."""
    assert await world.journal("a") == [Funded("f1", 100), Paid("p1", "b", 30)]
    assert await world.journal("b") == [Funded("f2", 5)]
    assert await world.balance(purse("a")) == 70
    assert await world.balance(purse("b")) == 35
    assert await world.count("bus.outbox") == 1
    assert await world.count("public.payments") == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_the_connection_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, point: str, when: str
) -> None:
    """The caller does not notice: the batch runs again, and finds what it recorded, if it did."""
    host = await world.start()
    async with broken(monkeypatch, point, when, connection_lost) as reached:
        found = await answers(host, "till", *story())
    assert reached.is_set()
    assert codes(found) == ["", "", "", "insufficient-funds"]
    await check(world)


@pytest.mark.parametrize("point", ["writing", "posting"])
async def test_a_deadlock(world: World, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    host = await world.start()
    async with broken(monkeypatch, point, "after", deadlock) as reached:
        found = await answers(host, "till", *story())
    assert reached.is_set()
    assert codes(found) == ["", "", "", "insufficient-funds"]
    await check(world)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
async def test_the_process_dies(
    world: World, monkeypatch: pytest.MonkeyPatch, point: str, when: str
) -> None:
    """Its callers ask the next process, with the same keys."""
    host = await world.start()
    commands = story()
    async with broken(monkeypatch, point, when, never) as reached:
        lost = asyncio.create_task(answers(host, "till", *commands))
        await reached.wait()
        assert not lost.done()
        await world.kill()
        lost.cancel()
    host = await world.start()
    found = await answers(host, "till", *commands)
    assert codes(found) == ["", "", "", "insufficient-funds"]
    assert await answers(host, "till", *commands) == found
    await check(world)


async def test_a_key_that_another_recorded_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up did not see it; the unique key does."""
    host = await world.start()
    add = sent(Add(1))
    await answers(host, "counter", add)
    real, blind = journal.look_up, [True]

    async def blinded(*arguments: Any) -> Any:
        found = await real(*arguments)
        return found._replace(recorded={}) if blind and blind.pop() else found

    monkeypatch.setattr(journal, "look_up", blinded)
    again, other = await answers(host, "counter", add, sent(Add(1)))
    assert (counted(again).count, counted(other).count) == (1, 2)
    assert await world.journal("a") == [Added(1), Added(1)]


async def test_memory_that_is_behind_the_journal_is_dropped(world: World) -> None:
    """It cannot happen with the fence; if it ever did, the primary key would not let it pass."""
    host = await world.start()
    await answers(host, "counter", sent(Add(1)))
    await world.pool.execute(
        "insert into runtime.journal select kind, entity_id, 2, partition, at_ms, fingerprint,"
        " '\\xff', answer, events from runtime.journal"
    )
    assert counted((await answers(host, "counter", sent(Add(1))))[0]).count == 3


async def test_a_statement_that_outlives_its_connection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is still committing what the host gave up: the second attempt waits for it."""
    host = await world.start()
    gate = await world.pool.acquire()
    await gate.execute("select pg_advisory_lock(7)")
    await world.pool.execute(
        "create function public.wait() returns trigger language plpgsql as"
        " $$ begin perform pg_advisory_lock_shared(7); return null; end $$"
    )
    await world.pool.execute(
        "create trigger wait after insert on runtime.journal"
        " for each statement execute function public.wait()"
    )
    real, first = journal.write, [True]
    orphans: list[asyncio.Task[bool]] = []

    async def give_up(connection: Any, *arguments: Any) -> bool:
        if not first:
            return bool(await real(connection, *arguments))
        first.clear()
        own = await asyncpg.connect(**_address(world.pool))
        orphans.append(asyncio.create_task(real(own, *arguments)))
        orphans[0].add_done_callback(lambda _: own.terminate())
        while not await gate.fetchval(  # noqa: ASYNC110
            "select count(*) from pg_locks where not granted"
        ):
            await asyncio.sleep(0.005)
        raise TimeoutError

    monkeypatch.setattr(journal, "write", give_up)
    asked = asyncio.create_task(answers(host, "counter", sent(Add(1))))
    await until(lambda: bool(orphans))
    await asyncio.wait({asked}, timeout=0.2)
    assert not asked.done()
    await gate.execute("select pg_advisory_unlock(7)")
    assert counted((await asked)[0]).count == 1
    assert await orphans[0]
    assert await world.journal("a") == [Added(1)]
    await world.pool.release(gate)


def _address(pool: Any) -> dict[str, Any]:
    arguments, named = pool._connect_args, pool._connect_kwargs
    return {"dsn": arguments[0], **{k: v for k, v in named.items() if k == "server_settings"}}
