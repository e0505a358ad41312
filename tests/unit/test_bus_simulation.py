"""The bus against a PostgreSQL and a Redis in memory that fail in every way they can.

Whatever happens in whatever order: the effects are the events, each once, in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from bus.consumer import Consumer
from bus.limits import Limits
from bus.metrics import BusMetrics
from bus.relay import Relay
from bus.stream import GroupMissingError
from bus.trim import Trimmer
from bus.wiring import Wiring
from messages.bus import START, Position
from messages.envelope import Event
from messages.errors import Unavailable
from tests.unit.bus_fakes import FakeBroker, FakeStore

STREAM, GROUP = "s", "g"


@pytest.fixture(autouse=True)
def one_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For all examples. Silent: printing a traceback per fault would take most of the time."""
    monkeypatch.setattr("bus.trim.ROUGHLY", 0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with contextlib.closing(asyncio.new_event_loop()) as Bus.loop:
        yield
    structlog.reset_defaults()


LIMITS = Limits(
    publish_batch=3, handle_batch=4, grace_ms=0, stream_limit=6,
    retry_pause_s=0, retry_pause_max_s=0, attempt_pause_s=0, attempt_pause_max_s=0,
)  # fmt: skip


class Recorder:
    """Its effect is the event's id, in the transaction. Numbers that end in 7 are poison."""

    group = GROUP
    streams = (STREAM,)

    async def handle(self, connection: Any, events: Sequence[Event]) -> None:
        connection.effects += [event.event_id for event in events]
        if any(is_poison(event) for event in events):
            raise ValueError("poison")


def is_poison(event: Event) -> bool:
    return event.event_id.endswith("7")


class Bus(RuleBasedStateMachine):
    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.store, self.broker = FakeStore(), FakeBroker()
        self.metrics = BusMetrics(CollectorRegistry())
        self.wiring = Wiring(self.store, self.broker, lambda: 0, self.metrics, LIMITS)
        self.run(self.store.register(GROUP, STREAM, START, 0))
        self.relay = Relay(STREAM, self.wiring)
        self.top: Position | None = None
        self.saved: dict[str, Any] | None = None
        self.xid = 0
        self.consumers = 0
        self.consumer = self.new_consumer()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def new_consumer(self) -> Consumer:
        self.consumers += 1
        consumer = Consumer(f"c{self.consumers}", Recorder(), STREAM, self.wiring)
        self.run(consumer.load())
        return consumer

    @rule(rows=st.integers(1, 5))
    def write(self, rows: int) -> None:
        self.xid += 1
        for row in range(rows):
            name = f"{len(self.store.events)}"
            self.store.add(Event(name, STREAM, "T", "e", 1, 0, (), "{}", f"{self.xid}-{row + 1}"))

    @rule()
    def publish(self) -> None:
        async def step() -> None:
            try:
                if self.top is None:
                    self.top = await self.relay.find_top()
                self.top = await self.relay.publish_after(self.top) or self.top
            except Unavailable:
                self.top = None

        self.run(step())

    @rule()
    def relay_looks_at_the_top(self) -> None:
        self.top = None

    @rule()
    def consume(self) -> None:
        async def step() -> None:
            try:
                await self.consumer.turn()
            except (GroupMissingError, Unavailable):
                self.consumer.rejoin()

        self.run(step())

    @rule()
    def consumer_is_replaced(self) -> None:
        self.consumer = self.new_consumer()

    @rule()
    def consumer_dies_with_entries_in_hand(self) -> None:
        async def take_and_die() -> None:
            try:
                await self.broker.read(STREAM, GROUP, "dead", 3, 0)
            except (GroupMissingError, Unavailable):
                return

        self.run(take_and_die())
        self.consumer = self.new_consumer()

    @rule(fault=st.sampled_from(["lost before", "lost after"]))
    def a_commit_will_fail(self, fault: str) -> None:
        self.store.faults.append(fault)

    @rule(calls=st.integers(1, 3))
    def redis_is_away_for_some_calls(self, calls: int) -> None:
        self.broker.away = calls

    @rule()
    def redis_loses_everything(self) -> None:
        self.broker.forget()

    @rule()
    def redis_saves(self) -> None:
        self.saved = self.broker.snapshot()

    @precondition(lambda self: self.saved is not None)
    @rule()
    def redis_comes_back_as_it_was(self) -> None:
        assert self.saved is not None
        self.broker.restore(self.saved)
        self.saved = self.broker.snapshot()

    @precondition(lambda self: self.broker.entries)
    @rule(data=st.data())
    def an_entry_is_deleted(self, data: st.DataObject) -> None:
        del self.broker.entries[data.draw(st.integers(0, len(self.broker.entries) - 1))]

    @rule()
    def trim(self) -> None:
        self.broker.away = 0
        self.run(Trimmer([STREAM], self.wiring).trim(STREAM))

    @invariant()
    def effects_are_the_first_events_each_once(self) -> None:
        handled = self.store.positions[GROUP, STREAM]
        due = [
            e for e in self.store.events if Position(*map(int, e.position.split("-"))) <= handled
        ]
        assert self.store.effects == [e.event_id for e in due if not is_poison(e)]
        letters = [letter.event.event_id for letter in self.store.letters]
        assert letters == [e.event_id for e in due if is_poison(e)]

    def teardown(self) -> None:
        self.broker.away = 0
        self.store.faults.clear()
        for _ in range(len(self.store.events) + 5):
            self.publish()
            self.consume()
        assert len(self.store.effects) + len(self.store.letters) == len(self.store.events)
        self.effects_are_the_first_events_each_once()


TestBus = Bus.TestCase
TestBus.settings = settings(max_examples=200, stateful_step_count=40)
