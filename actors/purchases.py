"""The owner of purchases: one for each, so that an answer and a payment's news cannot race."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec.structs import replace

from actors.runtime.kind import Applied, EntityKind
from domain.decision import Decision
from domain.purchases import deciding
from domain.purchases.evolving import evolve
from domain.purchases.policy import POLICY, PurchasePolicy
from domain.purchases.state import Purchase
from messages.payments.payments import Assessment, Verdict
from messages.purchases.accounts import STREAM
from messages.purchases.purchases import (
    PUBLIC_PURCHASE_EVENTS,
    GetPurchase,
    PurchaseChanged,
    PurchaseCommand,
    PurchaseEvent,
    PurchaseRefundAsked,
    PurchaseView,
    StartPurchase,
)
from messages.users import user_channel
from storage import audit
from storage import purchases as storage
from storage.database import Connection


class PurchasesKind(EntityKind[Purchase, PurchaseCommand, PurchaseEvent]):
    """Entity purchase id."""

    name = "purchases"
    stream = STREAM
    command_type = PurchaseCommand
    event_type = PurchaseEvent
    state_type = Purchase
    answer_type = PurchaseView
    queries: ClassVar[frozenset[type]] = frozenset({GetPurchase})
    public: ClassVar[frozenset[type]] = PUBLIC_PURCHASE_EVENTS

    def __init__(self, policy: PurchasePolicy = POLICY) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Purchase:
        return deciding.initial(entity_id)

    def essence(self, command: PurchaseCommand) -> PurchaseCommand:
        """It is the same purchase after its risk was judged anew and a provider fell ill."""
        if not isinstance(command, StartPurchase) or command.payment is None:
            return command
        bare = replace(command.payment, assessment=Assessment(Verdict.ALLOW), gateways=())
        return replace(command, payment=bare)

    def decide(
        self, state: Purchase, command: PurchaseCommand, now_ms: int
    ) -> Decision[PurchaseEvent]:
        return deciding.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Purchase, event: PurchaseEvent) -> Purchase:
        return evolve(state, event)

    def reminded(self, name: str, due_at_ms: int) -> PurchaseCommand:
        return deciding.reminded(name)

    def channels(self, entity_id: str, event: PurchaseEvent) -> tuple[str, ...]:
        """Buyers see their purchases; steps that are overdue are nobody's to see."""
        return (user_channel(event.buyer_id),) if isinstance(event, PurchaseChanged) else ()

    async def project(
        self, connection: Connection, applied: Sequence[Applied[PurchaseEvent]]
    ) -> None:
        placed = [storage.Placed(a.entity_id, a.sequence, a.event) for a in applied]
        await storage.write(connection, placed)
        for one in applied:
            if isinstance(event := one.event, PurchaseRefundAsked) and event.is_staff:
                await audit.record(
                    connection,
                    "purchase.reversed",
                    actor=event.by,
                    subject=f"purchase:{one.entity_id}",
                    at_ms=event.at_ms,
                    detail={"reason": event.reason},
                )
