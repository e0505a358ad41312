"""Entity kinds that exist only to try the runtime: a counter, and a till that moves money."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from actors.runtime.kind import Applied, EntityKind
from domain.decision import Decision, Forget, Remind
from messages.errors import Conflict, Invalid
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, account, transfer
from storage.database import Connection

# --- counter ------------------------------------------------------------------------------------


class Add(msgspec.Struct, frozen=True, tag=True):
    """Add to the count; below zero is refused. `remind_at_ms` sets the timer `ring`."""

    amount: int
    remind_at_ms: int = 0


class Get(msgspec.Struct, frozen=True, tag=True):
    """The count."""


class Hush(msgspec.Struct, frozen=True, tag=True):
    """Cancel the timer."""


class Ring(msgspec.Struct, frozen=True, tag=True):
    """The timer has come."""

    due_at_ms: int


class Break(msgspec.Struct, frozen=True, tag=True):
    """Fail as no command should: in decide, evolve, or by an event that cannot be written."""

    where: str


class Added(msgspec.Struct, frozen=True, tag=True):
    amount: int


class Rang(msgspec.Struct, frozen=True, tag=True):
    due_at_ms: int


class Broke(msgspec.Struct, frozen=True, tag=True):
    where: str


class Count(msgspec.Struct, frozen=True):
    """State and answer in one."""

    count: int = 0
    rings: tuple[int, ...] = ()


CounterCommand: TypeAlias = Add | Get | Hush | Ring | Break
CounterEvent: TypeAlias = Added | Rang | Broke


class Counter(EntityKind[Count, CounterCommand, CounterEvent]):
    """Counts. Events of 13 are public, to see that the outbox moves with the journal."""

    name = "counter"
    stream = "counters"
    command_type = CounterCommand
    event_type = CounterEvent
    state_type = Count
    answer_type = Count
    queries = frozenset({Get})
    public = frozenset({Broke})
    partitions = 8
    snapshot_every = 10

    def initial(self, entity_id: str) -> Count:
        return Count()

    def decide(self, state: Count, command: CounterCommand, now_ms: int) -> Decision[CounterEvent]:
        match command:
            case Add(amount, remind_at_ms):
                if state.count + amount < 0:
                    raise Conflict("below zero", count=state.count)
                timers = (Remind("ring", remind_at_ms),) if remind_at_ms else ()
                answer = Count(state.count + amount, state.rings)
                return Decision((Added(amount),), answer, timers=timers)
            case Get():
                return Decision(answer=state)
            case Hush():
                return Decision(timers=(Forget("ring"),))
            case Ring(due_at_ms):
                if state.count == 666:
                    raise RuntimeError("the bell is broken")
                return Decision((Rang(due_at_ms),))
            case Break(where):
                if where == "decide":
                    raise RuntimeError("decide failed")
                return Decision((Broke(where),))

    def evolve(self, state: Count, event: CounterEvent) -> Count:
        match event:
            case Added(amount):
                return Count(state.count + amount, state.rings)
            case Rang(due_at_ms):
                return Count(state.count, (*state.rings, due_at_ms))
            case Broke(where):
                if where == "evolve":
                    raise RuntimeError("evolve failed")
                return state

    def reminded(self, name: str, due_at_ms: int) -> CounterCommand:
        assert name == "ring"
        return Ring(due_at_ms)

    def channels(self, entity_id: str, event: CounterEvent) -> tuple[str, ...]:
        # No database takes a NUL in a text: the way to an event that cannot be written.
        return ("bad\0channel",) if isinstance(event, Broke) and event.where == "write" else ()


# --- till ---------------------------------------------------------------------------------------

ISSUE = account("outside", "treasury", "issue", "VIBES")


def purse(entity_id: str) -> str:
    """The account of a till."""
    return account("user", entity_id, "available", "VIBES")


class Fund(msgspec.Struct, frozen=True, tag=True):
    """Money from outside."""

    order: str
    amount: int


class Pay(msgspec.Struct, frozen=True, tag=True):
    """Pay another till. `checked`: ask `reserve` first; else the ledger finds out in the end."""

    order: str
    payee: str
    amount: int
    checked: bool = True


class Balance(msgspec.Struct, frozen=True, tag=True):
    """What was paid in and out."""


class Funded(msgspec.Struct, frozen=True, tag=True):
    order: str
    amount: int


class Paid(msgspec.Struct, frozen=True, tag=True):
    order: str
    payee: str
    amount: int


class Till(msgspec.Struct):
    """Mutable on purpose: the runtime must cope with states that `evolve` changes in place."""

    till_id: str
    funded: int = 0
    paid: int = 0
    orders: list[str] = []


TillCommand: TypeAlias = Fund | Pay | Balance
TillEvent: TypeAlias = Funded | Paid

PAYMENTS = "create table public.payments (till text, sequence bigint, amount bigint)"


class Tills(EntityKind[Till, TillCommand, TillEvent]):
    """A till knows what it was given and what it paid, not what others paid it: the ledger does."""

    name = "till"
    stream = "tills"
    command_type = TillCommand
    event_type = TillEvent
    state_type = Till
    answer_type = Till
    queries = frozenset({Balance})
    public = frozenset({Paid})
    partitions = 8
    snapshot_every = 5

    def initial(self, entity_id: str) -> Till:
        return Till(entity_id)

    def reserve(
        self, state: Till, command: TillCommand, now_ms: int
    ) -> tuple[LedgerTransaction, ...]:
        if isinstance(command, Pay) and command.checked and command.amount > 0:
            return (_move(command.order, purse(state.till_id), command.payee, command.amount),)
        return ()

    def decide(self, state: Till, command: TillCommand, now_ms: int) -> Decision[TillEvent]:
        match command:
            case Fund(order, amount):
                funded = Funded(order, amount)
                moves = (_move(order, ISSUE, state.till_id, amount),)
                return Decision((funded,), state, transactions=moves)
            case Pay(order, payee, amount, checked):
                if amount <= 0:
                    raise Invalid("pay something")
                if order in state.orders:
                    raise Conflict("paid already")
                payment = _move(order, purse(state.till_id), payee, amount)
                paid = () if checked else (payment,)
                return Decision((Paid(order, payee, amount),), transactions=paid)
            case Balance():
                return Decision(answer=state)

    def evolve(self, state: Till, event: TillEvent) -> Till:
        if isinstance(event, Paid):
            state.paid += event.amount
        else:
            state.funded += event.amount
        state.orders.append(event.order)
        return state

    def channels(self, entity_id: str, event: TillEvent) -> tuple[str, ...]:
        return (f"till:{entity_id}",)

    async def project(self, connection: Connection, applied: Sequence[Applied[TillEvent]]) -> None:
        paid = [(a.entity_id, a.sequence, a.event.amount) for a in applied if _is_paid(a)]
        await connection.executemany("insert into public.payments values ($1, $2, $3)", paid)


def _is_paid(applied: Applied[TillEvent]) -> bool:
    return isinstance(applied.event, Paid)


def _move(order: str, source: str, payee: str, amount: int) -> LedgerTransaction:
    key = derive_key("order", order)
    return transfer(key, source, purse(payee), amount, cause=order, purpose="test")
