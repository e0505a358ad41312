"""The entities that are in memory, least recently used first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from actors.runtime.codec import Codec
from actors.runtime.kind import EntityKind
from storage.journal import History


class BrokenHistoryError(Exception):
    """An entity's journal has a hole, or does not decode: it cannot be rebuilt."""


class Entity:
    """An entity in memory. `sequence` is the number of its last event, 0 if it has none."""

    __slots__ = ("entity_id", "partition", "sequence", "snapshot_sequence", "state", "used_ms")

    def __init__(self, entity_id: str, partition: int, state: Any, sequence: int) -> None:
        self.entity_id = entity_id
        self.partition = partition
        self.state = state
        self.sequence = sequence
        self.snapshot_sequence = 0
        self.used_ms = 0

    @property
    def unsaved_events(self) -> int:
        """How many events a recovery would replay."""
        return self.sequence - self.snapshot_sequence


class LiveEntities:
    """The entities of a lane that are in memory."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, Entity] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Entity]:
        return iter(self._by_id.values())

    def missing(self, entity_ids: Iterable[str]) -> list[str]:
        """Those that are not in memory."""
        return [entity_id for entity_id in entity_ids if entity_id not in self._by_id]

    def use(self, entity_id: str, now_ms: int) -> Entity:
        """The entity, which is now the most recently used. KeyError if it is not in memory."""
        entity = self._by_id[entity_id]
        entity.used_ms = now_ms
        self._by_id.move_to_end(entity_id)
        return entity

    def add(self, entity: Entity, now_ms: int) -> None:
        """Hold an entity that was rebuilt."""
        entity.used_ms = now_ms
        self._by_id[entity.entity_id] = entity

    def forget(self, entity_ids: Iterable[str]) -> None:
        """Drop entities, in memory or not."""
        for entity_id in entity_ids:
            self._by_id.pop(entity_id, None)

    def forget_partitions(self, partitions: Collection[int]) -> None:
        """Drop all entities of partitions."""
        self.forget([e.entity_id for e in self if e.partition in partitions])

    def surplus(self, now_ms: int, idle_ms: int, most: int, limit: int) -> list[Entity]:
        """Up to `limit` entities that should leave: beyond `most`, or idle for `idle_ms`."""
        beyond = len(self._by_id) - most
        found = []
        for index, entity in enumerate(islice(self._by_id.values(), limit)):
            if index >= beyond and now_ms - entity.used_ms < idle_ms:
                break
            found.append(entity)
        return found


def rebuild(
    kind: EntityKind[Any, Any, Any],
    codec: Codec,
    entity_id: str,
    partition: int,
    history: History,
) -> Entity:
    """The entity that a snapshot and the rows after it make. Raises BrokenHistoryError."""
    try:
        if history.state is None:
            state = kind.initial(entity_id)
        else:
            state = kind.restored(codec.state(history.state))
        sequence = history.sequence
        for first, body in history.rows:
            if first != sequence + 1:
                raise BrokenHistoryError(f"event {sequence + 1} is missing, {first} follows")
            events = codec.events(body)
            for event in events:
                state = kind.evolve(state, event)
            sequence += len(events)
    except msgspec.DecodeError as error:
        raise BrokenHistoryError(str(error)) from error
    entity = Entity(entity_id, partition, state, sequence)
    entity.snapshot_sequence = history.sequence
    return entity
