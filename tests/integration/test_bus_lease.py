"""Leases on a real PostgreSQL: one holder, a standby that takes over, a holder that is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from messages.errors import Unavailable
from storage.bus_session import BusSession
from storage.database import Pool
from tests.integration.bus_support import make_event, write

KILL = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'vibestream bus session'"""


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[tuple[BusSession, BusSession]]:
    pair = BusSession(database_url), BusSession(database_url)
    for session in pair:
        session.start()
    yield pair
    for session in pair:
        await session.close()


async def test_one_holder_and_the_standby_follows(
    sessions: tuple[BusSession, BusSession],
) -> None:
    first, second = sessions
    order: list[str] = []
    let_go = asyncio.Event()
    held = asyncio.Event()

    async def hold() -> None:
        async with first.lease("x"):
            order.append("first")
            held.set()
            await let_go.wait()
            order.append("first leaves")

    async def stand_by() -> None:
        async with second.lease("x"):
            order.append("second")

    holding = asyncio.create_task(hold())
    await held.wait()
    waiting = asyncio.create_task(stand_by())
    async with second.lease("y"):  # another name is free; by now "x" was asked for as well
        assert order == ["first"]
    let_go.set()
    await asyncio.wait_for(asyncio.gather(holding, waiting), 30)
    assert order == ["first", "first leaves", "second"]


async def test_a_holder_whose_connection_dies_is_cancelled_and_may_come_back(
    sessions: tuple[BusSession, BusSession], pool: Pool
) -> None:
    session, _ = sessions
    was_cancelled = False

    async def hold_for_ever() -> None:
        nonlocal was_cancelled
        async with session.lease("x"):
            try:
                await pool.execute(KILL)
                await asyncio.wait_for(asyncio.Event().wait(), 30)
            except asyncio.CancelledError:
                was_cancelled = True
                raise

    with pytest.raises(Unavailable):
        await hold_for_ever()
    assert was_cancelled
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(30), session.lease("x"):
        pass


async def test_giving_up_the_wait_leaves_no_lock_behind(
    sessions: tuple[BusSession, BusSession],
) -> None:
    first, second = sessions
    async with first.lease("x"):
        waiting = asyncio.create_task(second.lease("x").__aenter__())
        async with second.lease("y"):
            pass
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(30), first.lease("x"):
        pass


async def test_giving_up_while_the_answer_is_on_its_way_leaves_no_lock_behind(
    sessions: tuple[BusSession, BusSession],
) -> None:
    first, second = sessions
    async with second.lease("connected"):
        pass
    for turns in range(60):
        lease = second.lease(f"x{turns}")
        entering = asyncio.create_task(lease.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        await second.give_up(lease)
    for turns in range(60):
        async with asyncio.timeout(30), first.lease(f"x{turns}"):
            pass


async def test_an_append_wakes_those_who_follow_the_stream(
    sessions: tuple[BusSession, BusSession], pool: Pool
) -> None:
    session, _ = sessions
    with session.wakes("rewards") as mine, session.wakes("other") as foreign:
        async with session.lease("connected"):
            mine.clear()
            foreign.clear()
            await write(pool, make_event())
            await asyncio.wait_for(mine.wait(), 30)
            assert not foreign.is_set()
