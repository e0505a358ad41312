"""Small parts of the bus, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from bus.consumer import Consumer
from bus.jobs import Job
from bus.limits import Limits
from bus.metrics import BusMetrics
from bus.relay import Relay
from bus.retry import Backoff, is_transient
from bus.sifter import Sifter
from bus.stream_redis import to_entries, to_entry
from bus.wiring import Wiring
from bus.worker import ForeignHistoryError, Worker
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from messages.errors import Conflict, Overloaded
from tests.unit.bus_fakes import FakeBroker, FakeStore

positions = st.builds(Position, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))


def event(name: str, position: str = "1-1") -> Event:
    return Event(name, "s", "T", "e", 1, 0, (), "{}", position)


class Recorder:
    group = "g"
    streams = ("s",)

    async def handle(self, connection: Any, events: Sequence[Event]) -> None:
        connection.effects += [event.event_id for event in events]


def wiring(store: FakeStore, broker: FakeBroker, limits: Limits) -> Wiring:
    return Wiring(store, broker, lambda: 0, BusMetrics(CollectorRegistry()), limits)


@given(positions)
def test_a_position_is_its_text(position: Position) -> None:
    assert parse_position(str(position)) == position


@given(positions, positions)
def test_positions_compare_as_redis_compares_ids(a: Position, b: Position) -> None:
    assert (a < b) == ((a.xid << 64 | a.id) < (b.xid << 64 | b.id))


@pytest.mark.parametrize("text", ["1", "-", "1-", "-1", "a-1", "1-b", "1-1-1", "+1-1", " 1-1"])
def test_what_is_not_a_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        parse_position(text)


def test_no_position_is_the_start() -> None:
    assert parse_position("") == START == Position(0, 0)


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(1.0, 6.0)
    for longest in (1.0, 2.0, 4.0, 6.0, 6.0):
        assert longest / 2 <= backoff.pause_s() <= longest
    backoff.reset()
    assert backoff.pause_s() <= 1.0
    for _ in range(2000):
        assert Backoff(1.0, 6.0).pause_s() <= 6.0
        assert backoff.pause_s() <= 6.0


def test_later_is_told_from_never() -> None:
    store = FakeStore()
    assert is_transient(Overloaded("busy"), store)
    assert is_transient(ConnectionError(), store)
    assert not is_transient(Conflict("no"), store)
    assert not is_transient(KeyError("bug"), store)


def test_an_entry_knows_its_event_its_place_and_the_one_before() -> None:
    fields = [b"p", b"1-1", b"e", msgspec.json.encode(event("a", position=""))]
    entry = to_entry(b"2-1", fields)
    assert entry.position == Position(2, 1)
    assert entry.previous == Position(1, 1)
    assert entry.event == event("a", position="2-1")


def test_entries_name_those_before_them_wherever_they_stand() -> None:
    body = msgspec.json.encode(event("a", position="9-9"))
    ids = [(b"2-1", b"1-1"), (b"2-2", b"2-1"), (b"3-1", b"2-2"), (b"9-9", b"8-0")]
    entries = to_entries([(own, [b"p", before, b"e", body]) for own, before in ids])
    found = [(str(e.position).encode(), str(e.previous).encode()) for e in entries]
    assert found == ids
    assert [e.event.position.encode() for e in entries if e.event] == [own for own, _ in ids]


@pytest.mark.parametrize(
    "fields",
    [None, [], [b"x", b"y"], [b"e", b"not json"], [b"e", b"{}"], [b"e", b'{"event_id": 1}']],
)
def test_a_foreign_entry_has_no_event(fields: list[bytes] | None) -> None:
    assert to_entry(b"2-1", fields).event is None


async def test_a_batch_from_postgresql_that_ends_inside_a_second_hole() -> None:
    """Found by the simulation: the fetched batch went past the first entry, up to the next hole."""
    limits = Limits(handle_batch=2)
    store, broker = FakeStore(), FakeBroker()
    await store.register("g", "s", START, 0)
    for n in range(1, 6):
        store.add(event(str(n), f"{n}-1"))
    await broker.publish("s", START, store.events)
    consumer = Consumer("c", Recorder(), "s", wiring(store, broker, limits))
    await consumer.load()
    await broker.open_group("s", "g", START)
    await consumer.take([broker.entries[1], broker.entries[4]])
    assert store.effects == ["1", "2", "3", "4", "5"]


async def test_a_group_younger_than_what_is_left_takes_what_there_is() -> None:
    store, broker = FakeStore(), FakeBroker()
    await store.register("g", "s", START, 0)
    store.events = [event("5", "5-1")]
    broker.last = Position(4, 1)
    relay = Relay("s", wiring(store, broker, Limits()))
    assert await relay.publish_after(Position(4, 1)) == Position(5, 1)
    consumer = Consumer("c", Recorder(), "s", wiring(store, broker, Limits()))
    await consumer.load()
    await consumer.turn()
    assert store.effects == ["5"]


async def test_a_handler_that_wants_few_gets_those_and_its_group_moves_on() -> None:
    """Looks are bounded like batches; what is no concern of it is passed by."""
    store, broker = FakeStore(), FakeBroker()
    await store.register("g", "s", START, 0)
    limits = Limits(handle_batch=2, sift_s=0)
    sifter = Sifter("c", Recorder(), "s", ("Wanted",), wiring(store, broker, limits))
    await sifter.load()
    await sifter.turn()
    assert store.positions[("g", "s")] == START
    for n in range(1, 9):
        kind = "Wanted" if n in {2, 3, 6} else "Other"
        store.add(msgspec.structs.replace(event(str(n), f"{n}-1"), type=kind))
    await sifter.turn()
    assert (store.effects, store.positions[("g", "s")]) == (["2", "3"], Position(3, 1))
    await sifter.turn()
    assert (store.effects, store.positions[("g", "s")]) == (["2", "3", "6"], Position(8, 1))
    await sifter.turn()
    assert store.effects == ["2", "3", "6"]


class Unreachable(FakeStore):
    """Loses the connection the first times it is asked for events."""

    failures = 3

    async def read_settled(self, stream: str, after: Position, limit: int) -> list[Event]:
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError("gone")
        await asyncio.sleep(0.001)
        return await super().read_settled(stream, after, limit)


async def test_a_worker_restarts_what_fails_and_tells_of_it() -> None:
    store, broker = Unreachable(), FakeBroker()
    limits = Limits(retry_pause_s=0.001, retry_pause_max_s=0.002, block_ms=1, idle_poll_s=0.001)
    worker = Worker("w", store, broker, [Recorder()], ["s"], lambda: 0, limits=limits)
    await worker.start()
    store.add(event("a"))
    async with asyncio.timeout(30):
        while store.effects != ["a"] or broker.last != Position(1, 1):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    status = worker.status()
    assert status.running
    assert sum(task.restarts for task in status.tasks) == 3
    assert "ConnectionResetError" in "".join(task.error for task in status.tasks)
    assert b'"running":true' in await worker.health()
    assert b"vibestream_bus_restarts_total" in await worker.scrape()
    await worker.stop()
    assert not worker.status().running


async def test_a_job_is_done_at_once_while_something_waits_and_comes_back_after_a_failure() -> None:
    waiting, failures = [3], [1]
    done = asyncio.Event()

    async def work() -> int:
        if failures.pop() if failures else 0:
            raise ConnectionResetError("gone")
        if not waiting[0]:
            done.set()
            return 0
        waiting[0] -= 1
        return 1

    limits = Limits(retry_pause_s=0.001, retry_pause_max_s=0.002)
    worker = Worker("w", FakeStore(), FakeBroker(), [], [], lambda: 0, limits=limits)
    worker.add_jobs(Job("count", 3_600, work))
    await worker.start()
    await asyncio.wait_for(done.wait(), 30)
    (health,) = (task for task in worker.status().tasks if task.task == "job/count")
    assert health.restarts == 1
    await worker.stop()
    assert waiting == [0]


async def test_cancelling_the_tasks_ends_them_even_without_stop() -> None:
    worker = Worker("w", FakeStore(), FakeBroker(), [], ["s"], lambda: 0)
    before = asyncio.all_tasks()
    await worker.start()
    await asyncio.sleep(0.01)
    started = asyncio.all_tasks() - before
    assert started
    for task in started:
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*started, return_exceptions=True), 10)
    assert all(task.cancelled() for task in started)


async def test_a_database_copied_to_a_younger_server_is_refused() -> None:
    store = FakeStore()
    await store.register("g", "s", Position(10**9, 1), 0)
    worker = Worker("w", store, FakeBroker(), [Recorder()], [], lambda: 0)
    with pytest.raises(ForeignHistoryError):
        await worker.start()


def test_two_handlers_of_one_group_name_are_refused() -> None:
    with pytest.raises(AssertionError, match="share a group"):
        Worker("w", FakeStore(), FakeBroker(), [Recorder(), Recorder()], [], lambda: 0)
