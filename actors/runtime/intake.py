"""What a batch knows before it is decided: what was answered before, the entities, what they need.

Everything here is read, in a few statements whatever the size of the batch; nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from actors.runtime import funds
from actors.runtime.batch import INTERNAL, NOTHING, Batch, Redo, Reserves
from actors.runtime.codec import Codec, encode, error_answer, fingerprint
from actors.runtime.entities import LiveEntities, rebuild
from actors.runtime.errors import MalformedCommand
from actors.runtime.kind import Asked, EntityKind
from actors.runtime.mail import Item, unanswered
from actors.runtime.metrics import HostMetrics
from actors.runtime.ownership import Ownership
from messages.envelope import Answer
from messages.errors import IdempotencyKeyReused
from storage import journal, reminders
from storage.database import Connection

logger = structlog.get_logger(__name__)


class Intake:
    """Makes a lane's commands ready to be decided."""

    def __init__(
        self,
        kind: EntityKind[Any, Any, Any],
        codec: Codec,
        owned: Ownership,
        live: LiveEntities,
        metrics: HostMetrics,
    ) -> None:
        self._kind = kind
        self._codec = codec
        self._owned = owned
        self._live = live
        self._metrics = metrics

    def decoded(self, items: Sequence[Item]) -> list[Item]:
        """The items that hold a command; the others are settled."""
        decode, queries = self._codec.command, self._kind.queries
        for item in items:
            try:
                if item.timer is None:
                    item.command = decode(item.body)
                else:
                    item.command = self._kind.reminded(item.timer.name, item.timer.due_at_ms)
                    item.body = encode(item.command)
                essence = self._kind.essence(item.command)
                if essence is not item.command:
                    item.body = encode(essence)
            except Exception as error:  # noqa: BLE001 - a kind's own code, or a decoder
                item.settle(_undecodable(item, error))
            else:
                item.is_query = type(item.command) in queries
        return unanswered(items)

    async def admit(
        self, connection: Connection, items: Sequence[Item], batch: Batch, ahead: Batch | None
    ) -> tuple[list[Item], Reserves]:
        """The commands that have to be decided, and what they reserve; the others are settled.

        ahead: a batch that is decided and not yet committed. Raises Redo.
        """
        items = await self._owned.take(connection, items)
        items = await self._unknown(connection, items, batch)
        items = await self._loaded(connection, items, batch.at_ms)
        await self._prepare(connection, items, batch.at_ms)
        reserves = await funds.affordable(connection, self._kind, self._live, items, batch, ahead)
        return batch.undecided(items), reserves

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
        return await self._standing(connection, batch.undecided(items))

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


def without_repeats(items: Sequence[Item]) -> list[Item]:
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


def _undecodable(item: Item, error: Exception) -> Answer:
    if item.timer is None:
        return error_answer(MalformedCommand(str(error)[:200]))
    logger.error("timer_failed", timer=item.timer.name, entity_id=item.entity_id, exc_info=error)
    return INTERNAL
