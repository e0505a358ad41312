"""The outbox on a real PostgreSQL: order and holes under transactions that commit late."""

from __future__ import annotations

import asyncio
import random

import pytest

from messages.bus import START, Position, parse_position
from storage import bus_session, dead_letters, inbox, outbox
from storage.bus import BusStore
from storage.database import Pool
from tests.integration.bus_support import STREAM, make_event, until, write


async def read_all(pool: Pool, after: str = "") -> list[int]:
    return [e.sequence for e in await outbox.read_settled(pool, STREAM, after, 1000)]


async def until_read(pool: Pool, expected: list[int]) -> None:
    """Any transaction of the server, a neighbour's too, may hold the settled past back a moment."""

    async def is_read() -> bool:
        return await read_all(pool) == expected

    await until(is_read)


async def test_a_late_commit_holds_back_what_comes_after_it(pool: Pool) -> None:
    async with pool.acquire() as late:
        transaction = late.transaction()
        await transaction.start()
        await outbox.append(late, [make_event("a", 1)])
        await write(pool, make_event("b", 2))
        assert await read_all(pool) == []
        assert await outbox.has_after(pool, STREAM, Position(0, 0))
        await transaction.commit()
    await until_read(pool, [1, 2])


async def test_an_aborted_transaction_leaves_no_trace(pool: Pool) -> None:
    async with pool.acquire() as late:
        transaction = late.transaction()
        await transaction.start()
        await outbox.append(late, [make_event("a", 1)])
        await write(pool, make_event("b", 2))
        await transaction.rollback()
    await until_read(pool, [2])


async def test_order_within_a_transaction_is_the_order_of_writing(pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for first in (1, 51, 101):
            batch = [make_event("a", first + i) for i in range(49)]
            await outbox.append(connection, batch)
            async with connection.transaction():  # a savepoint does not change the position
                await outbox.append(connection, [make_event("a", first + 49)])
    await until_read(pool, list(range(1, 151)))


async def test_a_reader_that_remembers_its_position_misses_and_repeats_nothing(pool: Pool) -> None:
    """Writers that commit late, commit nothing, or write in pieces, and one reader beside them."""
    chance = random.Random(7)
    written: dict[str, int] = {}
    done = asyncio.Event()

    async def writer(entity: str) -> None:
        sequence = 0
        for _ in range(40):
            events = [make_event(entity, sequence + i + 1) for i in range(chance.randint(1, 4))]
            async with pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                await outbox.append(connection, events[:1])
                await asyncio.sleep(chance.random() * 0.01)
                await outbox.append(connection, events[1:])
                if chance.random() < 0.2:
                    await transaction.rollback()
                    continue
                await transaction.commit()
            sequence += len(events)
            written[entity] = sequence

    async def reader() -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        position = ""
        while not done.is_set() or sum(written.values()) > len(found):
            for event in await outbox.read_settled(pool, STREAM, position, 5):
                assert parse_position(event.position) > parse_position(position)
                position = event.position
                found.append((event.entity_id, event.sequence))
            await asyncio.sleep(0)
        return found

    reading = asyncio.create_task(reader())
    await asyncio.gather(*(writer(f"e{i}") for i in range(5)))
    done.set()
    found = await asyncio.wait_for(reading, 60)
    for entity, last in written.items():
        assert [s for e, s in found if e == entity] == list(range(1, last + 1))


async def test_what_a_channel_missed(pool: Pool) -> None:
    await write(pool, make_event("a", 1, channels=("user:1", "pool:9")))
    await write(pool, make_event("b", 2, channels=("user:2",)))
    await write(pool, make_event("c", 3, channels=("user:1",), stream="listening"))
    await until_read(pool, [1, 2])
    both = ["user:1", "user:2"]

    async def all_three() -> bool:
        return len(await outbox.read_channels(pool, both, "", 10)) == 3

    await until(all_three)
    found = await outbox.read_channels(pool, both, "", 10)
    assert [event.sequence for event in found] == [1, 2, 3]
    assert found[0].channels == ("user:1", "pool:9")
    rest = await outbox.read_channels(pool, both, found[0].position, 10)
    assert [event.sequence for event in rest] == [2, 3]
    assert await outbox.read_channels(pool, ["user:3"], "", 10) == []


async def test_events_come_back_as_they_were_written(pool: Pool) -> None:
    event = make_event("ë☃", 2**40, body='{"text": "\\u0000 \\" 🎵"}', channels=("a", "b"))
    await write(pool, event)
    await until_read(pool, [2**40])
    (found,) = await outbox.read_settled(pool, STREAM, "", 10)
    assert found.position
    assert (found.event_id, found.body, found.channels) == (
        event.event_id, event.body, event.channels,
    )  # fmt: skip
    assert (found.entity_id, found.at_ms, found.type) == (event.entity_id, event.at_ms, event.type)


async def test_a_channel_name_that_would_split_is_refused(pool: Pool) -> None:
    with pytest.raises(AssertionError):
        await write(pool, make_event(channels=("a\x1fb",)))
    with pytest.raises(AssertionError):
        await write(pool, make_event(channels=("",)))


@pytest.mark.parametrize("module", [outbox, inbox, dead_letters, bus_session])
async def test_every_statement_compiles(pool: Pool, module: object) -> None:
    # The public constants are whole statements; what they are put together from begins with `_`.
    statements = [
        value
        for name, value in vars(module).items()
        if name[0] != "_" and name.isupper() and isinstance(value, str) and " " in value.strip()
    ]
    assert statements
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_the_bus_plans_its_reads_for_the_table_as_it_is(database_url: str) -> None:
    """A plan kept from when the outbox was empty would read all of it at each look."""
    store = await BusStore.open(database_url, max_size=1)
    try:
        for _ in range(12):  # by default a generic plan may be kept from the sixth on
            await store.read_settled(STREAM, START, 10)
        async with store.transaction() as connection:
            plans = await connection.fetch(
                "select generic_plans, custom_plans from pg_prepared_statements "
                "where statement = $1",
                outbox.READ_SETTLED,
            )
    finally:
        await store.close()
    assert [tuple(row) for row in plans] == [(0, 12)]
