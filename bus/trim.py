"""Takes away what every group has handled: entries from the broker, old events from PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from bus.wiring import Wiring
from messages.bus import START, Position
from messages.errors import Unavailable

# Brokers drop whole nodes; what is left of the last one is not worth a warning.
ROUGHLY = 200

log = structlog.get_logger(__name__)


class Trimmer:
    """Trims all streams, a round every few seconds, while it holds the lease for it."""

    task_name = "trim"

    def __init__(self, streams: Sequence[str], wiring: Wiring) -> None:
        self._streams = streams
        self._store = wiring.store
        self._broker = wiring.broker
        self._clock_ms = wiring.clock_ms
        self._metrics = wiring.metrics
        self._limits = wiring.limits
        # Per stream, for the last grace period: (time, what all groups had handled by then).
        self._marks: dict[str, deque[tuple[int, Position]]] = {}

    async def run(self) -> None:
        """Trim for ever. Raises when PostgreSQL or the lease is lost: run it again."""
        leading = self._metrics.leading.labels(self.task_name)
        async with self._store.lease("bus/trim"):
            with leading.track_inprogress():
                while True:
                    for stream in self._streams:
                        await self.trim(stream)
                    before_ms = self._clock_ms() - self._limits.retention_ms
                    await self._store.purge_letters(before_ms)
                    await asyncio.sleep(self._limits.trim_every_s)

    async def trim(self, stream: str) -> None:
        """One round for one stream."""
        groups = await self._store.groups(stream)
        handled = min((group.position for group in groups), default=None)
        try:
            await self._trim_broker(stream, handled)
        except Unavailable as error:
            log.warning("broker away", stream=stream, error=str(error))
        if handled is None:
            # Nobody is registered: age alone decides.
            handled = await self._store.settled_position()
        await self._purge(stream, handled)

    async def _trim_broker(self, stream: str, handled: Position | None) -> None:
        floor = handled if handled is not None else await self._broker.top(stream)
        limit = self._limits.stream_limit
        due = self._before_grace(stream, floor)
        if await self._broker.length(stream) > limit:
            due = floor  # the grace period gives way
        if due > START:
            dropped = await self._broker.trim_below(stream, due)
            self._metrics.trimmed.labels(stream, "handled").inc(dropped)
        if await self._broker.length(stream) > limit + ROUGHLY:
            # Some group is far behind. It will find what goes here in PostgreSQL.
            dropped = await self._broker.trim_to(stream, limit)
            self._metrics.trimmed.labels(stream, "limit").inc(dropped)
            log.warning("stream over its limit", stream=stream, dropped=dropped)

    def _before_grace(self, stream: str, floor: Position) -> Position:
        """The newest position that was handled by all a grace period ago; START if none was."""
        now_ms = self._clock_ms()
        marks = self._marks.setdefault(stream, deque())
        marks.append((now_ms, floor))
        due = START
        while marks and marks[0][0] <= now_ms - self._limits.grace_ms:
            due = marks.popleft()[1]
        # A group that was registered since then, for what is there, holds trimming back.
        return min(due, floor)

    async def _purge(self, stream: str, handled: Position) -> None:
        before_ms, batch = self._clock_ms() - self._limits.retention_ms, self._limits.purge_batch
        deleted = batch
        while deleted == batch:
            deleted = await self._store.purge(stream, handled, before_ms, batch)
            self._metrics.purged.labels(stream).inc(deleted)
