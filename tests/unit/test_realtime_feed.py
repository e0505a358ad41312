"""The feed against a broker that loses things and a database that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from api.realtime.channels import ChannelKind
from api.realtime.feed import Feed
from api.realtime.hub import Hub
from api.realtime.metrics import RealtimeMetrics
from api.realtime.protocol import Resync
from bus.stream import Entry
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from messages.errors import Unavailable
from tests.unit.realtime_support import FakeWire, event


class FakeBroker:
    """Entries of streams, that may be lost, and a broker that may be away."""

    def __init__(self) -> None:
        self.entries: dict[str, list[Entry]] = {"music": [], "rewards": []}
        self.tops: dict[str, Position] = {}
        self.away = False
        self.reads = 0

    def add(self, *events: Event, previous: Position | None = None) -> None:
        for found in events:
            position = parse_position(found.position)
            before = previous or self.tops.get(found.stream, START)
            self.entries[found.stream].append(Entry(position, before, found))
            self.tops[found.stream] = position
            previous = None

    def wipe(self) -> None:
        self.entries = {"music": [], "rewards": []}
        self.tops = {}

    async def top(self, stream: str) -> Position:
        if self.away:
            raise Unavailable("no broker")
        return self.tops.get(stream, START)

    async def tail(
        self, after: Mapping[str, Position], limit: int, block_ms: int
    ) -> dict[str, list[Entry]]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("no broker")
        found = {
            stream: [e for e in self.entries[stream] if e.position > at][:limit]
            for stream, at in after.items()
        }
        return {stream: entries for stream, entries in found.items() if entries}


class FakePast:
    """The outbox."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.next_xid = 1_000
        self.away = False

    async def newest(self, stream: str) -> Position:
        found = [parse_position(e.position) for e in self.events if e.stream == stream]
        return max(found, default=START)

    async def has_reached(self, position: Position) -> bool:
        return position.xid < self.next_xid

    async def read(self, stream: str, after: Position, limit: int) -> Sequence[Event]:
        if self.away:
            raise Unavailable("no database")
        found = [
            e for e in self.events if e.stream == stream and parse_position(e.position) > after
        ]
        return found[:limit]


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, past: bool = True) -> None:
        monkeypatch.setattr("api.realtime.feed.PAUSE_S", 0.001)
        monkeypatch.setattr("api.realtime.feed.PAUSE_MAX_S", 0.001)
        monkeypatch.setattr("api.realtime.feed.CHECK_EVERY_S", 0.0)
        self.broker, self.past = FakeBroker(), FakePast()
        self.hub = Hub(kinds={"song": ChannelKind("")})
        self.metrics = RealtimeMetrics()
        self.feed = Feed(
            self.broker, ("music", "rewards"), self.past if past else None, clock=lambda: 1_007
        )
        self.wire = FakeWire(self.hub)
        self.hub.join(self.wire.subscriber, "song:1", "1", None)

    def happen(self, *positions: str, stream: str = "music") -> list[Event]:
        made = [event(p, stream=stream) for p in positions]
        self.past.events += made
        return made

    async def until(self, *offsets: str) -> None:
        """Until the listener has had exactly these, and a few rounds more."""
        for _ in range(2_000):
            if len(self.wire.offsets) >= len(offsets):
                break
            await asyncio.sleep(0.001)
        await self.rounds()
        assert self.wire.offsets == list(offsets)

    async def rounds(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0.001)

    async def __aenter__(self) -> World:
        await self.feed.start(self.hub, self.metrics)
        await self.rounds()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.feed.stop()


async def test_it_begins_at_the_end_and_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.broker.add(*world.happen("1-1", "1-2"))
    world.happen("1-3")  # settled, and not published yet: a resume would read it
    async with world:
        assert world.feed.up
        assert world.hub.frontier == {"music": Position(1, 3), "rewards": START}
        world.broker.add(*world.happen("2-1", "2-2"))
        world.broker.add(*world.happen("3-1", stream="rewards"))
        await world.until("2-1", "2-2", "3-1")
        found = world.metrics.registry.get_sample_value("vibestream_realtime_feed_seconds_sum")
        assert found == 2.0, "two batches, a second old each"
    assert not world.feed.up


