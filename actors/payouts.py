"""The owner of payouts: one for each, so that answers, webhooks and cancellations cannot race."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from actors.runtime.kind import Applied, Asked, EntityKind
from domain.decision import Decision
from domain.payouts import deciding
from domain.payouts.checking import Known, day_began_ms, day_minor
from domain.payouts.evolving import evolve
from domain.payouts.policy import DAY_MS, POLICY, Change, PayoutPolicy
from domain.payouts.state import Payout
from messages.payments.accounts import STREAM
from messages.payments.payouts import (
    PUBLIC_PAYOUT_EVENTS,
    GetPayout,
    PayoutChanged,
    PayoutCommand,
    PayoutEvent,
    PayoutRequested,
    PayoutView,
    RequestPayout,
)
from messages.users import user_channel
from storage import payout_methods
from storage import payouts as storage
from storage.database import Connection

# What the audit log says of a user when what protects the account changes.
CREDENTIAL_ACTIONS = (
    "password.changed",
    "email.changed",
    "totp.added",
    "totp.removed",
    "passkey.added",
    "passkey.removed",
)


class PayoutsKind(EntityKind[Payout, PayoutCommand, PayoutEvent]):
    """Entity payout id."""

    name = "payouts"
    stream = STREAM
    command_type = PayoutCommand
    event_type = PayoutEvent
    state_type = Payout
    answer_type = PayoutView
    queries: ClassVar[frozenset[type]] = frozenset({GetPayout})
    public: ClassVar[frozenset[type]] = PUBLIC_PAYOUT_EVENTS

    def __init__(self, policy: PayoutPolicy = POLICY) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Payout:
        return deciding.initial(entity_id)

    async def prepare(
        self, connection: Connection, asked: Sequence[Asked[Payout, PayoutCommand]]
    ) -> Sequence[deciding.Prepared | None]:
        """Requests are judged by what is known of their user."""
        requests = [one.command for one in asked if isinstance(one.command, RequestPayout)]
        if not requests:
            return [None] * len(asked)
        methods = {one.method_id for one in requests}
        found = await payout_methods.facts(connection, methods, CREDENTIAL_ACTIONS)
        users = {one.user_id for one in requests}
        recent = await storage.recent(connection, users, DAY_MS)
        return [
            deciding.Prepared(
                one.command,
                _known(
                    one.command,
                    found.get(one.command.method_id),
                    recent.get((one.command.user_id, one.command.currency), []),
                ),
            )
            if isinstance(one.command, RequestPayout)
            else None
            for one in asked
        ]

    def decide(self, state: Payout, command: PayoutCommand, now_ms: int) -> Decision[PayoutEvent]:
        return deciding.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Payout, event: PayoutEvent) -> Payout:
        return evolve(state, event)

    def reminded(self, name: str, due_at_ms: int) -> PayoutCommand:
        return deciding.reminded(name)

    def channels(self, entity_id: str, event: PayoutEvent) -> tuple[str, ...]:
        """Users see their payouts; calls that wait are nobody's to see."""
        return (user_channel(event.user_id),) if isinstance(event, PayoutChanged) else ()

    async def project(
        self, connection: Connection, applied: Sequence[Applied[PayoutEvent]]
    ) -> None:
        placed = [storage.Placed(a.entity_id, a.sequence, a.event) for a in applied]
        await storage.write(connection, placed)
        requested = [a.event for a in applied if isinstance(a.event, PayoutRequested)]
        counts = Counter((e.asked.user_id, e.asked.currency) for e in requested)
        limits = {
            (e.asked.user_id, e.asked.currency): storage.DayLimit(
                day_minor(self._policy, e.asked.currency),
                day_began_ms(e.at_ms),
                counts[e.asked.user_id, e.asked.currency],
            )
            for e in requested
        }
        await storage.keep_day_limits(connection, limits)


def _known(
    asked: RequestPayout,
    found: payout_methods.MethodFacts | None,
    recent: Sequence[tuple[int, int]],
) -> Known:
    if found is None or found.user_id != asked.user_id:
        return Known()
    moments = {
        Change.NEW_DESTINATION: found.added_at_ms,
        Change.CREDENTIALS: found.credentials_at_ms,
        Change.CARD_DEPOSIT: found.card_at_ms,
    }
    changes = {change: at_ms for change, at_ms in moments.items() if at_ms is not None}
    return Known(found.provider, found.state, tuple(recent), changes)
