"""A drop: what its owner is asked, what happened to it, what callers see of it.

The entity id is the drop's. Prices are minor units of the drop's currency for one token. Tokens are
numbered 1, 2, … in the order in which they are paid for; a number is never given twice, and a
purchase that falls through uses none up.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec


class DropStatus(StrEnum):
    """draft → active ↔ paused → completed | cancelled."""

    NONE = "none"
    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class ReservationStatus(StrEnum):
    """reserved → purchased → returned. One that lapsed or was released is forgotten."""

    RESERVED = "reserved"
    PURCHASED = "purchased"
    RETURNED = "returned"


# --- what a drop is asked -------------------------------------------------------------------------


class DraftDrop(msgspec.Struct, frozen=True, tag=True):
    """Draft a drop for a song of the artist's. Its terms do not change afterwards."""

    artist_user_id: str
    song_id: str
    name: str
    currency: str
    price_minor: int
    supply: int
    days: int


class ActivateDrop(msgspec.Struct, frozen=True, tag=True):
    """Begin, or go on with, the sale. The drop's days count from its first activation."""


class PauseDrop(msgspec.Struct, frozen=True, tag=True):
    """Take no new reservations for now. Those that were made stay good."""


class CancelDrop(msgspec.Struct, frozen=True, tag=True):
    """End the sale for good; what is reserved is released."""

    reason: str = ""


class ReserveTokens(msgspec.Struct, frozen=True, tag=True):
    """Keep `count` tokens for a buyer, who has until then to pay.

    Asked again with the same id and terms: the same answer. Errors: DropStateForbids, DropSoldOut,
    NotEnoughTokens, TokenCap, OwnDrop, BadReservation, ReservationExists.
    """

    reservation_id: str
    buyer_id: str
    count: int
    expires_at_ms: int


class PurchaseReserved(msgspec.Struct, frozen=True, tag=True):
    """Pay for what was reserved, from the buyer's available balance, and mint the tokens.

    Asked again: the same answer. Errors: ReservationNotFound where it lapsed or was released,
    InsufficientFunds.
    """

    reservation_id: str


class ReleaseReservation(msgspec.Struct, frozen=True, tag=True):
    """Give up a reservation that was not paid for; one that is gone already is no error.

    Errors: ReservationIsPurchased.
    """

    reservation_id: str
    reason: str


class ReturnTokens(msgspec.Struct, frozen=True, tag=True):
    """Burn the tokens of a purchase and give all that was paid back to the buyer.

    Asked again: the same answer. Errors: ReservationNotFound, ReservationNotPurchased,
    InsufficientFunds where the artist's balance does not cover it (any more).
    """

    reservation_id: str
    reason: str


class ExpireReservation(msgspec.Struct, frozen=True, tag=True):
    """Timer: the time to pay for a reservation is over."""

    reservation_id: str


class EndDrop(msgspec.Struct, frozen=True, tag=True):
    """Timer: the drop's days are over."""


class GetDrop(msgspec.Struct, frozen=True, tag=True):
    """Query: the drop as it stands."""


class GetReservation(msgspec.Struct, frozen=True, tag=True):
    """Query: a reservation, or what became of it. Errors: ReservationNotFound."""

    reservation_id: str


DropCommand: TypeAlias = (
    DraftDrop
    | ActivateDrop
    | PauseDrop
    | CancelDrop
    | ReserveTokens
    | PurchaseReserved
    | ReleaseReservation
    | ReturnTokens
    | ExpireReservation
    | EndDrop
    | GetDrop
    | GetReservation
)


# --- what callers see -----------------------------------------------------------------------------


class DropView(msgspec.Struct, frozen=True, tag=True):
    """A drop as it stands. reserved + minted + left = supply.

    minted: ever, with those that were `burned` since.  cap: the most that one user may buy.
    ends_at_ms: 0 before it is activated.
    """

    drop_id: str
    artist_user_id: str
    song_id: str
    name: str
    status: DropStatus
    currency: str
    price_minor: int
    supply: int
    cap: int
    days: int
    reserved: int
    minted: int
    burned: int
    left: int
    ends_at_ms: int
    drafted_at_ms: int


