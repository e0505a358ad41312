"""Events that cannot be handled: parked, shown, replayed; and those that only have to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis_asyncio

from bus.stream_redis import DEAD_KEY
from messages.envelope import Event
from messages.errors import Invalid, Unavailable
from storage.database import Connection, Pool
from storage.dead_letters import list_dead, replay_dead, show_dead
from tests.integration.bus_support import (
    EFFECTS,
    QUICK,
    Effects,
    Failing,
    effects,
    has,
    make_event,
    running,
    until,
    write,
)


@pytest.fixture(autouse=True)
async def table(pool: Pool, redis_client: redis_asyncio.Redis) -> None:
    await pool.execute(EFFECTS)


async def parked(pool: Pool, count: int) -> bool:
    return len([d for d in await list_dead(pool) if d.state == "parked"]) >= count


def poison(*sequences: int) -> Failing:
    return Failing(lambda event: Invalid("no") if event.sequence in sequences else None)


async def test_a_poison_event_is_parked_and_the_stream_goes_on(
    pool: Pool, database_url: str, redis_server: str, redis_client: redis_asyncio.Redis
) -> None:
    events = [make_event("a", n) for n in range(1, 11)]
    await write(pool, *events)
    handler = poison(4)
    async with running(database_url, redis_server, handler):
        await until(lambda: has(pool, 9))
        await until(lambda: parked(pool, 1))
    assert await effects(pool) == [("a", n) for n in range(1, 11) if n != 4]
    (letter,) = await list_dead(pool)
    assert letter.event.event_id == events[3].event_id
    assert letter.event.body == events[3].body
    assert (letter.group, letter.attempts, letter.error) == ("effects", 5, "Invalid: no")
    # Once in the batch, then by itself.
    assert handler.asked.count(events[3].event_id) == 1 + QUICK.attempts
    assert await show_dead(pool, letter.id) == letter
    assert await show_dead(pool, letter.id + 1) is None
    mirrored: Any = await redis_client.xrange(DEAD_KEY)
    ((_, fields),) = mirrored
    assert fields[b"group"] == b"effects"
    assert fields[b"error"] == b"Invalid: no"


async def test_a_letter_is_replayed_once_and_in_order(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    await write(pool, *(make_event("a", n) for n in range(1, 8)))
    async with running(database_url, redis_server, poison(2, 3, 5)):
        await until(lambda: parked(pool, 3))
        await until(lambda: has(pool, 4))
    letters = await list_dead(pool)
    assert await replay_dead(pool, [letter.id for letter in reversed(letters)]) == 3
    assert await replay_dead(pool, [letters[0].id]) == 0  # it waits already
    async with running(database_url, redis_server, Effects()) as worker:
        await until(lambda: has(pool, 7))
        await write(pool, make_event("a", 8))
        await until(lambda: has(pool, 8))
        (lag,) = await worker.lag()
        assert lag.dead == 0
    assert [n for _, n in await effects(pool)] == [1, 4, 6, 7, 2, 3, 5, 8]
    assert await list_dead(pool) == []
    done = await show_dead(pool, letters[0].id)
    assert done is not None
    assert done.state == "done"
    assert await replay_dead(pool, [letters[0].id]) == 0


async def test_a_replay_that_fails_is_parked_again(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    await write(pool, make_event("a", 1), make_event("a", 2))
    handler = poison(1)
    async with running(database_url, redis_server, handler):
        await until(lambda: parked(pool, 1))
        (letter,) = await list_dead(pool)
        handler.reason = lambda event: RuntimeError("worse\x00") if event.sequence == 1 else None
        await replay_dead(pool, [letter.id])

        async def failed_again() -> bool:
            (found,) = await list_dead(pool)
            return found.state == "parked" and found.attempts == QUICK.attempts + 1

        await until(failed_again)
        (again,) = await list_dead(pool)
        assert again.error == "RuntimeError: worse\\0"
        handler.reason = lambda event: None
        await replay_dead(pool, [letter.id])
        await until(lambda: has(pool, 2))
    assert await effects(pool) == [("a", 2), ("a", 1)]


@pytest.mark.parametrize(
    "away",
    [
        Unavailable("the actor is restarting"),
        ConnectionResetError("gone"),
        TimeoutError(),
        asyncpg.DeadlockDetectedError("met"),
        redis_asyncio.ConnectionError("no Redis"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_away_is_waited_for_and_never_parked(
    pool: Pool, database_url: str, redis_server: str, away: Exception
) -> None:
    asked = 0

    def reason(event: Event) -> Exception | None:
        nonlocal asked
        asked += event.sequence == 2
        return away if event.sequence == 2 and asked <= 3 * QUICK.attempts else None

    await write(pool, *(make_event("a", n) for n in range(1, 4)))
    limits = QUICK.__class__(retry_pause_s=0.001, retry_pause_max_s=0.002, block_ms=100)
    async with running(database_url, redis_server, Failing(reason), limits=limits):
        await until(lambda: has(pool, 3))
    assert asked > 3 * QUICK.attempts
    assert await list_dead(pool) == []
    assert await effects(pool) == [("a", 1), ("a", 2), ("a", 3)]


@pytest.mark.parametrize(
    "bug",
    [
        FileNotFoundError("a handler's own file"),
        asyncpg.UniqueViolationError("twice"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_that_look_like_a_lost_connection_but_are_bugs_are_parked(
    pool: Pool, database_url: str, redis_server: str, bug: Exception
) -> None:
    await write(pool, make_event("a", 1), make_event("a", 2))
    failing = Failing(lambda event: bug if event.sequence == 1 else None)
    async with running(database_url, redis_server, failing):
        await until(lambda: has(pool, 1))
    (letter,) = await list_dead(pool)
    assert letter.error.startswith(type(bug).__name__)


class Misused(Effects):
    """Asks PostgreSQL in a way that asyncpg refuses as it does a closed connection."""

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        await super().handle(connection, events)
        if any(event.sequence == 1 for event in events):
            await connection.fetchval("select $1::int", 1, 2)


async def test_a_misused_connection_is_not_taken_for_a_lost_one(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    await write(pool, make_event("a", 1), make_event("a", 2))
    async with running(database_url, redis_server, Misused()):
        await until(lambda: has(pool, 1))
    (letter,) = await list_dead(pool)
    assert letter.error.startswith("InterfaceError")


async def test_a_parked_event_is_parked_once_though_workers_come_and_go(
    pool: Pool, database_url: str, redis_server: str
) -> None:
    await write(pool, *(make_event("a", n) for n in range(1, 30)))
    limits = QUICK.__class__(attempt_pause_s=0.01, block_ms=50, retry_pause_s=0.01)
    for n in range(12):
        async with running(
            database_url, redis_server, poison(3, 4, 20), name=f"w{n}", limits=limits
        ):
            await asyncio.sleep(0.02 * n)
    async with running(database_url, redis_server, poison(3, 4, 20), limits=limits):
        await until(lambda: has(pool, 26))
        await until(lambda: parked(pool, 3))
    assert [letter.event.sequence for letter in await list_dead(pool)] == [3, 4, 20]
    assert [n for _, n in await effects(pool)] == [n for n in range(1, 30) if n not in (3, 4, 20)]