async def test_whoever_joins_once_it_has_started_can_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A chaos round found it: a client was back before the hub knew where its streams were."""
    world = World(monkeypatch)
    world.broker.add(*world.happen("1-1", "1-2"))
    await world.feed.start(world.hub, world.metrics)  # and not one turn of the loop more
    assert world.hub.frontier == {"music": Position(1, 2), "rewards": START}
    await world.feed.stop()


async def test_it_begins_where_the_database_ends_while_the_broker_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    world.happen("1-1", "1-2")
    world.broker.away = True
    await world.feed.start(world.hub, world.metrics)
    assert world.hub.frontier == {"music": Position(1, 2), "rewards": START}
    await world.feed.stop()


async def test_a_broker_that_came_back_empty_and_was_filled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    async with world:
        events = world.happen("1-1", "1-2", "1-3")
        world.broker.add(*events)
        await world.until("1-1", "1-2", "1-3")
        world.broker.wipe()
        await world.rounds()
        world.broker.add(*events[1:], previous=Position(1, 1))
        world.broker.add(*world.happen("2-1"))
        await world.until("1-1", "1-2", "1-3", "2-1")


async def test_a_hole_is_filled_from_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    async with world:
        world.happen("1-1", "1-2")
        world.broker.add(*world.happen("1-3"), previous=Position(1, 2))
        await world.until("1-1", "1-2", "1-3")
        assert world.hub.counts.gaps == 0


async def test_a_top_that_moved_without_entries_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    async with world:
        world.happen("1-1", "1-2")
        world.broker.tops["music"] = Position(1, 1)  # begun anew after both were trimmed
        await world.until("1-1")
        world.broker.tops["rewards"] = Position(5_000, 1)  # of another database
        world.broker.tops["music"] = Position(1, 2)
        await world.until("1-1", "1-2")
        assert world.hub.frontier["rewards"] == START


async def test_without_a_database_a_hole_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, past=False)
    async with world:
        world.broker.add(event("2-1"), previous=Position(1, 5))
        await world.until("2-1")
        assert world.wire.told[1] == Resync("song:1", {"music": "1-5", "rewards": "0-0"}, "gap")


async def test_while_the_broker_is_away_the_database_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    async with world:
        world.broker.away = True
        first = world.happen("1-1")
        await world.until("1-1")
        assert not world.feed.up
        world.past.away = True
        second = world.happen("1-2")
        await world.rounds()
        world.past.away = False
        await world.until("1-1", "1-2")
        world.broker.add(*first, *second)
        world.broker.away = False
        await world.until("1-1", "1-2")
        world.broker.add(*world.happen("1-3"))
        await world.until("1-1", "1-2", "1-3")
        assert world.feed.up


async def test_what_is_no_event_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    async with world:
        world.broker.entries["music"].append(Entry(Position(1, 1), START, None))
        world.broker.tops["music"] = Position(1, 1)
        await world.rounds()
        assert world.hub.frontier["music"] == Position(1, 1), "or it would be read for ever"
        world.broker.add(*world.happen("1-2"))
        await world.until("1-2")


async def test_a_foreign_top_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.broker.tops["music"] = Position(99_999, 1)
    world.happen("1-1")
    async with world:
        assert world.hub.frontier["music"] == Position(1, 1)
        world.broker.wipe()
        world.broker.add(*world.happen("1-2"))
        await world.until("1-2")


async def test_an_event_that_cannot_be_shown_does_not_stop_the_feed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch)
    world.hub.drop(world.wire.subscriber)
    world.wire = FakeWire(world.hub, 1)  # MessagePack
    world.hub.join(world.wire.subscriber, "song:1", "1", None)
    async with world:
        world.broker.add(event("1-1", body="not json"), event("1-2"))
        await world.until("1-2")
