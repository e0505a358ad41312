"""The owner of ventures: one for each, the only one that moves what is in its escrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actors.runtime.kind import Applied, EntityKind, Told
from domain.decision import Decision
from domain.ventures import deciding, investing
from domain.ventures.policy import VenturePolicy
from domain.ventures.state import Venture, evolve
from messages.ledger import LedgerTransaction
from messages.users import user_channel
from messages.ventures.accounts import STREAM, venture_channel
from messages.ventures.ventures import (
    INVESTOR_EVENTS,
    PUBLIC_VENTURE_EVENTS,
    BenefitConfirmed,
    BenefitContested,
    GetInvestment,
    GetInvestor,
    GetVenture,
    RaisedChanged,
    VentureAnswer,
    VentureCommand,
    VentureEvent,
)
from storage import ventures as storage
from storage.database import Connection


class VenturesKind(EntityKind[Venture, VentureCommand, VentureEvent]):
    """Entity venture id."""

    name = "ventures"
    stream = STREAM
    command_type = VentureCommand
    event_type = VentureEvent
    state_type = Venture
    answer_type = VentureAnswer
    queries: ClassVar[frozenset[type]] = frozenset({GetVenture, GetInvestment, GetInvestor})
    public: ClassVar[frozenset[type]] = PUBLIC_VENTURE_EVENTS
    snapshot_every: ClassVar[int] = 2_000  # a state may hold some ten thousand investments

    def __init__(self, policy: VenturePolicy) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Venture:
        return deciding.initial(entity_id)

    def reserve(
        self, state: Venture, command: VentureCommand, now_ms: int
    ) -> tuple[LedgerTransaction, ...]:
        return investing.reserve(state, command)

    def decide(
        self, state: Venture, command: VentureCommand, now_ms: int
    ) -> Decision[VentureEvent]:
        return deciding.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Venture, event: VentureEvent) -> Venture:
        return evolve(state, event)

    def reminded(self, name: str, due_at_ms: int) -> VentureCommand:
        return deciding.reminded(name, due_at_ms)

    def merged(self, told: Sequence[Told]) -> Sequence[Told]:
        """Of each venture, only what the batch left of what is raised."""
        last = {one.entity_id: one for one in told if isinstance(one.event, RaisedChanged)}
        return [
            one
            for one in told
            if not isinstance(one.event, RaisedChanged) or one is last[one.entity_id]
        ]

    def channels(self, entity_id: str, event: VentureEvent) -> tuple[str, ...]:
        """Who invested what is theirs to see; the venture's channel names no investor."""
        if isinstance(event, BenefitConfirmed | BenefitContested):
            return (user_channel(event.investor_id), user_channel(event.artist_user_id))
        if isinstance(event, INVESTOR_EVENTS):
            return (user_channel(event.investor_id),)
        return (venture_channel(entity_id),)

    async def project(
        self, connection: Connection, applied: Sequence[Applied[VentureEvent]]
    ) -> None:
        await storage.write(connection, [one.event for one in applied])
