"""Deciding a batch in memory: commands in, everything that has to be written out. No I/O.

Entities are evolved as their commands are decided. Whoever could not commit the batch must
therefore forget every entity in `Batch.touched` and load it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from actors.runtime.codec import encode, error_answer, fingerprint
from actors.runtime.entities import Entity, LiveEntities
from actors.runtime.kind import Applied, EntityKind, Gathering, Told
from actors.runtime.mail import Item
from domain.decision import Decision, Forget, Remind
from messages.envelope import Answer, Event, event_of_fact
from messages.errors import Refusal, VibeStreamError
from messages.keys import derive_id
from messages.ledger import LedgerTransaction
from storage.journal import JournalRow, SnapshotRow, Writes

logger = structlog.get_logger(__name__)

GATHERING_FAILED = "gathering-failed"
Reserves = dict[int, tuple[LedgerTransaction, ...]]  # by the identity of the item

INTERNAL = Answer(code=VibeStreamError.code, detail="The engine failed on this command.")
NOTHING = Answer()


class Redo(Exception):  # noqa: N818 - not an error
    """The batch cannot go on as it is. What has to be answered is settled; run the rest again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Open:
    """A gathering that takes commands. row: of its last command in the journal."""

    __slots__ = ("entity", "gathering", "item", "part", "row")

    def __init__(self, entity: Entity, gathering: Gathering[Any], item: Item) -> None:
        self.entity = entity
        self.gathering = gathering
        self.item = item
        self.part = encode([gathering.part])
        self.row = -1


