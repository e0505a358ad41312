"""Hands events to a handler, in order, so that each takes effect once or is parked."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from bus.handler import Handler, is_transactional
from bus.retry import Backoff, is_transient
from bus.store import Connection
from bus.wiring import Wiring
from messages.bus import START, DeadLetter, Position, parse_position
from messages.envelope import Event
from messages.errors import Unavailable

REPLAY_BATCH = 20

log = structlog.get_logger(__name__)


class ReplacedError(Exception):
    """The group moved under our feet: another consumer is the active one. Nothing was committed."""


class Delivery:
    """One group's way through one stream. `position` is up to where its effects are committed."""

    def __init__(
        self,
        handler: Handler,
        stream: str,
        wiring: Wiring,
    ) -> None:
        self.position: Position = START
        self._handler = handler
        self._group = handler.group
        self._stream = stream
        self._store = wiring.store
        self._broker = wiring.broker
        self._clock_ms = wiring.clock_ms
        self._metrics = wiring.metrics
        self._limits = wiring.limits
        self._labels = (handler.group, stream)

    async def load(self) -> None:
        """Ask the inbox where the group stands."""
        self.position = await self._store.position(self._group, self._stream)

    async def deliver(self, events: Sequence[Event]) -> None:
        """Return when all events are handled or parked. They follow `position` without a hole.

        Raises ReplacedError; whatever is away is waited for.
        """
        if len(events) > 1 and await self._try(events) is None:
            return
        # One of them is to blame: each by itself, so that only that one is parked.
        for event in events:
            await self._deliver_one(event)

    async def skip_to(self, reached: Position) -> None:
        """Nothing up to a position concerns the handler. Raises ReplacedError."""
        if reached > self.position:
            async with self._store.transaction() as connection:
                await self._advance(connection, reached, 0)
            self.position = reached

    async def _deliver_one(self, event: Event) -> None:
        pause = Backoff(self._limits.attempt_pause_s, self._limits.attempt_pause_max_s)
        error = await self._try([event])
        for _ in range(self._limits.attempts - 1):
            if error is None:
                return
            await pause.wait()
            error = await self._try([event])
        if error is not None:
            await self._park(event, error)

    async def _try(self, events: Sequence[Event]) -> Exception | None:
        """Commit the effects of the events above `position`. Returns what the handler raised.

        What is away is waited for. After such a failure nobody knows whether the commit arrived, so
        the inbox is asked.
        """
        pause = Backoff(self._limits.retry_pause_s, self._limits.retry_pause_max_s)
        unsure = False
        while True:
            try:
                if unsure:
                    await self.load()
                fresh = [e for e in events if parse_position(e.position) > self.position]
                if fresh:
                    await self._commit(fresh)
            except ReplacedError:
                raise
            except Exception as error:  # noqa: BLE001 - a handler may raise anything
                if not is_transient(error, self._store):
                    self._count_failure(error, events)
                    return error
                log.warning("retry", group=self._group, stream=self._stream, error=repr(error))
                self._metrics.retries.labels(*self._labels).inc()
                unsure = True
            else:
                return None
            await pause.wait()

    async def _commit(self, events: Sequence[Event]) -> None:
        reached = parse_position(events[-1].position)
        if is_transactional(self._handler):
            async with self._store.transaction() as connection:
                await self._handler.handle(connection, events)
                # Last, so that a handler that only reads or sends holds no transaction id: every
                # open one holds back the relays.
                await self._advance(connection, reached, len(events))
        else:
            async with self._store.connection() as connection:
                await self._handler.handle(connection, events)
            async with self._store.transaction() as connection:
                await self._advance(connection, reached, len(events))
        self.position = reached
        self._metrics.handled.labels(*self._labels).inc(len(events))
        age_ms = max(0, self._clock_ms() - events[0].at_ms)
        self._metrics.latency.labels(*self._labels).observe(age_ms / 1000)

    async def _advance(self, connection: Connection, reached: Position, handled: int) -> None:
        step = (self.position, reached)
        now_ms = self._clock_ms()
        moved = await self._store.advance(
            connection, self._group, self._stream, step, handled, now_ms
        )
        if not moved:
            raise ReplacedError(f"{self._group} is no longer at {self.position} of {self._stream}")

    async def _park(self, event: Event, error: Exception) -> None:
        """Give the event up: the letter and the group's step past it are one transaction."""
        pause = Backoff(self._limits.retry_pause_s, self._limits.retry_pause_max_s)
        reached, text = parse_position(event.position), _describe(error)
        while True:
            try:
                await self.load()
                if reached <= self.position:
                    return
                async with self._store.transaction() as connection:
                    attempts, now_ms = self._limits.attempts, self._clock_ms()
                    await self._store.park(connection, self._group, event, text, attempts, now_ms)
                    await self._advance(connection, reached, 0)
                break
            except Exception as away:
                if not is_transient(away, self._store):
                    raise
            await pause.wait()
        self.position = reached
        log.error("parked", group=self._group, event_id=event.event_id, type=event.type, error=text)
        self._metrics.parked.labels(*self._labels).inc()
        try:
            await self._broker.mirror_dead(self._group, event, text)
        except Unavailable:
            log.warning("the mirror of dead letters missed one", event_id=event.event_id)

    async def replay(self) -> None:
        """Handle the letters that an operator marked, in the order of their positions."""
        for letter in await self._store.replays(self._group, self._stream, REPLAY_BATCH):
            try:
                await self._replay_one(letter)
            except ReplacedError:
                raise
            except Exception as error:  # noqa: BLE001 - a handler may raise anything
                if is_transient(error, self._store):
                    return  # it stays marked; the consumer comes back
                text = _describe(error)
                await self._store.park_again(letter.id, text, self._clock_ms())
                log.warning("replay failed", group=self._group, letter=letter.id, error=text)

    async def _replay_one(self, letter: DeadLetter) -> None:
        if is_transactional(self._handler):
            async with self._store.transaction() as connection:
                await self._handler.handle(connection, [letter.event])
                if not await self._store.close_letter(connection, letter.id):
                    raise ReplacedError(f"letter {letter.id} was closed by another consumer")
        else:
            async with self._store.connection() as connection:
                await self._handler.handle(connection, [letter.event])
                await self._store.close_letter(connection, letter.id)
        self._metrics.replayed.labels(*self._labels).inc()

    def _count_failure(self, error: Exception, events: Sequence[Event]) -> None:
        self._metrics.failures.labels(*self._labels).inc()
        first = events[0]
        log.warning(
            "handler failed", group=self._group, error=repr(error), event_id=first.event_id,
            type=first.type, batch=len(events), exc_info=error,
        )  # fmt: skip


def _describe(error: Exception) -> str:
    """The error as text that PostgreSQL takes, whatever is in it."""
    text = f"{type(error).__name__}: {error}".replace("\0", "\\0")
    return text.encode("utf-8", "backslashreplace").decode()
