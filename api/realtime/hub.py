"""Channels and who listens to them. An event is encoded once and written to each listener.

Events of one stream arrive in the order of their positions; streams are independent. The hub keeps
a *frontier*, the last position of each stream, and a bounded history, so that a listener that comes
back gets what it missed: from memory where the history reaches, else from PostgreSQL (`replay`),
else it is told to load the channel's state again.

A resume that has to read PostgreSQL first notes the frontier and begins to hold live events back;
what it reads counts up to that frontier; then the held events follow. The two parts meet exactly,
so there is neither a gap nor a repetition, whatever arrives meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from api.realtime.channels import CHANNEL_KINDS, ChannelKind, Cursor, render_cursor
from api.realtime.frames import FORMS, Shown
from api.realtime.history import History
from api.realtime.limits import Limits
from api.realtime.protocol import Resync, Subscribed
from api.realtime.subscriber import Subscriber
from messages.bus import START, Position, parse_position
from messages.envelope import Event

log = structlog.get_logger(__name__)

# (channel, position per stream, limit) → the channel's events of those streams above them, ordered
# by position, at most limit + 1; None if some may be gone.
Replay: TypeAlias = Callable[
    [str, Cursor, int], Awaitable[list[Event] | None]
]  # fmt: skip


async def no_replay(channel: str, after: Cursor, limit: int) -> list[Event] | None:
    """For hubs without a database: what is not in memory is gone."""
    return None


@dataclass(slots=True)
class Joining:
    """A listener that waits for its replay; live events are held back meanwhile."""

    request_id: str
    cursor: dict[str, Position]
    frontier: dict[str, Position]
    early: list[Shown]
    held: list[Shown] = field(default_factory=list)
    spoilt: str = ""


class Audience:
    """Who listens to a channel, by form, and who is about to."""

    __slots__ = ("ahead", "conflatable", "joining", "live")

    def __init__(self, *, conflatable: bool) -> None:
        self.conflatable = conflatable
        self.live: tuple[dict[Subscriber, None], ...] = tuple({} for _ in range(FORMS))
        self.joining: dict[Subscriber, Joining] = {}
        # Those who know more of some stream than this hub does: they came from a faster replica.
        self.ahead: dict[Subscriber, dict[str, Position]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.live)) + len(self.joining) + len(self.ahead)

    def deliver(self, shown: Shown, max_held: int) -> list[Subscriber]:
        """Write to all; returns those that are too slow or broken. The hot loop of the door."""
        doomed: list[Subscriber] = []
        for form, members in enumerate(self.live):
            if not members:
                continue
            data = shown.wire(form)
            for listener in members:
                try:
                    if not listener.congested:
                        listener.write(data)
                    elif listener.offer(shown, conflatable=self.conflatable):
                        doomed.append(listener)
                except Exception:  # noqa: BLE001 - a broken transport is that listener's alone
                    doomed.append(listener)
        if self.ahead:
            doomed += self._deliver_ahead(shown)
        for joining in self.joining.values():
            if len(joining.held) < max_held:
                joining.held.append(shown)
            else:
                joining.spoilt = "too-many"
        return doomed

    def _deliver_ahead(self, shown: Shown) -> list[Subscriber]:
        doomed: list[Subscriber] = []
        for listener, passed in self.ahead.items():
            if shown.position > passed.get(shown.stream, START):
                try:
                    if listener.hand(shown, conflatable=self.conflatable):
                        doomed.append(listener)
                except Exception:  # noqa: BLE001 - as above
                    doomed.append(listener)
        return doomed

    def admit(self, listener: Subscriber, cursor: Cursor, frontier: Cursor) -> None:
        """From now on the listener gets what is published."""
        passed = {s: at for s, at in cursor.items() if s in frontier and at > frontier[s]}
        if passed:
            self.ahead[listener] = passed
        else:
            self.live[listener.form][listener] = None

    def promote(self, frontier: Cursor) -> None:
        """Those whom the hub has caught up with are like all others."""
        for listener, passed in list(self.ahead.items()):
            if all(frontier[stream] >= at for stream, at in passed.items()):
                del self.ahead[listener]
                self.live[listener.form][listener] = None

    def members(self) -> list[Subscriber]:
        """All whose subscription was answered."""
        return [*(listener for part in self.live for listener in part), *self.ahead]


@dataclass(slots=True)
class HubCounts:
    """What the hub has done so far."""

    published: int = 0
    duplicates: int = 0
    deliveries: int = 0
    conflated: int = 0
    resumed_memory: int = 0
    resumed_replay: int = 0
    resyncs: int = 0
    gaps: int = 0


class Hub:
    """See the module. Lives in one event loop; only `replay` awaits."""

    def __init__(
        self,
        limits: Limits | None = None,
        replay: Replay = no_replay,
        *,
        kinds: Mapping[str, ChannelKind] = CHANNEL_KINDS,
    ) -> None:
        self.limits = limits or Limits()
        self.kinds = kinds
        self.counts = HubCounts()
        self.history = History(self.limits.history_events, self.limits.history_bytes)
        self.frontier: dict[str, Position] = {}
        self._replay = replay
        self._replays = asyncio.Semaphore(self.limits.replays_at_once)
        self._audiences: dict[str, Audience] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what arrives ---------------------------------------------------------------------------

    def follow(self, stream: str, position: Position) -> None:
        """From here on every event of the stream above `position` is published. Once a stream."""
        self.frontier.setdefault(stream, position)
        if stream not in self.history.floors:
            self.history.raise_floor(stream, position)

    def publish(self, event: Event, position: Position | None = None) -> bool:
        """Show an event on its channels. False if its position was passed already.

        position: the event's, where it was read before.
        """
        if position is None:
            position = parse_position(event.position)
        stream = event.stream
        reached = self.frontier.get(stream)
        if reached is None:
            self.follow(stream, Position(position.xid, position.id - 1))
        elif position <= reached:
            self.counts.duplicates += 1
            return False
        self.frontier[stream] = position
        self.counts.published += 1
        channels = event.channels
        for channel in channels if len(channels) < 2 else dict.fromkeys(channels):
            shown = Shown(channel, event, position)
            self.history.append(shown)
            if (audience := self._audiences.get(channel)) is not None:
                self._deliver(audience, shown)
        return True

    def skip(self, stream: str, position: Position) -> None:
        """There is nothing to show up to a position."""
        self.frontier[stream] = max(position, self.frontier.get(stream, START))

    def lost(self, stream: str, up_to: Position) -> None:
        """Events of the stream up to a position will not come: every listener must look again."""
        self.counts.gaps += 1
        self.history.raise_floor(stream, up_to)
        self.frontier[stream] = max(up_to, self.frontier.get(stream, START))
        for channel, audience in list(self._audiences.items()):
            for joining in audience.joining.values():
                joining.spoilt = "gap"
            for listener in audience.members():
                self._resync(listener, channel, "gap")

    def _deliver(self, audience: Audience, shown: Shown) -> None:
        self.counts.deliveries += sum(map(len, audience.live))
        for listener in audience.deliver(shown, self.limits.joining_events):
            listener.too_slow()
        if audience.ahead:
            audience.promote(self.frontier)

    # --- who listens ----------------------------------------------------------------------------

    def join(
        self,
        listener: Subscriber,
        channel: str,
        request_id: str,
        cursor: dict[str, Position] | None,
    ) -> None:
        """Subscribe, and answer before the first event. Needs a running loop to read PostgreSQL."""
        listener.channels.add(channel)
        audience = self._audience(channel)
        if cursor is None:
            listener.tell(Subscribed(request_id, channel, self.cursor(), resumed=False))
            audience.live[listener.form][listener] = None
            return
        # Streams that this hub does not follow are none of its business.
        cursor = {s: at for s, at in cursor.items() if s in self.frontier}
        missing = self._missing(cursor)
        known = {s: at for s, at in cursor.items() if s not in missing}
        joining = Joining(
            request_id, cursor, dict(self.frontier), self.history.after(channel, known)
        )
        if not missing:
            self.counts.resumed_memory += 1
            self._release(listener, channel, audience, joining, [])
            return
        audience.joining[listener] = joining
        task = asyncio.create_task(self._read(listener, channel, joining, missing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self, listener: Subscriber, channel: str) -> None:
        """Unsubscribe. Nothing of the channel is written to the listener from here on."""
        listener.channels.discard(channel)
        listener.pending.pop(channel, None)
        audience = self._audiences.get(channel)
        if audience is None:
            return
        audience.live[listener.form].pop(listener, None)
        audience.joining.pop(listener, None)
        audience.ahead.pop(listener, None)
        if not audience:
            del self._audiences[channel]

    def drop(self, listener: Subscriber) -> None:
        """The connection is over."""
        for channel in list(listener.channels):
            self.leave(listener, channel)
        self.counts.conflated += listener.conflated

    def cursor(self) -> dict[str, str]:
        """The frontier, as clients see it."""
        return render_cursor(self.frontier)

    @property
    def channels(self) -> int:
        """How many channels have listeners."""
        return len(self._audiences)

    async def close(self) -> None:
        """Stop the resumes under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- resuming -------------------------------------------------------------------------------

    async def _read(
        self, listener: Subscriber, channel: str, joining: Joining, missing: Cursor
    ) -> None:
        events: list[Event] | None = None
        limit = self.limits.replay_events
        try:
            async with self._replays, asyncio.timeout(self.limits.replay_timeout_ms / 1_000):
                events = await self._replay(channel, missing, limit)
            if events is None:
                joining.spoilt = joining.spoilt or "too-old"
            elif len(events) > limit:
                joining.spoilt = joining.spoilt or "too-many"
        except Exception:  # the listener is told; the cause is for the operator
            log.exception("replay failed", channel=channel)
            joining.spoilt = "gap"
        audience = self._audiences.get(channel)
        if audience is None or audience.joining.get(listener) is not joining:
            return  # it left meanwhile
        del audience.joining[listener]
        self.counts.resumed_replay += not joining.spoilt
        self._release(listener, channel, audience, joining, self._missed(channel, joining, events))

    def _missing(self, cursor: Cursor) -> dict[str, Position]:
        """The part of the cursor that memory cannot serve: below its floor, or not reached yet.

        The latter is a listener that comes from a faster replica, or with another database's
        offset; PostgreSQL knows which.
        """
        floors, frontier = self.history.floors, self.frontier
        return {s: at for s, at in cursor.items() if not floors[s] <= at <= frontier[s]}

    def _missed(self, channel: str, joining: Joining, events: list[Event] | None) -> list[Shown]:
        """What was read, up to the frontier at which live events began to be held."""
        if joining.spoilt or events is None:
            return []
        read = [Shown(channel, event, parse_position(event.position)) for event in events]
        return [
            shown for shown in read if shown.position <= joining.frontier.get(shown.stream, START)
        ]

    def _release(
        self,
        listener: Subscriber,
        channel: str,
        audience: Audience,
        joining: Joining,
        missed: list[Shown],
    ) -> None:
        """Answer, bring what was missed, go live. Nothing can come between: it does not await."""
        if joining.spoilt:
            audience.admit(listener, {}, self.frontier)
            listener.tell(Subscribed(joining.request_id, channel, self.cursor(), resumed=False))
            self._resync(listener, channel, joining.spoilt)
            return
        audience.admit(listener, joining.cursor, self.frontier)
        cursor = render_cursor({**joining.frontier, **joining.cursor})
        listener.tell(Subscribed(joining.request_id, channel, cursor, resumed=True))
        past = sorted(joining.early + missed, key=lambda shown: shown.position)
        past += [e for e in joining.held if e.position > joining.cursor.get(e.stream, START)]
        for shown in past[-1:] if audience.conflatable else past:
            if listener.hand(shown, conflatable=audience.conflatable):
                listener.too_slow()
                return

    def _resync(self, listener: Subscriber, channel: str, reason: str) -> None:
        self.counts.resyncs += 1
        listener.tell(Resync(channel, self.cursor(), reason))

    def _audience(self, channel: str) -> Audience:
        audience = self._audiences.get(channel)
        if audience is None:
            kind = self.kinds.get(channel.partition(":")[0])
            audience = Audience(conflatable=kind is not None and kind.conflatable)
            self._audiences[channel] = audience
        return audience