class Batch:
    """A batch that is being decided, and what came of it.

    staged: answers that hold once everything is committed.  reserves, transactions: for the ledger,
    each with its command.  netted: purposes whose transfers are posted as sums.
    """

    def __init__(
        self,
        kind: EntityKind[Any, Any, Any],
        live: LiveEntities,
        now_ms: int,
        netted: frozenset[str] = frozenset(),
    ) -> None:
        self._kind = kind
        self._live = live
        self._now_ms = now_ms
        self.netted = netted
        self.gathered = kind.gathered if netted else frozenset()
        self._open: dict[str, _Open] = {}
        self._posts = 0  # to the ledger, as far as that is not netted
        self._projects = type(kind).project is not EntityKind.project
        self._merges = type(kind).merged is not EntityKind.merged
        self._told: list[Told] = []
        self.touched: dict[str, Entity] = {}
        self.staged: list[tuple[Item, Answer]] = []
        self.writes = Writes()
        self.partitions: set[int] = set()
        self.reserves: list[tuple[Item, LedgerTransaction]] = []
        self.transactions: list[tuple[Item, LedgerTransaction]] = []
        self.public: list[Event] = []
        self.applied: list[Applied[Any]] = []

    @property
    def at_ms(self) -> int:
        """The moment of all decisions."""
        return self._now_ms

    @property
    def needs_transaction(self) -> bool:
        """Whether more is written than one statement of the journal can."""
        return bool(self.transactions or self.reserves or self.public or self.applied)

    def decide(self, items: Sequence[Item], reserves: Reserves, max_transactions: int) -> bool:
        """Decide commands in order; False if some are left, for the ledger's limit. Raises Redo."""
        for item in items:
            if self._posts >= max_transactions:
                return False
            if type(item.command) in self.gathered and self._gather(item):
                continue
            self._close(item.entity_id)
            self._decide_one(item, reserves)
        return True

    def end(self) -> None:
        """All commands that it will have are decided. Raises Redo."""
        for entity_id in list(self._open):
            self._close(entity_id)
        self.public += map(self._publish, self._kind.merged(self._told) if self._told else ())
        self._snapshot()

    def refuse(self, item: Item, refusal: Refusal) -> None:
        """The command's answer, if the batch holds."""
        self.staged.append((item, error_answer(refusal)))

    def undecided(self, items: Sequence[Item]) -> list[Item]:
        """Those that have no answer, nor will have one if the batch holds."""
        staged = {id(item) for item, _ in self.staged}
        return [item for item in items if item.answer is None and id(item) not in staged]

    def finish_timer(self, item: Item) -> None:
        """The timer has had its effect, now or before a crash."""
        assert item.timer is not None
        place = (item.timer.entity_id, item.timer.name)
        if place not in self.writes.remind:
            self.writes.forget.setdefault(place, item.timer.due_at_ms)
            self.partitions.add(item.partition)

    def commit(self) -> None:
        """Everything is written: the answers hold."""
        for row in self.writes.snapshots:
            self.touched[row.entity_id].snapshot_sequence = row.sequence
        for item, answer in self.staged:
            item.settle(answer)

    def _decide_one(self, item: Item, reserves: Reserves) -> None:
        entity = self._live.use(item.entity_id, self._now_ms)
        if item.timer is not None and self._is_superseded(item):
            self.staged.append((item, NOTHING))
            return
        if self._kind.decides_ahead and not item.is_query:
            self.touched[entity.entity_id] = entity
        try:
            asked = item.command if item.prepared is None else item.prepared
            decision = self._kind.decide(entity.state, asked, self._now_ms)
            answer = NOTHING if decision.answer is None else Answer(encode(decision.answer))
            events = encode(decision.events) if decision.events else b""
            assert events or not decision.transactions, "value moved without an event"
            assert not (events or decision.timers) or not item.is_query, "a query changed something"
        except Refusal as refusal:
            answer, decision = error_answer(refusal), None
        except Exception as error:
            self._log_failure("decide", item)
            if self._kind.decides_ahead:
                item.settle(INTERNAL)  # nobody knows how far it came
                raise Redo("decide-failed") from error
            self.staged.append((item, INTERNAL))
            return
        self.staged.append((item, answer))
        if decision is not None and (decision.events or decision.timers):
            self._apply(entity, item, decision, answer, events)
            if decision.events:
                for reserve in reserves.get(id(item), ()):
                    self.reserves.append((item, reserve))
                    self._posts += reserve.purpose not in self.netted
        if item.timer is not None:
            self.finish_timer(item)

    def _apply(
        self, entity: Entity, item: Item, decision: Decision[Any], answer: Answer, events: bytes
    ) -> None:
        self.partitions.add(entity.partition)
        if events:
            row = JournalRow(
                entity.entity_id,
                entity.sequence + 1,
                entity.partition,
                fingerprint(entity.entity_id, item.body),
                item.key,
                answer.body,
                events,
            )
            self._evolve(entity, item, decision.events)
            self.writes.journal.append(row)
        self._post(item, decision.transactions)
        self._set(entity, decision.timers)

    # --- commands that are decided together -------------------------------------------------------

    def _gather(self, item: Item) -> bool:
        """Decide a command with those before it; False if it has to be by itself."""
        entity_id = item.entity_id
        found = self._open.get(entity_id)
        if found is None:
            entity = self._live.use(entity_id, self._now_ms)
            gathering = self._kind.gather(entity.state, self._now_ms)
            if gathering is None:
                return False
            found = self._open[entity_id] = _Open(entity, gathering, item)
            self.touched[entity_id] = entity
            self.partitions.add(entity.partition)
        gathering, entity = found.gathering, found.entity
        before = gathering.transactions
        try:
            asked = item.command if item.prepared is None else item.prepared
            answer = Answer(encode(gathering.take(asked)))
        except Refusal as refusal:
            self.refuse(item, refusal)
            return True
        except Exception as error:
            self._log_failure("gather", item)
            raise Redo(GATHERING_FAILED) from error
        self.staged.append((item, answer))
        entity.sequence += 1
        found.item, found.row = item, len(self.writes.journal)
        self.writes.journal.append(
            JournalRow(
                entity_id,
                entity.sequence,
                entity.partition,
                fingerprint(entity_id, item.body),
                item.key,
                answer.body,
                found.part,
            )
        )
        self._posts += gathering.transactions - before
        if gathering.is_full:
            self._close(entity_id)
        return True

    def _close(self, entity_id: str) -> None:
        """What was gathered of an entity is all that there will be."""
        found = self._open.pop(entity_id, None)
        if found is None or found.gathering.is_empty:
            return
        entity, item, journal = found.entity, found.item, self.writes.journal
        self._posts -= found.gathering.transactions
        try:
            made = found.gathering.finish()
            events = encode([found.gathering.part, made.fact])
        except Exception as error:
            self._log_failure("gather", item)
            raise Redo(GATHERING_FAILED) from error
        entity.sequence += 1
        journal[found.row] = journal[found.row]._replace(events=events)
        self._post(item, made.transactions)
        self._set(entity, made.timers)
        self._show(entity, made.fact)
        for place, event in enumerate(made.told, 1):
            self._show(entity, event, place)

    def _post(self, item: Item, transactions: Sequence[LedgerTransaction]) -> None:
        for transaction in transactions:
            self.transactions.append((item, transaction))
            self._posts += transaction.purpose not in self.netted

    def _set(self, entity: Entity, timers: Sequence[Remind | Forget]) -> None:
        for timer in timers:
            place = (entity.entity_id, timer.name)
            self.writes.remind.pop(place, None)
            self.writes.forget.pop(place, None)
            if isinstance(timer, Remind):
                self.writes.remind[place] = (entity.partition, timer.due_at_ms)
            else:
                self.writes.forget[place] = None

    def _evolve(self, entity: Entity, item: Item, events: Sequence[Any]) -> None:
        self.touched[entity.entity_id] = entity
        try:
            for event in events:
                entity.state = self._kind.evolve(entity.state, event)
                entity.sequence += 1
                self._show(entity, event)
        except Exception as error:
            self._log_failure("evolve", item)
            item.settle(INTERNAL)
            raise Redo("evolve-failed") from error

    def _show(self, entity: Entity, event: Any, place: int = 0) -> None:
        """To the projections, and to the world if it may see it."""
        if type(event) in self._kind.public:
            self._tell(Told(entity.entity_id, entity.sequence, event, place))
        if self._projects:
            applied = Applied(entity.entity_id, entity.sequence, self._now_ms, event)
            self.applied.append(applied)

    def _tell(self, told: Told) -> None:
        if self._merges:
            self._told.append(told)
        else:
            self.public.append(self._publish(told))

    def _publish(self, told: Told) -> Event:
        entity_id, sequence, event, place = told
        parts = (self._kind.name, entity_id, sequence)
        return event_of_fact(
            event,
            event_id=derive_id(*parts, place) if place else derive_id(*parts),
            stream=self._kind.stream,
            entity_id=entity_id,
            sequence=sequence,
            at_ms=self._now_ms,
            channels=self._kind.channels(entity_id, event),
        )

    def _snapshot(self) -> None:
        self.writes.snapshots = [
            SnapshotRow(entity.entity_id, entity.sequence, encode(self._kind.stored(entity.state)))
            for entity in self.touched.values()
            if entity.unsaved_events >= self._kind.snapshot_every
        ]
        self.partitions.update(
            self.touched[row.entity_id].partition for row in self.writes.snapshots
        )

    def _is_superseded(self, item: Item) -> bool:
        """Whether a command ahead in this batch has set the timer anew, or cancelled it."""
        assert item.timer is not None
        place = (item.timer.entity_id, item.timer.name)
        return place in self.writes.remind or place in self.writes.forget

    def _log_failure(self, what: str, item: Item) -> None:
        logger.exception(
            "command_failed",
            what=what,
            kind=self._kind.name,
            entity_id=item.entity_id,
            command=type(item.command).__name__,
            key=item.key.hex(),
        )
