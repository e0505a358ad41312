"""A lane: some of a kind's partitions, one connection, one batch after the other.

What has arrived is one batch, what arrives meanwhile is the next. A batch is looked up, loaded,
decided, committed, and only then answered. If the commit fails, or its outcome is unknown, memory
is dropped and the batch runs again; recorded answers make that exactly-once.

A kind that `overlaps` has the next batch looked up just before the one ahead of it is written, and
decided meanwhile, on what memory will be. If the one ahead fails, both run again, in their order.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from actors.runtime import funds
from actors.runtime.batch import GATHERING_FAILED, INTERNAL, Batch, Redo, Reserves
from actors.runtime.codec import Codec, encode, error_answer
from actors.runtime.connector import Connector
from actors.runtime.entities import Entity, LiveEntities
from actors.runtime.failures import clashes_with_journal, is_passing
from actors.runtime.flight import Flight
from actors.runtime.intake import Intake, without_repeats
from actors.runtime.kind import EntityKind
from actors.runtime.limits import Limits
from actors.runtime.mail import Item, unanswered
from actors.runtime.metrics import HostMetrics
from actors.runtime.ownership import Identity, Ownership
from messages.envelope import Answer
from messages.errors import Unavailable, VibeStreamError
from storage import journal, outbox, reminders
from storage.database import Connection, Pool

logger = structlog.get_logger(__name__)

# After these, nothing is decided or posted together: to see whose part it was that failed.
_ONE_BY_ONE = frozenset({funds.NET_NOT_COVERED, GATHERING_FAILED})
SLICE = 25  # commands that are decided while nothing else is done: a millisecond


class Lane:
    """Owns the partitions of one kind that fall to it."""

    def __init__(
        self,
        kind: EntityKind[Any, Any, Any],
        identity: Identity,
        pool: Pool,
        clock: Callable[[], int],
        limits: Limits,
        metrics: HostMetrics,
    ) -> None:
        self._kind = kind
        self._codec = Codec(kind)
        self._owned = Ownership(kind.name, identity, clock, limits, metrics)
        self._connector = Connector(pool)
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._mail: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._sweep_is_due = False
        self._live = LiveEntities()
        self._intake = Intake(kind, self._codec, self._owned, self._live, metrics)
        self._under_way: list[Flight] = []

    @property
    def waiting(self) -> int:
        """Commands that have no answer yet."""
        return len(self._mail) + sum(len(flight.items) for flight in self._under_way)

    @property
    def partitions(self) -> int:
        """How many partitions it owns."""
        return len(self._owned)

    @property
    def entities(self) -> int:
        """How many entities are in memory."""
        return len(self._live)

    def put(self, items: Iterable[Item]) -> None:
        """Add to the mailbox. The host sees to it that there is room."""
        self._mail.extend(items)
        self._arrived.set()

    def tick(self) -> None:
        """Let idle entities leave, when there is time."""
        self._sweep_is_due = True
        self._arrived.set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                if self._mail:
                    await self._work()
                if self._sweep_is_due or len(self._live) > self._limits.entities:
                    self._sweep_is_due = False
                    await self._sweep()
                if not self._mail and not self._sweep_is_due:
                    self._arrived.clear()
        finally:
            await self._connector.drop()

    def fail_all(self, error: VibeStreamError) -> None:
        """Answer everything that waits with an error (after `run` has ended)."""
        items = [item for flight in self._under_way for item in flight.items] + [*self._mail]
        self._under_way = []
        self._mail.clear()
        for item in unanswered(items):
            item.settle(error_answer(error))
        self._answer(items)

    # --- batches ----------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Batches one after the other. While one is written the next is decided, if it may be."""
        ahead: Flight | None = None
        while ahead is not None or self._may_begin():
            flight = self._next() if self._may_begin() else None
            if ahead is not None and (flight is None or not self._may_follow(ahead, flight)):
                await self._land(ahead, await self._written(ahead))
                ahead = None
            if flight is not None and self._kind.overlaps:
                ahead = await self._fly(flight, ahead)
            elif flight is not None:
                await self._land(flight, is_written=False)

    def _may_begin(self) -> bool:
        return bool(self._mail) and not self._sweep_is_due

    def _next(self) -> Flight:
        size = min(len(self._mail), self._limits.batch_commands)
        items = [self._mail.popleft() for _ in range(size)]
        self._metrics.batch.labels(self._kind.name).observe(size)
        deadline = asyncio.get_running_loop().time() + self._limits.retry_for_ms / 1000
        flight = Flight(items, deadline, self._kind.netted)
        self._under_way.append(flight)
        flight.pending = without_repeats(self._intake.decoded(items))
        return flight

    def _may_follow(self, ahead: Flight, flight: Flight) -> bool:
        """Whether a batch can be decided on what the one ahead of it is about to write."""
        if not ahead.is_whole or any(item.timer for item in flight.pending):
            return False
        return not ahead.holds(flight.pending)

    async def _fly(self, flight: Flight, ahead: Flight | None) -> Flight | None:
        """Decide a batch while the one ahead is written. The batch, if it is yet to be written."""
        admitted = await self._admitted(flight, ahead)
        writing = None if ahead is None else asyncio.create_task(self._written(ahead))
        try:
            is_decided = admitted is not None and await self._decided(flight, *admitted, writing)
        except BaseException:
            if writing is not None:
                writing.cancel()
            raise
        if ahead is not None and writing is not None:
            is_written = await writing
            if not is_written and flight.batch is not None:
                self._live.forget(flight.batch.touched)
            is_decided &= is_written
            await self._land(ahead, is_written)
        if is_decided:
            return flight
        await self._land(flight, is_written=False)
        return None

    async def _admitted(
        self, flight: Flight, ahead: Flight | None
    ) -> tuple[list[Item], Reserves] | None:
        try:
            connection = await self._connector.get()
            flight.batch = Batch(self._kind, self._live, self._clock(), flight.netted)
            before = None if ahead is None else ahead.batch
            return await self._intake.admit(connection, flight.pending, flight.batch, before)
        except Exception as error:  # noqa: BLE001 - it will be tried again
            await self._note(flight, error)
            return None

    async def _decided(
        self,
        flight: Flight,
        items: Sequence[Item],
        reserves: Reserves,
        writing: asyncio.Task[bool] | None,
    ) -> bool:
        """Decide a batch; piece by piece, so that what is written meanwhile goes on."""
        batch = flight.batch
        assert batch is not None, "it is admitted"
        most = self._limits.batch_transactions
        try:
            flight.is_whole = True
            for start in range(0, len(items), SLICE):
                if not batch.decide(items[start : start + SLICE], reserves, most):
                    flight.is_whole = False
                    break
                if writing is not None and not writing.done():
                    await asyncio.sleep(0)
            batch.end()
        except Exception as error:  # noqa: BLE001 - it will be tried again
            await self._note(flight, error)
            return False
        return True

    async def _written(self, flight: Flight) -> bool:
        """Write a batch that is decided. Where that fails, nothing of it is answered."""
        batch = flight.batch
        assert batch is not None, "it is decided"
        try:
            if batch.writes:
                await self._commit(await self._connector.get(), batch)
        except Exception as error:  # noqa: BLE001 - it will be tried again
            await self._note(flight, error)
            return False
        batch.commit()
        return True

    async def _note(self, flight: Flight, error: Exception) -> None:
        """An attempt has failed. What is wrong for good will show when it is tried again."""
        if flight.batch is not None:
            self._live.forget(flight.batch.touched)
        if isinstance(error, Redo):
            self._metrics.retries.labels(self._kind.name, error.reason).inc()
            if error.reason in _ONE_BY_ONE:
                flight.netted = frozenset()
            return
        self._metrics.retries.labels(self._kind.name, type(error).__name__).inc()
        logger.warning("batch_retried", kind=self._kind.name, error=repr(error), attempt=0)
        await self._connector.drop_if_broken(error)

    async def _land(self, flight: Flight, is_written: bool) -> None:
        """Answer a batch; what is not written of it is, however often that has to be tried."""
        try:
            if not is_written or not flight.is_whole:
                await self._settle(flight.pending, flight.deadline, flight.netted)
            await self._postpone_failed(flight.items)
        except Exception:
            logger.exception("lane_failed", kind=self._kind.name)
            for item in unanswered(flight.items):
                item.settle(INTERNAL)
        self._under_way.remove(flight)
        self._answer(flight.items)

    async def _settle(self, items: Sequence[Item], deadline: float, netted: frozenset[str]) -> None:
        """See to it that every item has an answer."""
        attempt = 0
        while pending := unanswered(items):
            try:
                await self._attempt(pending, netted)
            except Redo as redo:
                netted = frozenset() if redo.reason in _ONE_BY_ONE else netted
                self._metrics.retries.labels(self._kind.name, redo.reason).inc()
                self._give_up_after(deadline, pending)
            except Exception as error:  # noqa: BLE001 - each kind of failure has its place below
                if is_passing(error) or clashes_with_journal(error):
                    attempt += 1
                    await self._recover(error, pending, attempt, deadline)
                elif len(pending) > 1:
                    # Somebody's command cannot be written; the others must not suffer for it.
                    half = len(pending) // 2
                    await self._settle(pending[:half], deadline, netted)
                    await self._settle(pending[half:], deadline, netted)
                else:
                    pending[0].settle(self._failed(pending[0], error))

    async def _attempt(self, items: Sequence[Item], netted: frozenset[str]) -> None:
        connection = await self._connector.get()
        batch = Batch(self._kind, self._live, self._clock(), netted)
        items, reserves = await self._intake.admit(connection, items, batch, None)
        try:
            batch.decide(items, reserves, self._limits.batch_transactions)
            batch.end()
            if batch.writes:
                await self._commit(connection, batch)
        except BaseException:
            self._live.forget(batch.touched)
            raise
        batch.commit()

    async def _commit(self, connection: Connection, batch: Batch) -> None:
        with self._metrics.commit.labels(self._kind.name).time():
            if batch.needs_transaction:
                async with connection.transaction():
                    await self._write(connection, batch)
                    await outbox.append(connection, batch.public)
                    if batch.applied:
                        await self._kind.project(connection, batch.applied)
                    # Last, so that accounts are locked for as short as can be.
                    await funds.post(connection, batch)
            else:
                await self._write(connection, batch)
        if batch.writes.snapshots:
            self._metrics.snapshots.labels(self._kind.name).inc(len(batch.writes.snapshots))

    async def _write(self, connection: Connection, batch: Batch) -> None:
        epochs = self._owned.epochs(batch.partitions)
        if not await journal.write(connection, self._kind.name, epochs, batch.at_ms, batch.writes):
            raise Redo("fence-lost")

    # --- when it goes wrong -----------------------------------------------------------------------

    async def _recover(
        self, error: Exception, pending: Sequence[Item], attempt: int, deadline: float
    ) -> None:
        """Wait, and connect anew if need be; past the deadline the items are Unavailable."""
        self._metrics.retries.labels(self._kind.name, type(error).__name__).inc()
        logger.warning("batch_retried", kind=self._kind.name, error=repr(error), attempt=attempt)
        await self._connector.drop_if_broken(error)
        if not self._give_up_after(deadline, pending) and not clashes_with_journal(error):
            limits = self._limits
            pause_ms = min(limits.backoff_first_ms * 2 ** min(attempt, 20), limits.backoff_most_ms)
            await asyncio.sleep(pause_ms / 1000)

    def _give_up_after(self, deadline: float, pending: Sequence[Item]) -> bool:
        """Whether it is too late to go on; then what has no answer is Unavailable."""
        if asyncio.get_running_loop().time() < deadline:
            return False
        unavailable = error_answer(Unavailable("the batch cannot be written", retry_after_ms=1_000))
        for item in unanswered(pending):
            item.settle(unavailable)
        return True

    def _failed(self, item: Item, error: Exception) -> Answer:
        if isinstance(error, VibeStreamError):
            return error_answer(error)
        logger.error(
            "batch_failed",
            kind=self._kind.name,
            entity_id=item.entity_id,
            command=type(item.command).__name__,
            exc_info=error,
        )
        return INTERNAL

    async def _postpone_failed(self, items: Sequence[Item]) -> None:
        failed = [item.timer for item in items if item.timer and item.answer is INTERNAL]
        if not failed:
            return
        try:
            connection = await self._connector.get()
            await reminders.postpone(connection, self._kind.name, failed, self._clock())
        except Exception as error:  # noqa: BLE001 - they will be due again, only sooner
            logger.warning("timers_not_postponed", kind=self._kind.name, error=repr(error))

    # --- housekeeping -----------------------------------------------------------------------------

    def _answer(self, items: Sequence[Item]) -> None:
        outcomes: Counter[str] = Counter()
        for item in items:
            if item.answer is not None:
                outcomes[item.answer.code] += 1
                item.sender.answered(item.index, item.answer)
        for code, count in outcomes.items():
            self._metrics.commands.labels(self._kind.name, code or "ok").inc(count)

    async def _sweep(self) -> None:
        """Let entities leave that were idle for long, or are too many."""
        limits = self._limits
        leaving = self._live.surplus(
            self._clock(), limits.idle_ms, limits.entities, limits.sweep_entities
        )
        if not leaving:
            return
        least = limits.passivation_snapshot_events
        try:
            await self._save([e for e in leaving if e.unsaved_events >= least])
        except Exception as error:  # noqa: BLE001 - the journal has everything
            logger.warning("passivation_unsaved", kind=self._kind.name, error=repr(error))
        self._live.forget([entity.entity_id for entity in leaving])
        self._metrics.passivated.labels(self._kind.name).inc(len(leaving))

    async def _save(self, entities: Sequence[Entity]) -> None:
        if not entities:
            return
        epochs = self._owned.epochs(entity.partition for entity in entities)
        stored = self._kind.stored
        rows = [
            journal.SnapshotRow(e.entity_id, e.sequence, encode(stored(e.state))) for e in entities
        ]
        writes = journal.Writes(snapshots=rows)
        connection = await self._connector.get()
        await journal.write(connection, self._kind.name, epochs, self._clock(), writes)
        self._metrics.snapshots.labels(self._kind.name).inc(len(rows))
