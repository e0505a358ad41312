"""The smallest entity kind, for `benchmarks/runtime.py`: a number that is added to and read."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import msgspec

from actors.runtime.kind import EntityKind
from domain.decision import Decision


class Add(msgspec.Struct, frozen=True, tag=True):
    """Add to the number."""

    amount: int


class Get(msgspec.Struct, frozen=True, tag=True):
    """The number."""


class Added(msgspec.Struct, frozen=True, tag=True):
    """The number grew."""

    amount: int


class Count(msgspec.Struct, frozen=True):
    """State and answer in one."""

    count: int = 0


Command: TypeAlias = Add | Get


class Counters(EntityKind[Count, Command, Added]):
    """Entity: a number. `Add` writes to the journal, `Get` writes nothing."""

    name = "bench-counters"
    stream = "bench"
    command_type = Command
    event_type = Added
    state_type = Count
    answer_type = Count
    queries: ClassVar[frozenset[type]] = frozenset({Get})

    def initial(self, entity_id: str) -> Count:
        return Count()

    def decide(self, state: Count, command: Command, now_ms: int) -> Decision[Added]:
        if isinstance(command, Get):
            return Decision(answer=state)
        return Decision((Added(command.amount),), Count(state.count + command.amount))

    def evolve(self, state: Count, event: Added) -> Count:
        return Count(state.count + event.amount)
