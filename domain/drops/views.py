"""What callers see of a drop."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from domain.drops.state import Drop, Purchase, Reservation
from messages.drops.drops import (
    DropDrafted,
    DropStatus,
    DropView,
    ReservationStatus,
    ReservationView,
)


def drop_view(drop: Drop, **changes: Any) -> DropView:
    """A drop that was drafted, as it stands, or will with some changes."""
    view = drafted_view(drop.asked)
    view = replace(
        view,
        status=drop.status,
        reserved=drop.reserved,
        minted=drop.minted,
        burned=drop.burned,
        left=drop.left,
        ends_at_ms=drop.ends_at_ms,
    )
    return replace(view, **changes)


def drafted_view(terms: DropDrafted) -> DropView:
    """A drop that was just drafted."""
    return DropView(
        terms.drop_id,
        terms.artist_user_id,
        terms.song_id,
        terms.name,
        DropStatus.DRAFT,
        terms.currency,
        terms.price_minor,
        terms.supply,
        terms.cap,
        terms.days,
        reserved=0,
        minted=0,
        burned=0,
        left=terms.supply,
        ends_at_ms=0,
        drafted_at_ms=terms.at_ms,
    )


def reserved_view(drop: Drop, reservation_id: str, kept: Reservation) -> ReservationView:
    """Tokens that are kept for a buyer."""
    return ReservationView(
        reservation_id,
        drop.drop_id,
        drop.asked.artist_user_id,
        kept.buyer_id,
        ReservationStatus.RESERVED,
        kept.count,
        drop.asked.currency,
        kept.total_minor,
        kept.fee_minor,
        kept.expires_at_ms,
    )


def purchase_view(drop: Drop, reservation_id: str, bought: Purchase) -> ReservationView:
    """Tokens that were bought."""
    status = ReservationStatus.RETURNED if bought.is_returned else ReservationStatus.PURCHASED
    return replace(
        reserved_view(drop, reservation_id, bought.reserved),
        status=status,
        first_token=bought.first_token,
        last_token=bought.first_token + bought.reserved.count - 1,
    )
