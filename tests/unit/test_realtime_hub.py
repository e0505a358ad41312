"""The hub: encoded once, ordered, resumed without a gap or a repetition, slow listeners apart."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import pytest

from api.realtime import frames
from api.realtime.channels import ChannelKind
from api.realtime.frames import (
    BARE_JSON,
    BARE_MSGPACK,
    FRAMED_JSON,
    FRAMED_MSGPACK,
    Shown,
    frame,
)
from api.realtime.history import History
from api.realtime.hub import Hub
from api.realtime.limits import Limits
from api.realtime.protocol import Encoding, Resync, ServerMessage, Subscribed, encode
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from tests.unit.realtime_support import FakeWire, decode, event, unframe

KINDS = {"song": ChannelKind(""), "depth": ChannelKind("", conflatable=True)}


def hub(limits: Limits | None = None) -> Hub:
    made = Hub(limits, kinds=KINDS)
    made.follow("music", START)
    return made


def join(made: Hub, wire: FakeWire, channel: str = "song:1", cursor: object = None) -> None:
    at = cursor if isinstance(cursor, dict) or cursor is None else {"music": Position(*cursor)}  # type: ignore[misc]
    made.join(wire.subscriber, channel, "1", at)


def publish(made: Hub, *positions: str, channel: str = "song:1") -> None:
    for position in positions:
        made.publish(event(position, (channel,)))


# --- forms --------------------------------------------------------------------------------------


def test_an_event_is_the_same_in_each_form() -> None:
    shown = Shown("song:1", event("3-4", body='{"title": "é"}'), Position(3, 4))
    wanted = {
        "t": "event", "channel": "song:1", "stream": "music", "offset": "3-4",
        "id": "id-music-3-4", "type": "Happened", "at_ms": 7, "data": {"title": "é"},
    }  # fmt: skip
    for form, kind in ((FRAMED_JSON, bytes), (FRAMED_MSGPACK, bytes),
                       (BARE_JSON, str), (BARE_MSGPACK, bytes)):  # fmt: skip
        assert isinstance(shown.wire(form), kind)
        assert decode(shown.wire(form)) == wanted
        assert shown.wire(form) is shown.wire(form)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_frames_of_every_length(size: int) -> None:
    made = frame(b"x" * size, 0x81)
    assert made[0] == 0x81
    assert made[1] < 128, "a server never masks"
    assert unframe(made) == b"x" * size


def test_a_frame_is_encoded_once_for_all_its_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []

    def counted(message: ServerMessage, encoding: Encoding) -> bytes:
        encoded.append(message)
        return encode(message, encoding)

    monkeypatch.setattr(frames, "encode", counted)
    made = hub()
    forms = (FRAMED_JSON, FRAMED_MSGPACK)
    wires = [FakeWire(made, forms[n % 2]) for n in range(100)]
    for wire in wires:
        join(made, wire)
    publish(made, "1-1")
    assert len(encoded) == 2
    assert len({id(wire.written[0]) for wire in wires}) == 2, "the same bytes, not copies"
    assert made.counts.deliveries == 100


# --- who gets what ------------------------------------------------------------------------------


def test_listeners_get_their_channels_in_order() -> None:
    made = hub()
    one, two = FakeWire(made), FakeWire(made)
    join(made, one)
    join(made, two, "song:2")
    publish(made, "1-1", "1-2")
    publish(made, "2-1", channel="song:2")
    made.publish(event("2-2", ("song:1", "song:2", "song:1")))
    assert one.offsets == ["1-1", "1-2", "2-2"]
    assert two.offsets == ["2-1", "2-2"]


def test_a_position_that_was_passed_is_not_shown_again() -> None:
    made = hub()
    wire = FakeWire(made)
    join(made, wire)
    publish(made, "9-1", "10-1", "9-1", "10-1", "9-9", "10-2")
    assert wire.offsets == ["9-1", "10-1", "10-2"], "positions compare as integers"
    assert made.counts.duplicates == 3


def test_streams_are_independent() -> None:
    made = hub()
    wire = FakeWire(made)
    join(made, wire)
    made.publish(event("9-1", stream="rewards"))
    made.publish(event("5-1", stream="music"))
    assert wire.offsets == ["9-1", "5-1"]


def test_after_leaving_nothing_comes() -> None:
    made = hub()
    wire = FakeWire(made)
    join(made, wire)
    made.leave(wire.subscriber, "song:1")
    publish(made, "1-1")
    assert wire.offsets == []
    assert made.channels == 0
    made.leave(wire.subscriber, "song:1")  # twice is nothing


def test_a_listener_whose_transport_breaks_is_dropped_and_the_others_are_served() -> None:
    made = hub()
    wires = [FakeWire(made) for _ in range(3)]
    for wire in wires:
        join(made, wire)

    def broken(data: object) -> None:
        raise OSError("gone")

    wires[0].subscriber.write = broken
    publish(made, "1-1", "1-2")
    assert wires[0].dropped
    assert [w.offsets for w in wires[1:]] == [["1-1", "1-2"]] * 2


# --- slow listeners -----------------------------------------------------------------------------


def test_a_stalled_listener_is_closed_and_the_others_miss_nothing() -> None:
    made = hub()
    stalled, healthy = FakeWire(made, hard_bytes=1_000), FakeWire(made)
    join(made, stalled)
    join(made, healthy)
    stalled.subscriber.pause()
    publish(made, *(f"1-{n}" for n in range(1, 51)))
    assert stalled.dropped
    assert 1_000 < stalled.unsent < 1_200, "its buffer is bounded"
    assert len(healthy.offsets) == 50
    assert made.channels == 1


def test_while_congested_only_the_latest_of_a_conflatable_channel_waits() -> None:
    made = hub()
    wire = FakeWire(made)
    for channel in ("depth:1", "depth:2", "song:1"):
        join(made, wire, channel)
    wire.subscriber.pause()
    publish(made, "1-1", "1-2", "1-3", channel="depth:1")
    publish(made, "1-4", channel="song:1")
    publish(made, "1-5", "1-6", channel="depth:2")
    assert wire.offsets == ["1-4"], "what is not conflatable is never held back"
    wire.subscriber.resume()
    assert wire.offsets == ["1-4", "1-3", "1-6"]
    assert wire.subscriber.conflated == 3
    publish(made, "1-7", channel="depth:1")
    assert wire.offsets[-1] == "1-7"


def test_relief_stops_where_congestion_begins_again() -> None:
    made = hub()
    wire = FakeWire(made)
    for n in range(3):
        join(made, wire, f"depth:{n}")
    wire.subscriber.pause()
    for n in range(3):
        publish(made, f"1-{n + 1}", channel=f"depth:{n}")
    write = wire.subscriber.write

    def write_and_fill(data: frames.Wire) -> None:
        write(data)
        wire.subscriber.pause()

    wire.subscriber.write = write_and_fill
    wire.subscriber.resume()
    assert len(wire.offsets) == 1
    assert len(wire.subscriber.pending) == 2


def test_who_left_gets_no_conflated_rest() -> None:
    made = hub()
    wire = FakeWire(made)
    join(made, wire, "depth:1")
    wire.subscriber.pause()
    publish(made, "1-1", channel="depth:1")
    made.leave(wire.subscriber, "depth:1")
    wire.subscriber.resume()
    assert wire.offsets == []


# --- resuming -----------------------------------------------------------------------------------


def test_resuming_from_memory() -> None:
    made = hub()
    publish(made, "1-1", "1-2", "2-1")
    publish(made, "2-2", channel="song:2")
    wire = FakeWire(made)
    join(made, wire, cursor=(1, 1))
    publish(made, "3-1")
    assert wire.log == ["subscribed", "song:1 music 1-2", "song:1 music 2-1", "song:1 music 3-1"]
    assert wire.told == [Subscribed("1", "song:1", {"music": "1-1"}, resumed=True)]


def test_without_an_offset_a_subscription_begins_now() -> None:
    made = hub()
    publish(made, "1-1")
    wire = FakeWire(made)
    join(made, wire)
    assert wire.told == [Subscribed("1", "song:1", {"music": "1-1"}, resumed=False)]
    assert wire.offsets == []


def test_a_conflatable_channel_resumes_with_its_latest() -> None:
    made = hub()
    publish(made, "1-1", "1-2", "1-3", channel="depth:1")
    wire = FakeWire(made)
    join(made, wire, "depth:1", (1, 1))
    assert wire.offsets == ["1-3"]


def test_the_cursor_of_a_resume_covers_streams_the_client_did_not_know() -> None:
    made = hub()
    made.publish(event("5-1", stream="rewards"))
    wire = FakeWire(made)
    join(made, wire, cursor=(0, 0))
    assert wire.told == [
        Subscribed("1", "song:1", {"music": "0-0", "rewards": "5-1"}, resumed=True)
    ]


async def test_what_memory_lost_is_read_and_meets_the_live_events_exactly() -> None:
    asked: list[tuple[str, Mapping[str, Position], int]] = []
    reading, go_on = asyncio.Event(), asyncio.Event()
    stored = [event(f"1-{n}") for n in range(1, 9)]

    async def replay(channel: str, after: Mapping[str, Position], limit: int) -> list[Event] | None:
        asked.append((channel, after, limit))
        reading.set()
        await go_on.wait()
        # By now PostgreSQL has events that the bus has yet to bring.
        return [e for e in stored if parse_position(e.position) > after["music"]]

    made = Hub(Limits(history_events=2), replay, kinds=KINDS)
    made.follow("music", START)
    publish(made, "1-1", "1-2", "1-3", "1-4")
    wire = FakeWire(made)
    join(made, wire, cursor=(1, 1))
    await reading.wait()
    publish(made, "1-5", "1-6")
    assert wire.log == [], "nothing before the answer"
    go_on.set()
    await drain(made)
    publish(made, "1-7", "1-8")
    assert wire.log[0] == "subscribed"
    assert wire.offsets == [f"1-{n}" for n in range(2, 9)]
    assert asked == [("song:1", {"music": Position(1, 1)}, made.limits.replay_events)]
    assert made.counts.resumed_replay == 1


@pytest.mark.parametrize(
    ("answer", "held", "reason"),
    [
        (None, 0, "too-old"),
        ([event(f"1-{n}") for n in range(1, 12)], 0, "too-many"),
        (RuntimeError("the database is away"), 0, "gap"),
        ([event("1-1")], 6, "too-many"),
    ],
)
async def test_when_it_cannot_be_resumed_the_client_is_told_to_reload(
    answer: object, held: int, reason: str
) -> None:
    go_on = asyncio.Event()

    async def replay(channel: str, after: Mapping[str, Position], limit: int) -> list[Event] | None:
        await go_on.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[return-value]

    limits = Limits(history_events=0, replay_events=10, joining_events=5)
    made = Hub(limits, replay, kinds=KINDS)
    publish(made, "2-1")
    wire = FakeWire(made)
    join(made, wire, cursor=(1, 0))
    publish(made, *(f"3-{n}" for n in range(1, held + 1)))
    go_on.set()
    await drain(made)
    publish(made, "4-1")
    assert [type(m) for m in wire.told] == [Subscribed, Resync]
    assert isinstance(wire.told[1], Resync)
    assert wire.told[1].reason == reason
    assert parse_position(wire.told[1].cursor["music"]) < Position(4, 1)
    assert wire.offsets == ["4-1"], "the subscription goes on"


async def test_what_comes_from_memory_and_what_was_read_are_in_one_order() -> None:
    async def replay(channel: str, after: Mapping[str, Position], limit: int) -> list[Event] | None:
        assert set(after) == {"music"}
        return [event("1-1"), event("3-1")]

    made = Hub(Limits(history_events=2), replay, kinds=KINDS)
    publish(made, "1-1", "3-1")
    made.follow("rewards", START)
    made.publish(event("2-1", stream="rewards"))
    made.publish(event("4-1", stream="rewards"))
    wire = FakeWire(made)
    join(made, wire, cursor={"music": START, "rewards": START})
    await drain(made)
    assert wire.offsets == ["1-1", "2-1", "3-1", "4-1"]


async def test_who_comes_from_a_faster_replica_gets_nothing_twice() -> None:
    async def replay(channel: str, after: Mapping[str, Position], limit: int) -> list[Event] | None:
        return []

    made = Hub(Limits(), replay, kinds=KINDS)
    made.follow("music", Position(1, 0))
    made.follow("rewards", START)
    wire, other = FakeWire(made), FakeWire(made)
    join(made, other)
    join(made, wire, cursor={"music": Position(2, 2), "rewards": START, "unknown": START})
    publish(made, "1-1")
    await drain(made)
    publish(made, "2-1")
    made.publish(event("1-5", stream="rewards"))
    publish(made, "2-2", "2-3", "2-4")
    assert wire.offsets == ["1-5", "2-3", "2-4"]
    assert other.offsets == ["1-1", "2-1", "1-5", "2-2", "2-3", "2-4"]
    made.drop(wire.subscriber)
    made.drop(other.subscriber)
    assert made.channels == 0


async def test_an_offset_of_another_database_is_told() -> None:
    made = hub()
    wire = FakeWire(made)
    join(made, wire, cursor=(10**9, 1))
    await drain(made)
    publish(made, "1-1")
    assert isinstance(wire.told[1], Resync)
    assert wire.offsets == ["1-1"]


async def test_who_leaves_while_it_resumes_gets_nothing() -> None:
    go_on = asyncio.Event()

    async def replay(channel: str, after: Mapping[str, Position], limit: int) -> list[Event] | None:
        await go_on.wait()
        return [event("1-1")]

    made = Hub(Limits(history_events=0), replay, kinds=KINDS)
    publish(made, "2-1")
    leaves, returns = FakeWire(made), FakeWire(made)
    join(made, leaves, cursor=(0, 0))
    join(made, returns, cursor=(0, 0))
    made.drop(leaves.subscriber)
    made.leave(returns.subscriber, "song:1")
    join(made, returns)
    go_on.set()
    await drain(made)
    assert (leaves.log, returns.log) == ([], ["subscribed"])


async def test_a_hole_that_cannot_be_filled_is_told_to_all() -> None:
    made = hub()
    wires = [FakeWire(made) for _ in range(3)]
    for wire in wires:
        join(made, wire)
    made.lost("music", Position(9, 9))
    publish(made, "9-9", "10-1")
    for wire in wires:
        assert wire.told[1] == Resync("song:1", {"music": "9-9"}, "gap")
        assert wire.offsets == ["10-1"]
    late = FakeWire(made)
    join(made, late, cursor=(8, 1))
    await drain(made)
    assert isinstance(late.told[1], Resync), "nor can it be resumed across"


# --- history ------------------------------------------------------------------------------------


def test_history_is_bounded_by_count_and_bytes_and_knows_its_floor() -> None:
    for history in (History(10, 10**9), History(10**9, 10 * 800)):
        for n in range(1, 101):
            shown = Shown(f"song:{n % 3}", event(f"1-{n}", body="x" * 30), Position(1, n))
            history.append(shown)
        assert 9 <= len(history) <= 10
        floor = history.floors["music"]
        assert floor == Position(1, 100 - len(history))
        kept = [
            s.position.id for c in range(3) for s in history.after(f"song:{c}", {"music": floor})
        ]
        assert sorted(kept) == list(range(floor.id + 1, 101))
        assert history.size_bytes == len(history) * (700 + 90)


# --- all together -------------------------------------------------------------------------------


class World:
    """Events settle in one order; streams reach each of two replicas late, at their own pace."""

    STREAMS = ("music", "rewards", "listening")
    CHANNELS = ("song:1", "song:2")

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.settled: list[Event] = []
        self.hubs: list[Hub] = []
        self.on_the_way: dict[tuple[int, str], list[Event]] = {}
        for replica in range(2):
            limits = Limits(history_events=self.chance.choice((0, 3, 20)), joining_events=10_000)
            self.hubs.append(Hub(limits, self.replay, kinds=KINDS))
            for stream in self.STREAMS:
                self.hubs[-1].follow(stream, START)
                self.on_the_way[replica, stream] = []

    async def replay(
        self, channel: str, after: Mapping[str, Position], limit: int
    ) -> list[Event] | None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        return [
            e
            for e in self.settled
            if channel in e.channels
            and e.stream in after
            and parse_position(e.position) > after[e.stream]
        ]

    def happen(self) -> None:
        stream = self.chance.choice(self.STREAMS)
        channels = self.chance.choice((("song:1",), ("song:2",), self.CHANNELS))
        position = f"{len(self.settled) // 3 + 1}-{len(self.settled) + 1}"
        self.settled.append(event(position, channels, stream=stream))
        for replica in range(2):
            self.on_the_way[replica, stream].append(self.settled[-1])

    def arrive(self) -> None:
        replica, stream = self.chance.randrange(2), self.chance.choice(self.STREAMS)
        if waiting := self.on_the_way[replica, stream]:
            again = self.chance.random() < 0.2
            self.hubs[replica].publish(waiting[0] if again else waiting.pop(0))


class Client:
    """Keeps cursors as docs/realtime.md says, and loses its connection at any moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cursors: dict[str, dict[str, str]] = {}
        self.seen: list[tuple[str, str, str]] = []
        self.wire: FakeWire | None = None

    def connect(self) -> None:
        self.wire = FakeWire(self.world.chance.choice(self.world.hubs))
        for channel in World.CHANNELS:
            cursor = self.cursors.get(channel)
            at = None if cursor is None else {s: parse_position(p) for s, p in cursor.items()}
            self.wire.hub.join(self.wire.subscriber, channel, channel, at)

    def read(self) -> None:
        """Take what has come, in order."""
        assert self.wire is not None
        told, written = iter(self.wire.told), iter(self.wire.written)
        for line in self.wire.log:
            if line == "subscribed":
                answer = next(told)
                assert isinstance(answer, Subscribed)
                self.cursors.setdefault(answer.channel, {})
                self.cursors[answer.channel] = {**answer.cursor, **self.cursors[answer.channel]}
                continue
            found = decode(next(written))
            channel, stream, offset = (str(found[k]) for k in ("channel", "stream", "offset"))
            self.seen.append((channel, stream, offset))
            self.cursors[channel][stream] = offset
        self.wire.log.clear()
        self.wire.told.clear()
        self.wire.written.clear()

    def pong(self) -> None:
        """The server says how far all has been sent; what was sent before has arrived."""
        assert self.wire is not None
        self.read()
        for channel, cursor in self.cursors.items():
            if self.wire.subscriber in self.wire.hub._audiences[channel].members():
                for stream, offset in self.wire.hub.cursor().items():
                    cursor[stream] = max(cursor[stream], offset, key=parse_position)

    def lose(self) -> None:
        assert self.wire is not None
        self.read()
        self.wire.hub.drop(self.wire.subscriber)
        self.wire = None


