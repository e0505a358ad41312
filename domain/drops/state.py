"""What the owner of a drop knows. The state is mutable: only `evolve` touches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from messages.drops.drops import (
    DropActivated,
    DropCancelled,
    DropCompleted,
    DropDrafted,
    DropEvent,
    DropPaused,
    DropStatus,
    ReservationReleased,
    TokensPurchased,
    TokensReserved,
    TokensReturned,
)


class Reservation(msgspec.Struct, frozen=True, array_like=True):
    """Tokens that are kept for a buyer, and what they will cost."""

    buyer_id: str
    count: int
    total_minor: int
    fee_minor: int
    expires_at_ms: int


class Purchase(msgspec.Struct, frozen=True, array_like=True):
    """Tokens first_token … first_token + count - 1, which were bought."""

    reserved: Reservation
    first_token: int
    is_returned: bool = False


class Drop(msgspec.Struct):
    """A drop. of_user: what each user has reserved and bought, less what they returned."""

    drop_id: str
    terms: DropDrafted | None = None
    status: DropStatus = DropStatus.NONE
    ends_at_ms: int = 0
    reserved: int = 0
    minted: int = 0
    burned: int = 0
    reservations: dict[str, Reservation] = msgspec.field(default_factory=dict)
    purchases: dict[str, Purchase] = msgspec.field(default_factory=dict)
    of_user: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def asked(self) -> DropDrafted:
        """The terms of a drop that was drafted."""
        assert self.terms is not None, "checked before"
        return self.terms

    @property
    def left(self) -> int:
        """How many tokens are free."""
        return self.asked.supply - self.reserved - self.minted


def evolve(drop: Drop, event: DropEvent) -> Drop:
    """The drop after a fact."""
    change = _CHANGES.get(type(event))
    if change is not None:
        change(drop, event)
    return drop


def _drafted(drop: Drop, event: DropDrafted) -> None:
    drop.terms, drop.status = event, DropStatus.DRAFT


def _activated(drop: Drop, event: DropActivated) -> None:
    drop.status, drop.ends_at_ms = DropStatus.ACTIVE, event.ends_at_ms


def _paused(drop: Drop, event: DropPaused) -> None:
    drop.status = DropStatus.PAUSED


def _completed(drop: Drop, event: DropCompleted) -> None:
    drop.status = DropStatus.COMPLETED


def _cancelled(drop: Drop, event: DropCancelled) -> None:
    drop.status = DropStatus.CANCELLED
    for reservation in drop.reservations.values():
        _give(drop, reservation.buyer_id, -reservation.count)
    drop.reservations, drop.reserved = {}, 0


def _reserved(drop: Drop, event: TokensReserved) -> None:
    drop.reservations[event.reservation_id] = Reservation(
        event.buyer_id, event.count, event.total_minor, event.fee_minor, event.expires_at_ms
    )
    drop.reserved += event.count
    _give(drop, event.buyer_id, event.count)


def _released(drop: Drop, event: ReservationReleased) -> None:
    del drop.reservations[event.reservation_id]
    drop.reserved -= event.count
    _give(drop, event.buyer_id, -event.count)


def _purchased(drop: Drop, event: TokensPurchased) -> None:
    reservation = drop.reservations.pop(event.reservation_id)
    drop.purchases[event.reservation_id] = Purchase(reservation, event.first_token)
    drop.reserved -= event.count
    drop.minted += event.count


def _returned(drop: Drop, event: TokensReturned) -> None:
    purchase = drop.purchases[event.reservation_id]
    drop.purchases[event.reservation_id] = replace(purchase, is_returned=True)
    drop.burned += event.count
    _give(drop, event.buyer_id, -event.count)


def _give(drop: Drop, user_id: str, count: int) -> None:
    has = drop.of_user.get(user_id, 0) + count
    assert has >= 0, "nobody gives back more than they had"
    if has:
        drop.of_user[user_id] = has
    else:
        drop.of_user.pop(user_id, None)


_CHANGES: dict[type, Callable[[Drop, Any], None]] = {
    DropDrafted: _drafted,
    DropActivated: _activated,
    DropPaused: _paused,
    DropCompleted: _completed,
    DropCancelled: _cancelled,
    TokensReserved: _reserved,
    ReservationReleased: _released,
    TokensPurchased: _purchased,
    TokensReturned: _returned,
}
