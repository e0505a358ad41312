"""From the bus to the hub: tails Redis streams, and reads PostgreSQL where Redis has a hole.

Redis may be away, come back empty, or have trimmed what was not read yet. An entry names the
position of the one before it, so a hole shows; `Past` (PostgreSQL) fills it. While Redis is away
the feed asks PostgreSQL alone, every second or so. Without a `Past` the listeners are told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from api.realtime.hub import Hub
from api.realtime.metrics import RealtimeMetrics
from bus.stream import Entry
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from messages.errors import Unavailable

BATCH = 500
BLOCK_MS = 1_000
FILL_LIMIT = 10_000  # events of a hole that are still brought one by one
CHECK_EVERY_S = 5.0  # how often an idle feed asks whether something passed it by
PAUSE_S = 0.2
PAUSE_MAX_S = 2.0
# The loop is given to others after so many deliveries.
DELIVERIES_AT_ONCE = 2_000

log = structlog.get_logger(__name__)


class Broker(Protocol):
    """What the feed asks of Redis; `bus.stream_redis.RedisStream` is one. Raises Unavailable."""

    async def top(self, stream: str) -> Position:
        """The last position the stream was given."""

    async def tail(
        self, after: Mapping[str, Position], limit: int, block_ms: int
    ) -> dict[str, list[Entry]]:
        """What streams hold after a position each."""


class Past(Protocol):
    """What the feed asks of PostgreSQL; `storage.realtime.RealtimeStore` is one."""

    async def newest(self, stream: str) -> Position:
        """The last settled position of the stream; START if it has no events."""

    async def has_reached(self, position: Position) -> bool:
        """Whether this database could have written the position."""

    async def read(self, stream: str, after: Position, limit: int) -> Sequence[Event]:
        """The stream's next settled events."""


class Feed:
    """Follows `streams` from the moment it starts. Never gives up."""

    def __init__(
        self,
        broker: Broker,
        streams: Sequence[str],
        past: Past | None = None,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.streams = tuple(streams)
        self.up = False
        self._broker = broker
        self._past = past
        self._clock = clock
        self._answered = time.monotonic()
        self._checked = 0.0
        self._hub: Hub | None = None
        self._metrics: RealtimeMetrics | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, hub: Hub, metrics: RealtimeMetrics) -> None:
        """Begin to follow. Whoever joins the hub after this misses nothing.

        Raises what the stores raise if neither says where the streams end.
        """
        assert self._task is None, "a feed starts once"
        self._hub, self._metrics = hub, metrics
        await self._anchor(hub)
        self._task = asyncio.create_task(self._run(hub, metrics))

    async def stop(self) -> None:
        """Stop following. The broker stays open: it is the caller's."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._set_up(False)

    def age_s(self) -> float:
        """Seconds since the broker last answered."""
        return time.monotonic() - self._answered

    async def _run(self, hub: Hub, metrics: RealtimeMetrics) -> None:
        pause = PAUSE_S
        while True:
            try:
                await self._read(hub, metrics)
                pause = PAUSE_S
                continue
            except Unavailable as error:
                if self.up:
                    log.warning("broker away", error=error.detail)
            except Exception:
                log.exception("feed failed")
            self._set_up(False)
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX_S)
            await self._ask_past(hub, metrics)

    async def _anchor(self, hub: Hub) -> None:
        """Where to begin: the end of what was published or could have been."""
        for stream in self.streams:
            top = await self._top(stream)
            if self._past is not None:
                if not await self._past.has_reached(top):
                    top = START  # written for another database; the relay will start anew
                top = max(top, await self._past.newest(stream))
            hub.follow(stream, top)

    async def _top(self, stream: str) -> Position:
        """The broker's last position; START while it is away, for the past knows as well."""
        try:
            return await self._broker.top(stream)
        except Unavailable:
            if self._past is None:
                raise
            return START

    async def _read(self, hub: Hub, metrics: RealtimeMetrics) -> None:
        after = {stream: hub.frontier[stream] for stream in self.streams}
        found = await self._broker.tail(after, BATCH, BLOCK_MS)
        self._answered = time.monotonic()
        self._set_up(True)
        for stream, entries in found.items():
            for entry in entries:
                if entry.previous > hub.frontier[stream]:
                    await self._fill(hub, metrics, stream, entry.previous)
                if entry.event is None:
                    hub.skip(stream, entry.position)
                elif self._show(hub, entry.event, entry.position) >= DELIVERIES_AT_ONCE:
                    await asyncio.sleep(0)
            newest = next((e.event for e in reversed(entries) if e.event), None)
            if newest is not None:
                metrics.feed_seconds.observe(max(0, self._clock() - newest.at_ms) / 1_000)
        if not found and self._answered - self._checked >= CHECK_EVERY_S:
            self._checked = self._answered
            await self._check(hub, metrics)

    async def _check(self, hub: Hub, metrics: RealtimeMetrics) -> None:
        """Has a stream's top moved without an entry that we could read?"""
        for stream in self.streams:
            top = await self._broker.top(stream)
            known = self._past is None or await self._past.has_reached(top)
            if known and top > hub.frontier[stream]:
                # Unless the entry came between the two questions, it is gone from the broker.
                if await self._broker.tail({stream: hub.frontier[stream]}, 1, 1):
                    continue
                await self._fill(hub, metrics, stream, top)

    async def _fill(self, hub: Hub, metrics: RealtimeMetrics, stream: str, up_to: Position) -> None:
        """Bring what the broker lost, up to a position; tell the listeners if that cannot be."""
        log.warning("hole in a stream", stream=stream, after=str(hub.frontier[stream]))
        if self._past is not None:
            for _ in range(FILL_LIMIT // BATCH):
                events = await self._past.read(stream, hub.frontier[stream], BATCH)
                events = [e for e in events if parse_position(e.position) <= up_to]
                for event in events:
                    await self._bring(hub, event)
                metrics.feed_filled.inc(len(events))
                if len(events) < BATCH:
                    hub.skip(stream, up_to)
                    return
        hub.lost(stream, up_to)

    async def _ask_past(self, hub: Hub, metrics: RealtimeMetrics) -> None:
        """What the broker cannot tell at present."""
        if self._past is None:
            return
        try:
            for stream in self.streams:
                if stream not in hub.frontier:
                    continue
                events = await self._past.read(stream, hub.frontier[stream], BATCH)
                for event in events:
                    await self._bring(hub, event)
                metrics.feed_filled.inc(len(events))
        except Exception as error:  # noqa: BLE001 - both are away: the next round may be luckier
            log.warning("no news at all", error=repr(error))

    async def _bring(self, hub: Hub, event: Event) -> None:
        if self._show(hub, event, None) >= DELIVERIES_AT_ONCE:
            await asyncio.sleep(0)

    def _show(self, hub: Hub, event: Event, position: Position | None) -> int:
        """Publish, and return how many listeners that reached."""
        before = hub.counts.deliveries
        try:
            hub.publish(event, position)
        except Exception:
            log.exception("event cannot be shown", event_id=event.event_id, type=event.type)
        return hub.counts.deliveries - before

    def _set_up(self, up: bool) -> None:
        if up and not self.up:
            log.info("following", streams=self.streams)
        self.up = up
        if self._metrics is not None:
            self._metrics.feed_up.set(up)
