"""What callers see of a venture."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict, replace

from domain.ventures.state import Investment, Venture, benefits_of, delivery_key, tier_of
from messages.ventures.ventures import (
    DeliveryStatus,
    DeliveryView,
    DraftVenture,
    InvestmentStatus,
    InvestmentView,
    InvestorView,
    TierName,
    VentureStatus,
    VentureView,
)


def drafted_view(venture_id: str, terms: DraftVenture, at_ms: int) -> VentureView:
    """A venture that was just drafted."""
    return VentureView(
        venture_id=venture_id,
        status=VentureStatus.DRAFT,
        raised_minor=0,
        escrow_minor=0,
        fee_minor=0,
        investors=0,
        drafted_at_ms=at_ms,
        **asdict(terms),
    )


def venture_view(venture: Venture, **changes: Any) -> VentureView:
    """A venture that was drafted, as it stands, or will with some changes."""
    view = drafted_view(venture.venture_id, venture.asked, venture.drafted_at_ms)
    view = replace(
        view,
        status=venture.status,
        raised_minor=venture.raised_minor,
        escrow_minor=venture.escrow_minor,
        fee_minor=venture.fee_minor,
        investors=venture.investors,
    )
    return replace(view, **changes)


def investment_view(
    venture: Venture, investment_id: str, one: Investment, more_minor: int = 0
) -> InvestmentView:
    """An investment; `more_minor`: by how much its investor's sum is about to change."""
    status = one.status
    if status is InvestmentStatus.OPEN and venture.status is VentureStatus.FUNDED:
        status = InvestmentStatus.FUNDED
    invested = venture.invested.get(one.investor_id, 0) + more_minor
    return InvestmentView(
        investment_id,
        venture.venture_id,
        venture.asked.artist_user_id,
        one.investor_id,
        status,
        venture.asked.currency,
        one.amount_minor,
        invested,
        _name(venture, invested),
    )


def investor_view(
    venture: Venture, investor_id: str, changed: dict[str, DeliveryStatus] | None = None
) -> InvestorView:
    """What an investor has in a venture, with deliveries that are about to change."""
    invested = venture.invested.get(investor_id, 0)
    said = venture.deliveries | (changed or {})
    return InvestorView(
        venture.venture_id,
        investor_id,
        venture.asked.currency,
        invested,
        _name(venture, invested),
        tuple(
            DeliveryView(
                benefit.benefit_id,
                benefit.text,
                said.get(delivery_key(benefit.benefit_id, investor_id), DeliveryStatus.DUE),
            )
            for benefit in benefits_of(venture, investor_id)
        ),
    )


def _name(venture: Venture, invested_minor: int) -> TierName | None:
    tier = tier_of(venture, invested_minor)
    return tier.tier if tier else None
