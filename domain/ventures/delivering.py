"""What investors of a funded venture were promised, until they have it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from domain.decision import Decision
from domain.text import clean_reason
from domain.ventures.policy import VenturePolicy
from domain.ventures.state import Venture, benefits_of, delivery_key
from domain.ventures.views import investor_view, venture_view
from messages.ventures.errors import (
    BadVenture,
    BenefitNotFound,
    BenefitStateForbids,
    VentureStateForbids,
)
from messages.ventures.ventures import (
    BenefitConfirmed,
    BenefitContested,
    BenefitDelivered,
    ConfirmBenefit,
    ContestBenefit,
    DeliverBenefit,
    DeliveryStatus,
    VentureEvent,
    VentureStatus,
)

Outcome: TypeAlias = Decision[VentureEvent]


def _deliver(
    policy: VenturePolicy, venture: Venture, command: DeliverBenefit, now_ms: int
) -> Outcome:
    if not 0 < len(command.investor_ids) <= policy.delivered_at_once:
        raise BadVenture("too many investors at once, or none", field="investor_ids")
    to_come = (DeliveryStatus.DUE, DeliveryStatus.CONTESTED)
    events = tuple(
        BenefitDelivered(venture.venture_id, command.benefit_id, investor_id, now_ms)
        for investor_id in dict.fromkeys(command.investor_ids)
        if _delivery(venture, command.benefit_id, investor_id) in to_come
    )
    return Decision(events, venture_view(venture))


def _confirm(
    _policy: VenturePolicy, venture: Venture, command: ConfirmBenefit, now_ms: int
) -> Outcome:
    status = _delivery(venture, command.benefit_id, command.investor_id)
    if status is DeliveryStatus.DUE:
        raise BenefitStateForbids(status=status.value)
    event = BenefitConfirmed(
        venture.venture_id,
        venture.asked.artist_user_id,
        command.benefit_id,
        command.investor_id,
        now_ms,
    )
    events = () if status is DeliveryStatus.CONFIRMED else (event,)
    return Decision(events, _after(venture, command, DeliveryStatus.CONFIRMED))


def _contest(
    policy: VenturePolicy, venture: Venture, command: ContestBenefit, now_ms: int
) -> Outcome:
    status = _delivery(venture, command.benefit_id, command.investor_id)
    if status in (DeliveryStatus.DUE, DeliveryStatus.CONFIRMED):
        raise BenefitStateForbids(status=status.value)
    event = BenefitContested(
        venture.venture_id,
        venture.asked.artist_user_id,
        command.benefit_id,
        command.investor_id,
        clean_reason(command.reason, policy.max_reason),
        now_ms,
    )
    events = () if status is DeliveryStatus.CONTESTED else (event,)
    return Decision(events, _after(venture, command, DeliveryStatus.CONTESTED))


def _after(venture: Venture, command: ConfirmBenefit | ContestBenefit, to: DeliveryStatus) -> Any:
    changed = {delivery_key(command.benefit_id, command.investor_id): to}
    return investor_view(venture, command.investor_id, changed)


def _delivery(venture: Venture, benefit_id: str, investor_id: str) -> DeliveryStatus:
    """How far a benefit is for an investor. Raises VentureStateForbids, BenefitNotFound."""
    if venture.status is not VentureStatus.FUNDED:
        raise VentureStateForbids(status=venture.status.value)
    if benefit_id not in {one.benefit_id for one in benefits_of(venture, investor_id)}:
        raise BenefitNotFound(benefit_id=benefit_id, investor_id=investor_id)
    return venture.deliveries.get(delivery_key(benefit_id, investor_id), DeliveryStatus.DUE)


DECIDERS: dict[type, Callable[[VenturePolicy, Venture, Any, int], Outcome]] = {
    DeliverBenefit: _deliver,
    ConfirmBenefit: _confirm,
    ContestBenefit: _contest,
}
