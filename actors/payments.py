"""The owner of payments: one for each, so that a call's answer and a webhook cannot race."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actors.runtime.kind import Applied, Asked, EntityKind
from domain.decision import Decision
from domain.payments import deciding
from domain.payments.evolving import evolve
from domain.payments.policy import POLICY, PaymentPolicy
from domain.payments.state import Payment
from messages.payments.accounts import STREAM, available
from messages.payments.payments import (
    PUBLIC_PAYMENT_EVENTS,
    CollectDebt,
    GetPayment,
    PaymentChanged,
    PaymentCommand,
    PaymentEvent,
    PaymentView,
    ReviewDecided,
)
from messages.users import user_channel
from storage import ledger, payments_reviews
from storage.database import Connection
from storage.payments_projection import Placed, write


class PaymentsKind(EntityKind[Payment, PaymentCommand, PaymentEvent]):
    """Entity payment id."""

    name = "payments"
    stream = STREAM
    command_type = PaymentCommand
    event_type = PaymentEvent
    state_type = Payment
    answer_type = PaymentView
    queries: ClassVar[frozenset[type]] = frozenset({GetPayment})
    public: ClassVar[frozenset[type]] = PUBLIC_PAYMENT_EVENTS

    def __init__(self, policy: PaymentPolicy = POLICY) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Payment:
        return deciding.initial(entity_id)

    async def prepare(
        self, connection: Connection, asked: Sequence[Asked[Payment, PaymentCommand]]
    ) -> Sequence[CollectDebt | None]:
        """Debts are collected as far as the payer's balance goes."""
        wallets = {
            one.entity_id: available(start.payer_id, start.currency)
            for one in asked
            if isinstance(one.command, CollectDebt) and (start := one.state.asked) is not None
        }
        if not wallets:
            return [None] * len(asked)
        found = await ledger.balances(connection, sorted(set(wallets.values())))
        return [
            CollectDebt(found[wallets[one.entity_id]])
            if isinstance(one.command, CollectDebt) and one.entity_id in wallets
            else None
            for one in asked
        ]

    def decide(
        self, state: Payment, command: PaymentCommand, now_ms: int
    ) -> Decision[PaymentEvent]:
        return deciding.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Payment, event: PaymentEvent) -> Payment:
        return evolve(state, event)

    def reminded(self, name: str, due_at_ms: int) -> PaymentCommand:
        return deciding.reminded(name)

    def channels(self, entity_id: str, event: PaymentEvent) -> tuple[str, ...]:
        """Payers see their payments; calls that are overdue are nobody's to see."""
        return (user_channel(event.payer_id),) if isinstance(event, PaymentChanged) else ()

    async def project(
        self, connection: Connection, applied: Sequence[Applied[PaymentEvent]]
    ) -> None:
        await write(connection, [Placed(a.entity_id, a.sequence, a.event) for a in applied])
        for one in applied:
            if isinstance(one.event, ReviewDecided):
                await payments_reviews.close(connection, one.entity_id)
