"""The owner of drops: one for each, so that no token is sold twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actors.runtime.kind import Applied, Asked, EntityKind, Told
from domain.decision import Decision
from domain.drops import deciding, selling
from domain.drops.policy import DropPolicy
from domain.drops.selling import Prepared
from domain.drops.state import Drop, evolve
from messages.drops.accounts import STREAM, drop_channel
from messages.drops.drops import (
    BUYER_EVENTS,
    PUBLIC_DROP_EVENTS,
    DropAnswer,
    DropCommand,
    DropEvent,
    GetDrop,
    GetReservation,
    SupplyChanged,
)
from messages.ledger import LedgerTransaction
from messages.users import user_channel
from storage import drops as storage
from storage.database import Connection


class DropsKind(EntityKind[Drop, DropCommand, DropEvent]):
    """Entity drop id: the only one that makes and burns the drop's tokens."""

    name = "drops"
    stream = STREAM
    command_type = DropCommand
    event_type = DropEvent
    state_type = Drop
    answer_type = DropAnswer
    queries: ClassVar[frozenset[type]] = frozenset({GetDrop, GetReservation})
    public: ClassVar[frozenset[type]] = PUBLIC_DROP_EVENTS
    snapshot_every: ClassVar[int] = 20_000  # a state may hold 100,000 purchases

    def __init__(self, policy: DropPolicy) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Drop:
        return deciding.initial(entity_id)

    async def prepare(
        self, connection: Connection, asked: Sequence[Asked[Drop, DropCommand]]
    ) -> Sequence[Prepared | None]:
        """What moves cash, with the reservation that `reserve` goes by."""
        return [selling.prepared(one.state, one.command) for one in asked]

    def reserve(
        self, state: Drop, command: DropCommand, now_ms: int
    ) -> tuple[LedgerTransaction, ...]:
        return selling.reserve(state, command)

    def decide(
        self, state: Drop, command: DropCommand | Prepared, now_ms: int
    ) -> Decision[DropEvent]:
        return deciding.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Drop, event: DropEvent) -> Drop:
        return evolve(state, event)

    def reminded(self, name: str, due_at_ms: int) -> DropCommand:
        return deciding.reminded(name)

    def merged(self, told: Sequence[Told]) -> Sequence[Told]:
        """Of each drop, only what the batch left of its supply."""
        last = {one.entity_id: one for one in told if isinstance(one.event, SupplyChanged)}
        return [
            one
            for one in told
            if not isinstance(one.event, SupplyChanged) or one is last[one.entity_id]
        ]

    def channels(self, entity_id: str, event: DropEvent) -> tuple[str, ...]:
        """Who bought what is theirs to see; the drop's channel names no buyer."""
        if isinstance(event, BUYER_EVENTS):
            return (user_channel(event.buyer_id),)
        return (drop_channel(entity_id),)

    async def project(self, connection: Connection, applied: Sequence[Applied[DropEvent]]) -> None:
        await storage.write(connection, [one.event for one in applied])
