"""A lane: some of a kind's partitions, one connection, one batch at a time.

What has arrived is one batch, what arrives meanwhile is the next. A batch is looked up, loaded,
decided, committed, and only then answered. If the commit fails, or its outcome is unknown, memory
is dropped and the batch runs again; recorded answers make that exactly-once.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from actors.runtime import funds
from actors.runtime.batch import GATHERING_FAILED, INTERNAL, NOTHING, Batch, Redo
from actors.runtime.codec import Codec, encode, error_answer, fingerprint
from actors.runtime.connector import Connector
from actors.runtime.entities import Entity, LiveEntities, rebuild
from actors.runtime.errors import MalformedCommand
from actors.runtime.failures import clashes_with_journal, is_passing
from actors.runtime.kind import Asked, EntityKind
from actors.runtime.limits import Limits
from actors.runtime.mail import Item, unanswered
from actors.runtime.metrics import HostMetrics
from actors.runtime.ownership import Identity, Ownership
from messages.envelope import Answer
from messages.errors import IdempotencyKeyReused, Unavailable, VibeStreamError
from storage import journal, outbox, reminders
from storage.database import Connection, Pool

logger = structlog.get_logger(__name__)

# After these, nothing is decided or posted together: to see whose part it was that failed.
_ONE_BY_ONE = frozenset({funds.NET_NOT_COVERED, GATHERING_FAILED})


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
        self._under_way: list[Item] = []

    @property
    def waiting(self) -> int:
        """Commands that have no answer yet."""
        return len(self._mail) + len(self._under_way)

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
                    await self._run_batch()
                if self._sweep_is_due or len(self._live) > self._limits.entities:
                    self._sweep_is_due = False
                    await self._sweep()
                if not self._mail and not self._sweep_is_due:
                    self._arrived.clear()
        finally:
            await self._connector.drop()

    def fail_all(self, error: VibeStreamError) -> None:
        """Answer everything that waits with an error (after `run` has ended)."""
        items = [*self._under_way, *self._mail]
        self._under_way = []
        self._mail.clear()
        for item in unanswered(items):
            item.settle(error_answer(error))
        self._answer(items)

    # --- a batch ----------------------------------------------------------------------------------

    async def _run_batch(self) -> None:
        size = min(len(self._mail), self._limits.batch_commands)
        items = self._under_way = [self._mail.popleft() for _ in range(size)]
        self._metrics.batch.labels(self._kind.name).observe(size)
        try:
            deadline = asyncio.get_running_loop().time() + self._limits.retry_for_ms / 1000
            await self._settle(self._without_repeats(self._decoded(items)), deadline)
            await self._postpone_failed(items)
        except Exception:
            logger.exception("lane_failed", kind=self._kind.name)
            for item in unanswered(items):
                item.settle(INTERNAL)
        self._under_way = []
        self._answer(items)

    def _decoded(self, items: Sequence[Item]) -> list[Item]:
        """The items that hold a command; the others are settled."""
        decode, queries = self._codec.command, self._kind.queries
        has_essence = type(self._kind).essence is not EntityKind.essence
        for item in items:
            try:
                if item.timer is None:
                    item.command = decode(item.body)
                else:
                    item.command = self._kind.reminded(item.timer.name, item.timer.due_at_ms)
                    item.body = encode(item.command)
                if has_essence:
                    item.body = encode(self._kind.essence(item.command))
            except Exception as error:  # noqa: BLE001 - a kind's own code, or a decoder
                item.settle(_undecodable(item, error))
            else:
                item.is_query = type(item.command) in queries
        return unanswered(items)

    def _without_repeats(self, items: Sequence[Item]) -> list[Item]:
        """One item for each key: the others follow it, or are refused where they differ."""
        first: dict[bytes, Item] = {}
        kept = []
        for item in items:
            leader = item if item.is_query else first.setdefault(item.key, item)
            if leader is item:
                kept.append(item)
            elif leader.entity_id == item.entity_id and leader.body == item.body:
                leader.followers = [*(leader.followers or ()), item]
            else:
                item.settle(error_answer(IdempotencyKeyReused()))
        return kept

    async def _settle(self, items: Sequence[Item], deadline: float) -> None:
        """See to it that every item has an answer."""
        attempt, netted = 0, self._kind.netted
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
                    await self._settle(pending[:half], deadline)
                    await self._settle(pending[half:], deadline)
                else:
                    pending[0].settle(self._failed(pending[0], error))

    async def _attempt(self, items: Sequence[Item], netted: frozenset[str]) -> None:
        connection = await self._connector.get()
        now_ms = self._clock()
        items = await self._owned.take(connection, items)
        batch = Batch(self._kind, self._live, now_ms, netted)
        items = await self._unknown(connection, items, batch)
        items = await self._loaded(connection, items, now_ms)
        await self._prepare(connection, items, now_ms)
        try:
            reserves = await funds.affordable(connection, self._kind, self._live, items, batch)
            batch.decide(unanswered(items), reserves, self._limits.batch_transactions)
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

    # --- before deciding --------------------------------------------------------------------------

    async def _unknown(
        self, connection: Connection, items: Sequence[Item], batch: Batch
    ) -> list[Item]:
        """The items that have to be decided. What the others were answered before, they are again.

        This is also what makes a read right: at the moment of this statement nobody else owned the
        partition, so nobody else can have changed what is in memory.
        """
        if not items:
            return []
        epochs = self._owned.epochs(item.partition for item in items)
        keys = [item.key for item in items if not item.is_query]
        found = await journal.look_up(connection, self._kind.name, epochs, keys)
        if found.lost:
            self._live.forget_partitions(set(found.lost))
            self._owned.lose(found.lost)
            raise Redo("fence-lost")
        for item in items if found.recorded else ():
            recorded = None if item.is_query else found.recorded.get(item.key)
            if recorded is None:
                continue
            if item.timer is not None:
                batch.finish_timer(item)
                batch.staged.append((item, NOTHING))
            elif recorded.fingerprint != fingerprint(item.entity_id, item.body):
                item.settle(error_answer(IdempotencyKeyReused()))
            else:
                item.settle(Answer(recorded.answer))
        staged = {id(item) for item, _ in batch.staged}
        left = [item for item in unanswered(items) if id(item) not in staged]
        return await self._standing(connection, left)

    async def _standing(self, connection: Connection, items: list[Item]) -> list[Item]:
        """Without the timers that were cancelled or set anew since they were seen due."""
        timers = [item.timer for item in items if item.timer is not None]
        if not timers:
            return items
        standing = await reminders.standing(connection, self._kind.name, timers)
        for item in items:
            if item.timer is not None and item.timer not in standing:
                item.settle(NOTHING)
        return unanswered(items)

    async def _loaded(
        self, connection: Connection, items: Sequence[Item], now_ms: int
    ) -> list[Item]:
        """Bring the items' entities into memory; those that cannot be rebuilt fail their items."""
        placed = {item.entity_id: item.partition for item in items}
        missing = self._live.missing(placed)
        if not missing:
            return list(items)
        broken = set()
        for entity_id, history in (
            await journal.load(connection, self._kind.name, missing)
        ).items():
            try:
                entity = rebuild(self._kind, self._codec, entity_id, placed[entity_id], history)
            except Exception:
                logger.exception("entity_broken", kind=self._kind.name, entity_id=entity_id)
                broken.add(entity_id)
            else:
                self._live.add(entity, now_ms)
        self._metrics.loads.labels(self._kind.name).inc(len(missing) - len(broken))
        for item in items if broken else ():
            if item.entity_id in broken:
                item.settle(INTERNAL)
        return unanswered(items)

    async def _prepare(self, connection: Connection, items: Sequence[Item], now_ms: int) -> None:
        """Let the kind find out what its decisions need, anew at each attempt."""
        if not items or type(self._kind).prepare is EntityKind.prepare:
            return
        asked = [
            Asked(i.entity_id, self._live.use(i.entity_id, now_ms).state, i.command) for i in items
        ]
        prepared = await self._kind.prepare(connection, asked)
        for item, command in zip(items, prepared, strict=True):
            item.prepared = command

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


def _undecodable(item: Item, error: Exception) -> Answer:
    if item.timer is None:
        return error_answer(MalformedCommand(str(error)[:200]))
    logger.error("timer_failed", timer=item.timer.name, entity_id=item.entity_id, exc_info=error)
    return INTERNAL
