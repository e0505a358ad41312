"""Handles and hosts together: load, kills, moves, and a supervisor that sees to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from actors.runtime.limits import HandleLimits, SupervisorLimits
from actors.runtime.supervisor import Plan, Supervisor
from messages.errors import InsufficientFunds, Overloaded, Unavailable
from storage import placement
from storage.database import Pool, open_pool
from storage.placement import Incident
from tests.integration.runtime_kinds import Add, Added, Count, Fund, Get, Pay, purse
from tests.integration.runtime_support import CALM, COUNTER, TILLS, World, key, until

LIMITS = SupervisorLimits(lost_after_ms=5_000, trust_after_ms=2_000, health_ms=200)
PLAN = Plan({"counter": ("h0", "h1"), "till": ("h0", "h1")}, {"counter": 8, "till": 8})


@pytest.fixture
async def world(pool: Pool, database_url: str) -> AsyncIterator[World]:
    # Two hosts of two kinds, killed and made anew, beside the test's own statements.
    larger = await open_pool(database_url, max_size=16)
    made = World(larger)
    await made.prepare()
    yield made
    await made.stop()
    await larger.close()


@pytest.fixture
async def supervisor(world: World) -> AsyncIterator[Supervisor]:
    made = Supervisor(PLAN, world.pool, world.transport, world.clock, LIMITS)
    yield made
    await made.stop()


async def where(world: World, kind: str = "counter") -> set[str]:
    """The hosts that partitions are placed on."""
    return set((await placement.read(world.pool, kind)).values())


async def test_many_callers_share_few_calls(world: World) -> None:
    await world.start()
    handle = world.handle()
    found = await asyncio.gather(
        *(handle.ask(f"e{n % 10}", Add(1), key=key()) for n in range(2_000))
    )
    assert sorted(f.count for f in found) == sorted([*range(1, 201)] * 10)
    assert world.transport.calls <= 10


async def test_refusals_come_as_errors(world: World) -> None:
    await world.start()
    with pytest.raises(InsufficientFunds):
        await world.handle(TILLS).ask("a", Pay("p", "b", 1), key=key())


async def test_an_overloaded_host_says_so(world: World) -> None:
    await world.start(limits=replace(CALM, mailbox_commands=5))
    handle = world.handle()
    asks = (handle.ask("a", Add(1), key=key()) for _ in range(20))
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(o) for o in outcomes] == [Count] * 5 + [Overloaded] * 15
    assert await world.journal("a") == [Added(1)] * 5


async def test_a_killed_host_is_not_noticed_by_its_callers(world: World) -> None:
    """Seeded kills under load: every command happens once, in the order its caller asked."""
    await world.start()
    chance, handle, tills = random.Random(42), world.handle(), world.handle(TILLS)
    stopped = asyncio.Event()

    async def kill() -> None:
        for _ in range(12):
            await asyncio.sleep(chance.uniform(0.001, 0.04))
            await world.restart()
        stopped.set()

    async def count(name: str) -> list[int]:
        found: list[int] = []
        while not stopped.is_set() or len(found) < 5:
            answer: Count = await handle.ask(name, Add(1), key=key())
            found.append(answer.count)
        return found

    async def pay(name: str, payee: str) -> int:
        await tills.ask(name, Fund(f"fund-{name}", 10_000), key=key())
        turn = 0
        while not stopped.is_set():
            turn += 1
            await tills.ask(name, Pay(f"{name}-{turn}", payee, 1), key=key())
        return turn

    _, counts, paid = await asyncio.gather(
        kill(),
        asyncio.gather(*(count(f"e{n}") for n in range(20))),
        asyncio.gather(*(pay(f"t{n}", "shop") for n in range(5))),
    )
    for n, seen in enumerate(counts):
        assert seen == list(range(1, len(seen) + 1))
        assert await world.journal(f"e{n}") == [Added(1)] * len(seen)
    assert await world.balance(purse("shop")) == sum(paid)
    assert await world.count("public.payments") == sum(paid)
    assert await world.count("bus.outbox") == sum(paid)


async def test_callers_follow_partitions_that_move_under_load(world: World) -> None:
    await world.start("h0")
    await world.start("h1")
    handle = world.handle()

    async def move() -> None:
        for turn in range(15):
            await world.place(COUNTER, f"h{turn % 2}", *range(turn % 3, 8, 3))
            await asyncio.sleep(0.01)

    async def count(name: str) -> list[int]:
        return [(await handle.ask(name, Add(1), key=key())).count for _ in range(40)]

    _, *found = await asyncio.gather(move(), *(count(f"e{n}") for n in range(16)))
    assert found == [list(range(1, 41))] * 16


async def test_a_handle_is_patient_while_nobody_is_there(world: World) -> None:
    handle = world.handle()
    ask = asyncio.create_task(handle.ask("a", Add(1), key=key()))
    await asyncio.sleep(0.05)
    await world.start()
    assert (await ask).count == 1


# --- the supervisor -----------------------------------------------------------------------------


async def test_partitions_are_spread_over_the_hosts_that_answer(
    world: World, supervisor: Supervisor
) -> None:
    await world.start("h0")
    await world.start("h1")
    await supervisor.round()
    assert await where(world) == {"h0", "h1"}
    moved = await placement.read(world.pool, "counter")
    await supervisor.round()
    assert await placement.read(world.pool, "counter") == moved


async def test_a_lost_host_loses_its_partitions_and_gets_them_back(
    world: World, supervisor: Supervisor
) -> None:
    await world.start("h0")
    await world.start("h1")
    await supervisor.round()
    at_first = await placement.read(world.pool, "counter")
    handle = world.handle()
    names = [f"e{n}" for n in range(30)]
    await asyncio.gather(*(handle.ask(name, Add(1), key=key()) for name in names))
    await world.kill("h1")

    world.clock.now_ms += LIMITS.lost_after_ms - 1
    await supervisor.round()
    assert await where(world) == {"h0", "h1"}  # it may be restarting
    world.clock.now_ms += 1
    await supervisor.round()
    assert await where(world) == {"h0"}
    found = await asyncio.gather(*(handle.ask(name, Add(1), key=key()) for name in names))
    assert [f.count for f in found] == [2] * 30

    await world.start("h1")
    await supervisor.round()
    assert await where(world) == {"h0"}  # not trusted yet
    world.clock.now_ms += LIMITS.trust_after_ms
    await supervisor.round()
    assert await placement.read(world.pool, "counter") == at_first
    found = await asyncio.gather(*(handle.ask(name, Get(), key=key()) for name in names))
    assert [f.count for f in found] == [2] * 30

    back, lost = [i for i in await placement.incidents(world.pool, 10) if i.host == "h1"]
    gone = sum(h == "h1" for h in at_first.values())
    gone += sum(h == "h1" for h in (await placement.read(world.pool, "till")).values())
    assert lost[1:4] == ("h1", "lost", gone)
    assert back[1:4] == ("h1", "returned", gone)
    text = (await supervisor.scrape()).decode()
    assert 'hosts_lost_total{host="h1"} 1.0' in text
    assert 'host_up{host="h1"} 1.0' in text


async def test_a_restart_is_visible_and_moves_nothing(world: World, supervisor: Supervisor) -> None:
    await world.start("h0")
    await world.start("h1")
    await supervisor.round()
    before = await placement.read(world.pool, "counter")
    world.clock.now_ms += 10
    await world.restart("h0")
    await supervisor.round()
    assert await placement.read(world.pool, "counter") == before
    latest = (await placement.incidents(world.pool, 1))[0]
    assert latest == Incident(world.clock(), "h0", "restarted", 0)
    assert 'host_restarts_total{host="h0"} 1.0' in (await supervisor.scrape()).decode()


async def test_when_all_are_lost_everything_stays_where_it_is(
    world: World, supervisor: Supervisor
) -> None:
    await supervisor.round()
    before = await placement.read(world.pool, "counter")
    world.clock.now_ms += LIMITS.lost_after_ms
    await supervisor.round()
    assert await placement.read(world.pool, "counter") == before


async def test_a_host_that_hangs_is_as_good_as_lost(world: World, supervisor: Supervisor) -> None:
    class Hanging:
        async def call(self, payload: bytes) -> bytes:
            return await self.health()

        async def health(self) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    await world.start("h0")
    world.transport.add("h1", Hanging())
    await supervisor.round()
    world.clock.now_ms += LIMITS.lost_after_ms
    await supervisor.round()
    assert await where(world) == {"h0"}


async def test_one_supervisor_acts_and_another_takes_over(world: World) -> None:
    await world.start("h0")
    first, second = (
        Supervisor(PLAN, world.pool, world.transport, world.clock, LIMITS) for _ in range(2)
    )
    await first.round()
    await second.round()
    assert (await _leads(first), await _leads(second)) == (True, False)
    await first.stop()
    async with asyncio.timeout(10):
        while not await _leads(second):  # the server frees the lock when it sees the end of `first`
            await second.round()
    await second.stop()


async def test_supervision_survives_the_loss_of_its_connection(world: World) -> None:
    await world.start("h0")
    often = replace(LIMITS, interval_ms=5)
    supervisor = Supervisor(PLAN, world.pool, world.transport, world.clock, often)
    await supervisor.start()
    await until(lambda: supervisor._lock is not None)
    await world.pool.execute(
        "select pg_terminate_backend(pid) from pg_locks"
        " where locktype = 'advisory' and pid <> pg_backend_pid()"
    )
    await until(lambda: supervisor._lock is None)
    await until(lambda: supervisor._lock is not None)
    await supervisor.stop()


async def _leads(supervisor: Supervisor) -> Any:
    return b'"leading":true' in await supervisor.health()


async def test_a_deadline_is_kept_while_nobody_is_there(world: World) -> None:
    handle = world.handle(limits=HandleLimits(backoff_first_ms=1))
    with pytest.raises(Unavailable):
        await handle.ask("a", Add(1), key=key(), timeout_ms=50)
