"""Publishes one stream of the outbox, in order, without a hole and without a repetition.

The relay keeps no cursor of its own: the broker's top *is* the cursor. Every publication names the
top it expects, and the broker refuses if it is another, which tells that the broker lost something,
that another relay is at work, or that an earlier attempt arrived after all. In each case the relay
looks at the top again and goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from bus.retry import Backoff
from bus.wiring import Wiring
from messages.bus import START, Position, parse_position
from messages.envelope import Event
from messages.errors import Unavailable

log = structlog.get_logger(__name__)


class Relay:
    """Publishes `stream` while it holds the stream's lease."""

    def __init__(
        self,
        stream: str,
        wiring: Wiring,
    ) -> None:
        self.stream = stream
        self.task_name = f"relay/{stream}"
        self._store = wiring.store
        self._broker = wiring.broker
        self._metrics = wiring.metrics
        self._limits = limits = wiring.limits
        self._settling = Backoff(limits.settle_poll_s, limits.settle_poll_max_s)
        self._is_behind = False

    async def run(self) -> None:
        """Publish for ever. Raises when PostgreSQL or the lease is lost: run it again."""
        leading = self._metrics.leading.labels(self.task_name)
        async with self._store.lease(f"bus/{self.task_name}"):
            with self._store.wakes(self.stream) as wake, leading.track_inprogress():
                await self._lead(wake)

    async def _lead(self, wake: asyncio.Event) -> None:
        away = Backoff(self._limits.retry_pause_s, self._limits.retry_pause_max_s)
        top: Position | None = None
        while True:
            try:
                if top is None:
                    top = await self.find_top()
                wake.clear()
                reached = await self.publish_after(top)
                top = reached or top
                if reached is None or not (self._is_behind or wake.is_set()):
                    top = await self._rest(top, wake)
                away.reset()
            except Unavailable as error:
                log.warning("broker away", stream=self.stream, error=str(error))
                top = None
                await away.wait()

    async def find_top(self) -> Position:
        """Where to go on: the broker's top, unless the stream must be filled anew."""
        top = await self._broker.top(self.stream)
        # A top that this database has not reached was written for another one (it was restored
        # from a backup, or Redis was): nothing could ever be published above it.
        foreign = top.xid >= await self._store.next_xid()
        if top != START and not foreign:
            return top
        start = await self._refill_start()
        if start == START and not foreign:
            return START
        log.warning("stream is filled anew", stream=self.stream, top=str(top), start=str(start))
        self._metrics.refills.labels(self.stream).inc()
        return await self._broker.begin(self.stream, top, start)

    async def _refill_start(self) -> Position:
        """The first registered group's position, but not more than `stream_limit` events back."""
        groups = await self._store.groups(self.stream)
        first = min((group.position for group in groups), default=START)
        newest = await self._store.nth_newest(self.stream, self._limits.stream_limit)
        return max(first, newest or START)

    async def publish_after(self, top: Position) -> Position | None:
        """Publish one batch and return the broker's top; None if nothing is settled after `top`."""
        limit = self._limits.publish_batch
        events = await self._store.read_settled(self.stream, top, limit)
        self._is_behind = len(events) == limit  # else there was nothing more a moment ago
        if not events:
            return None
        for batch in _by_bytes(events, self._limits.publish_bytes):
            wanted = parse_position(batch[-1].position)
            reached = await self._broker.publish(self.stream, top, batch)
            if reached != wanted:
                log.warning("stream moved", stream=self.stream, top=str(reached), ours=str(top))
                return await self.find_top()
            self._metrics.published.labels(self.stream).inc(len(batch))
            top = reached
        self._settling.reset()
        return top

    async def _rest(self, top: Position, wake: asyncio.Event) -> Position:
        """Wait for something to publish. Returns the top, looked up again if it was a long wait."""
        if await self._store.has_after(self.stream, top):
            # Committed, but an older transaction is not over; its end wakes nobody.
            await self._settling.wait()
            return top
        self._settling.reset()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.idle_poll_s):
                await wake.wait()
                return top
        return await self.find_top()


def _by_bytes(events: Sequence[Event], limit: int) -> list[list[Event]]:
    """Cut into runs whose bodies have `limit` bytes or so, at least one event each."""
    batches: list[list[Event]] = [[]]
    size = 0
    for event in events:
        if batches[-1] and size + len(event.body) > limit:
            batches.append([])
            size = 0
        batches[-1].append(event)
        size += len(event.body)
    return batches