@pytest.mark.parametrize("seed", range(60))
async def test_each_event_is_seen_once_and_in_order_however_often_connections_break(
    seed: int,
) -> None:
    world = World(seed)
    client = Client(world)
    client.connect()
    client.read()  # the first subscription is answered: from here on nothing may be missed
    for _ in range(300):
        match world.chance.randrange(8):
            case 0 | 1 | 2:
                world.happen()
            case 3 | 4:
                world.arrive()
                world.arrive()
            case 5 if client.wire is None:
                client.connect()
            case 5 | 6 if client.wire is not None and world.chance.random() < 0.5:
                client.lose()
            case 7 if client.wire is not None and world.chance.random() < 0.3:
                client.pong()
            case _:
                await asyncio.sleep(0)
    if client.wire is None:
        client.connect()
    while any(world.on_the_way.values()):
        world.arrive()
        await asyncio.sleep(0)
    for replica in world.hubs:
        await drain(replica)
        assert replica.counts.resyncs == 0
    client.read()
    for channel in World.CHANNELS:
        for stream in World.STREAMS:
            seen = [o for c, s, o in client.seen if (c, s) == (channel, stream)]
            wanted = [
                e.position for e in world.settled if e.stream == stream and channel in e.channels
            ]
            assert seen == wanted, (channel, stream)


async def drain(made: Hub) -> None:
    """Let the resumes under way finish."""
    while made._tasks:
        await asyncio.gather(*made._tasks)
