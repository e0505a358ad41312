"""What a decider returns: facts, an answer, value to move, timers to set."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from messages.ledger import LedgerTransaction

E_co = TypeVar("E_co", covariant=True)


class Remind(msgspec.Struct, frozen=True):
    """Set the entity's durable timer `name` to `due_at_ms`, replacing one of that name."""

    name: str
    due_at_ms: int


class Forget(msgspec.Struct, frozen=True):
    """Cancel the entity's timer `name` if it is set."""

    name: str


class Decision(msgspec.Struct, Generic[E_co], frozen=True):
    """The outcome of `decide(state, command, now_ms)`. A refusal is raised instead, as a `Refusal`.

    events: facts to journal and evolve, in order; none means that nothing changed.
    answer: what the caller gets (a msgspec Struct, or None).
    transactions: ledger transactions that move with the facts, or neither happens.
    timers: durable timers to set or cancel.
    """

    events: tuple[E_co, ...] = ()
    answer: Any = None
    transactions: tuple[LedgerTransaction, ...] = ()
    timers: tuple[Remind | Forget, ...] = ()
