"""The active consumer of a group on a stream: the broker for speed, PostgreSQL for the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from bus.delivery import Delivery
from bus.handler import Handler
from bus.retry import Backoff
from bus.stream import Entry, GroupMissingError
from bus.wiring import Wiring
from messages.bus import START, Position
from messages.envelope import Event
from messages.errors import Unavailable

__all__ = ["Consumer", "Handler"]

log = structlog.get_logger(__name__)


class Consumer:
    """Hands a stream's events to a group's handler while it holds the group's lease.

    It knows from the inbox up to where the group's effects are committed, and each entry names the
    event before it. So it can tell what was handled, what comes next and what is missing, and it
    fetches what is missing from PostgreSQL: entries that were lost, trimmed, or taken by a consumer
    that died. When the broker stays silent or away it asks PostgreSQL as well.
    """

    def __init__(
        self,
        name: str,
        handler: Handler,
        stream: str,
        wiring: Wiring,
    ) -> None:
        self.task_name = f"consumer/{handler.group}/{stream}"
        self._name = name
        self._group = handler.group
        self._stream = stream
        self._delivery = Delivery(handler, stream, wiring)
        self._store = wiring.store
        self._broker = wiring.broker
        self._metrics = wiring.metrics
        self._limits = wiring.limits
        self._joined = False
        self._replays_due_at = 0.0

    async def run(self) -> None:
        """Consume for ever. Raises when PostgreSQL or the lease is lost: run it again."""
        leading = self._metrics.leading.labels(self.task_name)
        async with self._store.lease(f"bus/{self.task_name}"):
            with leading.track_inprogress():
                await self.load()
                await self._consume()

    async def load(self) -> None:
        """Begin: ask the inbox where the group stands."""
        await self._delivery.load()
        self.rejoin()

    def rejoin(self) -> None:
        """What the broker knew of us may be gone: open the group and claim again, next turn."""
        self._joined = False

    async def _consume(self) -> None:
        away = Backoff(self._limits.retry_pause_s, self._limits.retry_pause_max_s)
        while True:
            try:
                await self.turn()
                away.reset()
            except GroupMissingError:
                # The broker forgot the group, perhaps the stream. The inbox knows where it stands.
                log.warning("group is opened anew", group=self._group, stream=self._stream)
                self.rejoin()
                await self.catch_up()
            except Unavailable as error:
                log.warning("broker away", group=self._group, error=str(error))
                self.rejoin()
                await self.catch_up()
                await away.wait()

    async def turn(self) -> None:
        """One round: what the broker has, or what PostgreSQL has if the broker has nothing."""
        if not self._joined:
            await self._join()
            self._joined = True
        limit, block_ms = self._limits.handle_batch, self._limits.block_ms
        entries = await self._broker.read(self._stream, self._group, self._name, limit, block_ms)
        if entries:
            await self.take(entries)
        else:
            await self.catch_up()
        await self._replay_when_due()

    async def _join(self) -> None:
        """Take over what was delivered to consumers that are gone."""
        group = (self._stream, self._group)
        await self._broker.open_group(*group, self._delivery.position)
        limit = self._limits.handle_batch
        while entries := await self._broker.claim(*group, self._name, limit):
            await self.take(entries)
        await self._broker.retire(*group, self._name)

    async def take(self, entries: Sequence[Entry]) -> None:
        """Handle entries and acknowledge them, filling holes from PostgreSQL."""
        rest = self._not_handled(entries)
        asked = START
        while rest:
            if rest[0].previous > max(self._delivery.position, asked):
                asked = rest[0].previous
                await self.catch_up(asked)
            else:
                # A hole that was asked about and is there still is one in PostgreSQL as well: what
                # was in it left before the group was registered.
                await self._delivery.deliver(_unbroken(rest))
            rest = self._not_handled(rest)
        done = [entry.position for entry in entries]
        await self._broker.acknowledge(self._stream, self._group, done)

    def _not_handled(self, entries: Sequence[Entry]) -> list[Entry]:
        at = self._delivery.position
        return [entry for entry in entries if entry.event is not None and entry.position > at]

    async def catch_up(self, up_to: Position | None = None) -> None:
        """Handle what PostgreSQL has above the group's position: up to `up_to`, or all of it."""
        limit = self._limits.handle_batch
        while up_to is None or self._delivery.position < up_to:
            at = self._delivery.position
            events = await self._store.read_settled(self._stream, at, limit)
            if not events:
                return
            self._metrics.from_store.labels(self._group, self._stream).inc(len(events))
            await self._delivery.deliver(events)

    async def _replay_when_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._replays_due_at:
            self._replays_due_at = now + self._limits.block_ms / 1000
            await self._delivery.replay()


def _unbroken(entries: Sequence[Entry]) -> list[Event]:
    """The events of the first entry and of those that follow it without a hole."""
    run: list[Event] = []
    at: Position | None = None
    for entry in entries:
        if entry.event is None or (at is not None and entry.previous > at):
            break
        run.append(entry.event)
        at = entry.position
    return run
