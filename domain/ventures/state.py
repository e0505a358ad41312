"""What the owner of a venture knows. The state is mutable: only `evolve` touches it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.ventures.promises import reached
from messages.ventures.ventures import (
    Benefit,
    BenefitConfirmed,
    BenefitContested,
    BenefitDelivered,
    DeliveryStatus,
    DraftVenture,
    InvestmentMade,
    InvestmentReturned,
    InvestmentStatus,
    InvestmentWithdrawn,
    RoundOpened,
    TierTerms,
    VentureCancelled,
    VentureDrafted,
    VentureEvent,
    VentureFailed,
    VentureFunded,
    VentureStatus,
)


class Investment(msgspec.Struct, frozen=True, array_like=True):
    """Money of one investor's. One that is open in a funded venture is the artist's."""

    investor_id: str
    amount_minor: int
    status: InvestmentStatus = InvestmentStatus.OPEN


class Venture(msgspec.Struct):
    """A venture.

    raised_minor, investors: what stands invested and by how many, or did when the round closed.
    invested: of each investor, what is in the venture now.  deliveries: of what is not merely due,
    by `delivery_key`.
    """

    venture_id: str
    terms: DraftVenture | None = None
    status: VentureStatus = VentureStatus.NONE
    drafted_at_ms: int = 0
    raised_minor: int = 0
    investors: int = 0
    escrow_minor: int = 0
    fee_minor: int = 0
    investments: dict[str, Investment] = msgspec.field(default_factory=dict)
    invested: dict[str, int] = msgspec.field(default_factory=dict)
    deliveries: dict[str, DeliveryStatus] = msgspec.field(default_factory=dict)

    @property
    def asked(self) -> DraftVenture:
        """The terms of a venture that was drafted."""
        assert self.terms is not None, "checked before"
        return self.terms

    @property
    def is_returning(self) -> bool:
        """Whether what was invested goes back."""
        return self.status in (VentureStatus.FAILED, VentureStatus.CANCELLED)


def standing(venture: Venture) -> Iterator[tuple[str, Investment]]:
    """The investments that were not given back, the earliest first."""
    for investment_id, one in venture.investments.items():
        if one.status is InvestmentStatus.OPEN:
            yield investment_id, one


def delivery_key(benefit_id: str, investor_id: str) -> str:
    """How the delivery of a benefit to an investor is known."""
    return f"{benefit_id}:{investor_id}"


def tier_of(venture: Venture, invested_minor: int) -> TierTerms | None:
    """The highest tier that so much reaches."""
    return reached(venture.asked.tiers, invested_minor)


def benefits_of(venture: Venture, investor_id: str) -> tuple[Benefit, ...]:
    """What an investor was promised for what they have in the venture."""
    tier = tier_of(venture, venture.invested.get(investor_id, 0))
    return tier.benefits if tier else ()


def evolve(venture: Venture, event: VentureEvent) -> Venture:
    """The venture after a fact."""
    change = _CHANGES.get(type(event))
    if change is not None:
        change(venture, event)
    return venture


def _drafted(venture: Venture, event: VentureDrafted) -> None:
    venture.terms, venture.drafted_at_ms = event.terms, event.at_ms
    venture.status = VentureStatus.DRAFT


def _opened(venture: Venture, event: RoundOpened) -> None:
    venture.status = VentureStatus.OPEN


def _made(venture: Venture, event: InvestmentMade) -> None:
    venture.investments[event.investment_id] = Investment(event.investor_id, event.amount_minor)
    venture.investors += event.investor_id not in venture.invested
    _put(venture, event.investor_id, event.amount_minor)
    venture.raised_minor += event.amount_minor


def _withdrawn(venture: Venture, event: InvestmentWithdrawn) -> None:
    _end(venture, event.investment_id, InvestmentStatus.WITHDRAWN)
    venture.raised_minor -= event.amount_minor
    venture.investors -= event.investor_id not in venture.invested


def _returned(venture: Venture, event: InvestmentReturned) -> None:
    _end(venture, event.investment_id, InvestmentStatus.RETURNED)


def _end(venture: Venture, investment_id: str, status: InvestmentStatus) -> None:
    was = venture.investments[investment_id]
    venture.investments[investment_id] = replace(was, status=status)
    _put(venture, was.investor_id, -was.amount_minor)


def _put(venture: Venture, investor_id: str, amount_minor: int) -> None:
    has = venture.invested.get(investor_id, 0) + amount_minor
    assert has >= 0, "nobody takes out more than they put in"
    if has:
        venture.invested[investor_id] = has
    else:
        del venture.invested[investor_id]
    venture.escrow_minor += amount_minor


def _funded(venture: Venture, event: VentureFunded) -> None:
    venture.status, venture.fee_minor = VentureStatus.FUNDED, event.fee_minor
    venture.escrow_minor = 0


def _failed(venture: Venture, event: VentureFailed) -> None:
    venture.status = VentureStatus.FAILED


def _cancelled(venture: Venture, event: VentureCancelled) -> None:
    venture.status = VentureStatus.CANCELLED


def _delivered(venture: Venture, event: BenefitDelivered) -> None:
    _deliver(venture, event, DeliveryStatus.DELIVERED)


def _confirmed(venture: Venture, event: BenefitConfirmed) -> None:
    _deliver(venture, event, DeliveryStatus.CONFIRMED)


def _contested(venture: Venture, event: BenefitContested) -> None:
    _deliver(venture, event, DeliveryStatus.CONTESTED)


def _deliver(
    venture: Venture,
    event: BenefitDelivered | BenefitConfirmed | BenefitContested,
    status: DeliveryStatus,
) -> None:
    venture.deliveries[delivery_key(event.benefit_id, event.investor_id)] = status


_CHANGES: dict[type, Callable[[Venture, Any], None]] = {
    VentureDrafted: _drafted,
    RoundOpened: _opened,
    InvestmentMade: _made,
    InvestmentWithdrawn: _withdrawn,
    InvestmentReturned: _returned,
    VentureFunded: _funded,
    VentureFailed: _failed,
    VentureCancelled: _cancelled,
    BenefitDelivered: _delivered,
    BenefitConfirmed: _confirmed,
    BenefitContested: _contested,
}
