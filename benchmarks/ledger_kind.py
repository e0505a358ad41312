"""An entity kind that pays, for `benchmarks/ledger.py`, as little as can be."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from actors.runtime.kind import EntityKind
from domain.decision import Decision
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, account, transfer

POOL = "pool"


def balance_of(owner: str) -> str:
    """The account of an owner: the pool's or a user's."""
    if owner == POOL:
        return account("pool", "bench", "balance", "VIBES")
    return account("user", owner, "available", "VIBES")


class Pay(msgspec.Struct, frozen=True, tag=True):
    """Pay another owner, once per order."""

    order: str
    payee: str
    amount_minor: int


class Paid(msgspec.Struct, frozen=True, tag=True):
    """An owner paid another."""

    order: str
    payee: str
    amount_minor: int


class Purse(msgspec.Struct, frozen=True):
    """What an owner paid so far."""

    owner: str
    payments: int = 0


class Purses(EntityKind[Purse, Pay, Paid]):
    """Entity: an owner. Each payment is a ledger transaction, a fact in the journal, an event."""

    name = "bench-purses"
    stream = "bench"
    command_type = Pay
    event_type = Paid
    state_type = Purse
    public: ClassVar[frozenset[type]] = frozenset({Paid})

    def initial(self, entity_id: str) -> Purse:
        return Purse(entity_id)

    def reserve(self, state: Purse, command: Pay, now_ms: int) -> tuple[LedgerTransaction, ...]:
        key = derive_key("bench", command.order)
        source, target = balance_of(state.owner), balance_of(command.payee)
        cause = f"bench:{command.order}"
        amount = command.amount_minor
        return (transfer(key, source, target, amount, cause=cause, purpose="listen-reward"),)

    def decide(self, state: Purse, command: Pay, now_ms: int) -> Decision[Paid]:
        return Decision((Paid(command.order, command.payee, command.amount_minor),))

    def evolve(self, state: Purse, event: Paid) -> Purse:
        return Purse(state.owner, state.payments + 1)

    def channels(self, entity_id: str, event: Paid) -> tuple[str, ...]:
        return (f"user:{event.payee}",)
