"""A partition has one owner: whoever else believes to be it cannot commit, nor answer a read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.runtime import funds
from actors.runtime.kind import EntityKind
from storage import journal
from tests.integration.runtime_kinds import Add, Added, Fund, Funded, Get, purse
from tests.integration.runtime_support import (
    COUNTER,
    TILLS,
    World,
    answers,
    codes,
    counted,
    elsewhere,
    key,
    sent,
)


async def test_the_owner_before_a_move_can_neither_write_nor_read(world: World) -> None:
    old, new = await world.start("h0"), await world.start("h1")
    assert codes(await answers(old, "counter", sent(Add(1)))) == [""]
    await world.place(COUNTER, "h1")
    assert codes(await answers(old, "counter", sent(Add(10)))) == ["not-owner"]
    assert counted((await answers(new, "counter", sent(Add(100))))[0]).count == 101
    assert codes(await answers(old, "counter", sent(Get()))) == ["not-owner"]
    assert await world.journal("a") == [Added(1), Added(100)]


async def test_the_fence_holds_even_before_the_new_owner_comes(world: World) -> None:
    """Moving alone fences the owner: there may be minutes until somebody asks the new one."""
    old = await world.start("h0")
    await answers(old, "counter", sent(Add(1)))
    await world.place(COUNTER, "h1")
    assert codes(await answers(old, "counter", sent(Add(1)), sent(Get()))) == ["not-owner"] * 2
    assert await world.journal("a") == [Added(1)]


async def test_a_partition_that_comes_back_is_read_anew(world: World) -> None:
    one, two = await world.start("h0"), await world.start("h1")
    await answers(one, "counter", sent(Add(1)))
    await world.place(COUNTER, "h1")
    await answers(two, "counter", sent(Add(10)))
    await world.place(COUNTER, "h0")
    assert counted((await answers(one, "counter", sent(Get())))[0]).count == 11
    assert codes(await answers(two, "counter", sent(Get()))) == ["not-owner"]


async def test_only_what_was_lost_is_given_up(world: World) -> None:
    host = await world.start()
    other = elsewhere("a")
    await answers(host, "counter", sent(Add(1)), sent(Add(1), other))
    await world.pool.execute(
        "update runtime.partitions set epoch = epoch + 1, host = 'h1' where partition ="
        " (select partition from runtime.journal where entity_id = 'a')"
    )
    found = await answers(host, "counter", sent(Add(5)), sent(Add(5), other), sent(Get(), other))
    assert codes(found) == ["not-owner", "", ""]
    assert counted(found[2]).count == 6


@pytest.mark.parametrize("kind", ["counter", "till"])
async def test_the_fence_is_lost_between_looking_and_writing(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    old, new = await world.start("h0"), await world.start("h1")
    of: EntityKind[Any, Any, Any] = COUNTER if kind == "counter" else TILLS
    add = sent(Add(1) if kind == "counter" else Fund("f1", 1))
    real = journal.write

    async def late(*arguments: Any) -> bool:
        await world.place(of, "h1")
        return bool(await real(*arguments))

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write", late)
        assert codes(await answers(old, kind, add)) == ["not-owner"]
    assert await world.count("runtime.journal") == 0
    assert codes(await answers(new, kind, add)) == [""]
    assert await world.count("runtime.journal") == 1
    assert await world.balance(purse("a")) == (kind == "till")


async def test_a_new_owner_waits_for_the_commit_that_is_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old owner has passed its fence: its batch counts, and the new one sees it."""
    old, new = await world.start("h0"), await world.start("h1")
    passed, go_on = asyncio.Event(), asyncio.Event()
    real = funds.post

    async def slow(*arguments: Any) -> None:
        passed.set()
        await go_on.wait()
        await real(*arguments)

    monkeypatch.setattr(funds, "post", slow)
    first = asyncio.create_task(answers(old, "till", sent(Fund("f1", 1))))
    await passed.wait()
    move = asyncio.create_task(world.place(TILLS, "h1"))
    await asyncio.wait({move}, timeout=0.1)
    assert not move.done()
    go_on.set()
    await move
    assert codes(await first) == [""]
    assert codes(await answers(new, "till", sent(Fund("f2", 2)))) == [""]
    assert codes(await answers(old, "till", sent(Fund("f3", 4)))) == ["not-owner"]
    assert await world.journal("a") == [Funded("f1", 1), Funded("f2", 2)]


async def test_a_later_process_of_the_same_name_retires_the_earlier(world: World) -> None:
    old = await world.start()
    await answers(old, "counter", sent(Add(1)))
    new = await world.start()  # Ray restarted it elsewhere; the old process is still alive
    assert counted((await answers(new, "counter", sent(Add(1))))[0]).count == 2
    other = elsewhere("a")
    assert (
        codes(await answers(old, "counter", sent(Add(1)), sent(Add(1), other))) == ["not-owner"] * 2
    )
    assert b"\xa7retired\xc3" in await old.health()
    assert counted((await answers(new, "counter", sent(Get())))[0]).count == 2
    assert b"\xa7retired\xc2" in await new.health()


async def test_two_that_fight_for_a_partition_never_both_win(world: World) -> None:
    """Both are asked at once, again and again, while the partition goes back and forth."""
    hosts = [await world.start("h0"), await world.start("h1")]
    acknowledged: list[int] = []

    async def ask(host: Any) -> None:
        for _ in range(60):
            (answer,) = await answers(host, "counter", sent(Add(1), "a", key()))
            if answer.code == "":
                acknowledged.append(counted(answer).count)

    async def shuffle() -> None:
        for turn in range(30):
            await world.place(COUNTER, f"h{turn % 2}")
            await asyncio.sleep(0.002)

    await asyncio.gather(shuffle(), *(ask(host) for host in hosts))
    assert len(acknowledged) > 5
    assert sorted(acknowledged) == list(range(1, len(acknowledged) + 1))
    assert await world.journal("a") == [Added(1)] * len(acknowledged)