class ReservationView(msgspec.Struct, frozen=True, tag=True):
    """Tokens that are kept for a buyer, or were bought.

    total_minor: what the buyer pays, of which `fee_minor` is the platform's.  first_token,
    last_token: their numbers once they are bought, 0 before.
    """

    reservation_id: str
    drop_id: str
    artist_user_id: str
    buyer_id: str
    status: ReservationStatus
    count: int
    currency: str
    total_minor: int
    fee_minor: int
    expires_at_ms: int
    first_token: int = 0
    last_token: int = 0


class ReleasedView(msgspec.Struct, frozen=True, tag=True):
    """A reservation that is no more."""

    reservation_id: str


DropAnswer: TypeAlias = DropView | ReservationView | ReleasedView


# --- what happened --------------------------------------------------------------------------------


class DropDrafted(msgspec.Struct, frozen=True, tag=True):
    """Public: an artist prepares a drop."""

    drop_id: str
    artist_user_id: str
    song_id: str
    name: str
    currency: str
    price_minor: int
    supply: int
    cap: int
    days: int
    at_ms: int


class DropActivated(msgspec.Struct, frozen=True, tag=True):
    """Public: the sale began, or goes on."""

    drop_id: str
    ends_at_ms: int
    at_ms: int


class DropPaused(msgspec.Struct, frozen=True, tag=True):
    """Public: no new reservations for now."""

    drop_id: str
    at_ms: int


class DropCompleted(msgspec.Struct, frozen=True, tag=True):
    """Public: the sale is over: sold out, or its days are."""

    drop_id: str
    sold_out: bool
    minted: int
    at_ms: int


class DropCancelled(msgspec.Struct, frozen=True, tag=True):
    """Public: the sale was ended. What was reserved is released by it."""

    drop_id: str
    reason: str
    minted: int
    at_ms: int


class TokensReserved(msgspec.Struct, frozen=True, tag=True):
    """Public: to the buyer alone."""

    drop_id: str
    reservation_id: str
    buyer_id: str
    count: int
    currency: str
    total_minor: int
    fee_minor: int
    expires_at_ms: int
    at_ms: int


class ReservationReleased(msgspec.Struct, frozen=True, tag=True):
    """Public: to the buyer alone; `reason` is `expired`, or the releaser's word."""

    drop_id: str
    reservation_id: str
    buyer_id: str
    count: int
    reason: str
    at_ms: int


class TokensPurchased(msgspec.Struct, frozen=True, tag=True):
    """Public: to the buyer alone. The tokens first_token … first_token + count - 1 are theirs."""

    drop_id: str
    reservation_id: str
    buyer_id: str
    artist_user_id: str
    count: int
    first_token: int
    currency: str
    paid_minor: int
    fee_minor: int
    at_ms: int


class TokensReturned(msgspec.Struct, frozen=True, tag=True):
    """Public: to the buyer alone; the tokens are burned and the money is back."""

    drop_id: str
    reservation_id: str
    buyer_id: str
    artist_user_id: str
    count: int
    first_token: int
    currency: str
    returned_minor: int
    fee_minor: int
    reason: str
    at_ms: int


class SupplyChanged(msgspec.Struct, frozen=True, tag=True):
    """Public: names nobody; what is left of a drop."""

    drop_id: str
    supply: int
    reserved: int
    minted: int
    burned: int
    left: int
    at_ms: int


class MilestoneReached(msgspec.Struct, frozen=True, tag=True):
    """Public: so many hundredths of the supply are sold."""

    drop_id: str
    artist_user_id: str
    percent: int
    minted: int
    at_ms: int


DropEvent: TypeAlias = (
    DropDrafted
    | DropActivated
    | DropPaused
    | DropCompleted
    | DropCancelled
    | TokensReserved
    | ReservationReleased
    | TokensPurchased
    | TokensReturned
    | SupplyChanged
    | MilestoneReached
)
# Shown to the user of their `buyer_id` alone; the others to everyone, on the drop's channel.
BUYER_EVENTS = (TokensReserved, ReservationReleased, TokensPurchased, TokensReturned)
PUBLIC_DROP_EVENTS: frozenset[type] = frozenset(
    {
        *BUYER_EVENTS,
        DropDrafted,
        DropActivated,
        DropPaused,
        DropCompleted,
        DropCancelled,
        SupplyChanged,
        MilestoneReached,
    }
)
