"""A host on a real PostgreSQL: answers, recorded answers, refusals, failures, bounds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from actors.runtime.codec import Health, encode
from actors.runtime.connector import Connector
from messages.envelope import CommandEnvelope
from tests.integration.runtime_kinds import Add, Added, Break, Broke, Get
from tests.integration.runtime_support import (
    CALM,
    COUNTER,
    World,
    answers,
    codes,
    counted,
    key,
    sent,
)


async def test_a_command_is_journalled_before_it_is_answered(world: World) -> None:
    host = await world.start()
    assert counted((await answers(host, "counter", sent(Add(3))))[0]).count == 3
    assert await world.journal("a") == [Added(3)]


async def test_commands_of_one_call_see_what_came_before_them(world: World) -> None:
    host = await world.start()
    found = await answers(host, "counter", *(sent(Add(n)) for n in (1, 2, 3)), sent(Get()))
    assert [counted(answer).count for answer in found] == [1, 3, 6, 6]
    assert await world.journal("a") == [Added(1), Added(2), Added(3)]


@pytest.mark.parametrize("dies", [False, True])
async def test_a_retry_gets_the_recorded_answer(world: World, dies: bool) -> None:
    host = await world.start()
    first = sent(Add(1))
    (told,) = await answers(host, "counter", first)
    await answers(host, "counter", sent(Add(10)))
    if dies:
        host = await world.restart()
    again, now = await answers(host, "counter", first, sent(Get()))
    assert (counted(again).count, counted(now).count) == (1, 11)
    assert again == told


async def test_a_key_stands_for_one_command_only(world: World) -> None:
    host = await world.start()
    first = sent(Add(1))
    await answers(host, "counter", first)
    other_body = sent(Add(2), "a", first.key)
    other_entity = sent(Add(1), "b", first.key)
    assert (
        codes(await answers(host, "counter", other_body, other_entity))
        == ["idempotency-key-reused"] * 2
    )
    assert await world.journal("a") == [Added(1)]
    assert await world.journal("b") == []


async def test_a_key_twice_in_a_call_is_decided_once(world: World) -> None:
    host = await world.start()
    own = key()
    found = await answers(
        host,
        "counter",
        sent(Add(1), "a", own),
        sent(Add(1), "a", own),
        sent(Add(5), "a", own),
        sent(Get()),
    )
    assert codes(found) == ["", "", "idempotency-key-reused", ""]
    assert [counted(found[n]).count for n in (0, 1, 3)] == [1, 1, 1]


async def test_a_refusal_changes_nothing_and_is_not_remembered(world: World) -> None:
    host = await world.start()
    take = sent(Add(-1))
    (refused,) = await answers(host, "counter", take)
    assert (refused.code, refused.params) == ("conflict", {"count": 0})
    assert await world.count("runtime.journal") == 0
    await answers(host, "counter", sent(Add(5)))
    assert counted((await answers(host, "counter", take))[0]).count == 4


@pytest.mark.parametrize("where", ["decide", "evolve", "write"])
async def test_a_command_that_fails_fails_alone(world: World, where: str) -> None:
    host = await world.start()
    before = [sent(Add(1)), sent(Add(2), "b")]
    after = [sent(Add(4)), sent(Add(8), "b"), sent(Get()), sent(Get(), "b")]
    found = await answers(host, "counter", *before, sent(Break(where)), *after)
    assert codes(found) == ["", "", "internal", "", "", "", ""]
    assert (counted(found[5]).count, counted(found[6]).count) == (5, 10)
    assert await world.journal("a") == [Added(1), Added(4)]
    assert counted((await answers(host, "counter", sent(Get())))[0]).count == 5


async def test_public_events_are_in_the_outbox_with_their_sequence(world: World) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(1)), sent(Break("nowhere")), sent(Add(2)))
    rows = await world.pool.fetch("select stream, type, entity_id, sequence, body from bus.outbox")
    assert [tuple(row) for row in rows] == [
        ("counters", "Broke", "a", 2, msgspec.json.encode(Broke("nowhere")).decode())
    ]


@pytest.mark.parametrize(
    "envelope",
    [
        CommandEnvelope(b"", "a", encode(Add(1))),
        CommandEnvelope(bytes(65), "a", encode(Add(1))),
        CommandEnvelope(b"k", "", encode(Add(1))),
        CommandEnvelope(b"k", "a\0b", encode(Add(1))),
        CommandEnvelope(b"k", "a" * 201, encode(Add(1))),
        CommandEnvelope(b"k", "a", b"\xc1 nonsense"),
        CommandEnvelope(b"k", "a", encode({"type": "Unheard"})),
        CommandEnvelope(b"k", "a", encode({"type": "Add", "amount": "much"})),
        CommandEnvelope(b"k", "a", encode(Add(1)) + bytes(300_000)),
    ],
)
async def test_a_malformed_command_is_refused_alone(
    world: World, envelope: CommandEnvelope
) -> None:
    host = await world.start()
    found = await answers(host, "counter", envelope, sent(Add(1)))
    assert codes(found) == ["malformed-command", ""]


async def test_a_full_mailbox_refuses_what_does_not_fit(world: World) -> None:
    host = await world.start(limits=replace(CALM, mailbox_commands=3))
    found = await answers(host, "counter", *(sent(Add(1)) for _ in range(5)))
    assert codes(found) == ["", "", "", "overloaded", "overloaded"]
    assert found[4].params == {"retry_after_ms": 250}
    assert codes(await answers(host, "counter", sent(Add(1)))) == [""]


async def test_what_is_placed_elsewhere_is_refused(world: World) -> None:
    await world.place(COUNTER, "h1")
    host = await world.start()
    assert codes(await answers(host, "counter", sent(Add(1)))) == ["not-owner"]
    assert codes(await answers(host, "unheard", sent(Add(1)))) == ["not-owner"]


async def test_a_batch_that_is_cut_in_pieces_is_answered_whole(world: World) -> None:
    host = await world.start(limits=replace(CALM, batch_commands=4, lanes=2))
    found = await answers(host, "counter", *(sent(Add(1), f"e{n % 7}") for n in range(50)))
    assert codes(found) == [""] * 50
    assert await world.count("runtime.journal") == 50
    last = await answers(host, "counter", *(sent(Get(), f"e{n}") for n in range(7)))
    assert sum(counted(answer).count for answer in last) == 50


async def test_a_lost_connection_is_made_anew(world: World) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(1)))
    await world.pool.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert counted((await answers(host, "counter", sent(Add(1))))[0]).count == 2


async def test_a_database_that_stays_away_is_said_to_be_unavailable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await world.start(limits=replace(CALM, retry_for_ms=50))
    add = sent(Add(1))

    async def refuse(_self: Connector) -> Any:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(Connector, "get", refuse)
        (answer,) = await answers(host, "counter", add)
    assert (answer.code, answer.params) == ("unavailable", {"retry_after_ms": 1_000})
    assert counted((await answers(host, "counter", add))[0]).count == 1


async def test_stopping_answers_what_has_arrived(world: World) -> None:
    host = await world.start()
    asked = answers(host, "counter", *(sent(Add(1)) for _ in range(300)))
    found, _ = await asyncio.gather(asked, host.stop())
    assert codes(found) == [""] * 300
    assert codes(await answers(host, "counter", sent(Add(1)))) == ["not-owner"]


async def test_health_and_metrics_tell_what_it_does(world: World) -> None:
    host = await world.start()
    await answers(host, "counter", sent(Add(1)), sent(Add(-5)), sent(Add(1), "b"))
    health = msgspec.msgpack.decode(await host.health(), type=Health)
    assert (health.name, health.incarnation, health.retired) == ("h0", 1, False)
    assert (health.entities, health.mailbox) == (2, 0)
    assert 1 <= health.partitions["counter"] <= 2
    text = (await host.scrape()).decode()
    assert 'vibestream_runtime_commands_total{kind="counter",outcome="ok"} 2.0' in text
    assert 'vibestream_runtime_commands_total{kind="counter",outcome="conflict"} 1.0' in text
    assert 'vibestream_runtime_live_entities{kind="counter"} 2.0' in text
