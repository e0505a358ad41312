"""A venture: what its owner is asked, what happened to it, what callers see of it.

The entity id is the venture's. Amounts are minor units of the venture's currency.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec


class VentureStatus(StrEnum):
    """draft → open → funded | failed | cancelled; a draft may be cancelled, too."""

    NONE = "none"
    DRAFT = "draft"
    OPEN = "open"
    FUNDED = "funded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class InvestmentStatus(StrEnum):
    """open → withdrawn | returned | funded."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"
    RETURNED = "returned"
    FUNDED = "funded"


class TierName(StrEnum):
    """What an investor is called, by how much they invested."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"
    PLATINUM = "platinum"


class DeliveryStatus(StrEnum):
    """due → delivered → confirmed | contested; what is contested may be delivered again."""

    DUE = "due"
    DELIVERED = "delivered"
    CONFIRMED = "confirmed"
    CONTESTED = "contested"


class Benefit(msgspec.Struct, frozen=True):
    """Something that investors are promised. Its id is the artist's, as `signed-vinyl`."""

    benefit_id: str
    text: str


class TierTerms(msgspec.Struct, frozen=True):
    """Who invests `from_minor` in sum, or more, is of this tier and gets its benefits.

    A tier's benefits are all that it gets: those of the tiers below are not added.
    """

    tier: TierName
    from_minor: int
    benefits: tuple[Benefit, ...]


# --- what a venture is asked ----------------------------------------------------------------------


class DraftVenture(msgspec.Struct, frozen=True, tag=True):
    """Draft a round. Its terms do not change afterwards.

    least_minor: of one investment.  most_minor: of one investor, in sum.  cap_minor: of the round.
    song_id: what it is for, if that exists already.
    """

    artist_user_id: str
    name: str
    pitch: str
    currency: str
    goal_minor: int
    cap_minor: int
    least_minor: int
    most_minor: int
    deadline_ms: int
    tiers: tuple[TierTerms, ...] = ()
    song_id: str = ""


class OpenRound(msgspec.Struct, frozen=True, tag=True):
    """Take investments, until the deadline."""


class CancelVenture(msgspec.Struct, frozen=True, tag=True):
    """Give it up; what was invested goes back to whom it came from."""

    reason: str = ""


class Invest(msgspec.Struct, frozen=True, tag=True):
    """Put money of the investor's available balance in escrow.

    Asked again with the same id and terms: the same answer. Errors: VentureStateForbids,
    BadInvestment, InvestorLimit, VentureFull, OwnVenture, InvestmentExists, InsufficientFunds.
    """

    investment_id: str
    investor_id: str
    amount_minor: int


class WithdrawInvestment(msgspec.Struct, frozen=True, tag=True):
    """Give an investment back to its investor: by their wish, or because its payment was undone.

    One that went back already is no error; it is answered as it is. investor_id: if given, the
    investment must be theirs. Errors: InvestmentNotFound, InvestmentIsFinal once it is funded.
    """

    investment_id: str
    reason: str
    investor_id: str = ""


class DeliverBenefit(msgspec.Struct, frozen=True, tag=True):
    """The artist says that investors have a benefit now."""

    benefit_id: str
    investor_ids: tuple[str, ...]


class ConfirmBenefit(msgspec.Struct, frozen=True, tag=True):
    """The investor has it."""

    benefit_id: str
    investor_id: str


class ContestBenefit(msgspec.Struct, frozen=True, tag=True):
    """The investor has it not, or not as promised."""

    benefit_id: str
    investor_id: str
    reason: str


class CloseRound(msgspec.Struct, frozen=True, tag=True):
    """Timer: the deadline has come."""


class ReturnInvestments(msgspec.Struct, frozen=True, tag=True):
    """Timer: give back the next of a round that failed or was cancelled."""

    due_at_ms: int


class GetVenture(msgspec.Struct, frozen=True, tag=True):
    """Query: the venture as it stands."""


class GetInvestment(msgspec.Struct, frozen=True, tag=True):
    """Query: an investment. Errors: InvestmentNotFound."""

    investment_id: str


class GetInvestor(msgspec.Struct, frozen=True, tag=True):
    """Query: what an investor has in the venture, and is due."""

    investor_id: str


VentureCommand: TypeAlias = (
    DraftVenture
    | OpenRound
    | CancelVenture
    | Invest
    | WithdrawInvestment
    | DeliverBenefit
    | ConfirmBenefit
    | ContestBenefit
    | CloseRound
    | ReturnInvestments
    | GetVenture
    | GetInvestment
    | GetInvestor
)


# --- what callers see -----------------------------------------------------------------------------


class VentureView(msgspec.Struct, frozen=True, tag=True):
    """A venture as it stands.

    raised_minor: what stands invested, or did when the round closed.  escrow_minor: what of it is
    in escrow now: nothing after it was funded, less and less while it is given back.
    """

    venture_id: str
    artist_user_id: str
    song_id: str
    name: str
    pitch: str
    status: VentureStatus
    currency: str
    goal_minor: int
    cap_minor: int
    least_minor: int
    most_minor: int
    deadline_ms: int
    tiers: tuple[TierTerms, ...]
    raised_minor: int
    escrow_minor: int
    fee_minor: int
    investors: int
    drafted_at_ms: int


class InvestmentView(msgspec.Struct, frozen=True, tag=True):
    """An investment, and all that its investor has in the venture with it."""

    investment_id: str
    venture_id: str
    artist_user_id: str
    investor_id: str
    status: InvestmentStatus
    currency: str
    amount_minor: int
    invested_minor: int
    tier: TierName | None


class DeliveryView(msgspec.Struct, frozen=True):
    """How far a benefit is for one investor."""

    benefit_id: str
    text: str
    status: DeliveryStatus


class InvestorView(msgspec.Struct, frozen=True, tag=True):
    """What an investor has in a venture. Benefits are due once it is funded."""

    venture_id: str
    investor_id: str
    currency: str
    invested_minor: int
    tier: TierName | None
    benefits: tuple[DeliveryView, ...]


VentureAnswer: TypeAlias = VentureView | InvestmentView | InvestorView


# --- what happened --------------------------------------------------------------------------------


class VentureDrafted(msgspec.Struct, frozen=True, tag=True):
    """Public: an artist prepares a round."""

    venture_id: str
    terms: DraftVenture
    at_ms: int


class RoundOpened(msgspec.Struct, frozen=True, tag=True):
    """Public: investments are taken."""

    venture_id: str
    artist_user_id: str
    name: str
    deadline_ms: int
    at_ms: int


class InvestmentMade(msgspec.Struct, frozen=True, tag=True):
    """Public: to the investor alone."""

    venture_id: str
    investment_id: str
    investor_id: str
    currency: str
    amount_minor: int
    at_ms: int


class InvestmentWithdrawn(msgspec.Struct, frozen=True, tag=True):
    """Public: to the investor alone; the money is back."""

    venture_id: str
    investment_id: str
    investor_id: str
    currency: str
    amount_minor: int
    reason: str
    at_ms: int


class InvestmentReturned(msgspec.Struct, frozen=True, tag=True):
    """Public: to the investor alone; the round came to nothing, the money is back."""

    venture_id: str
    investment_id: str
    investor_id: str
    currency: str
    amount_minor: int
    at_ms: int


class RaisedChanged(msgspec.Struct, frozen=True, tag=True):
    """Public: names nobody; how far a round is."""

    venture_id: str
    currency: str
    raised_minor: int
    goal_minor: int
    investors: int
    at_ms: int


class VentureFunded(msgspec.Struct, frozen=True, tag=True):
    """Public: the goal is reached; the artist has what was raised, less the platform's fee."""

    venture_id: str
    artist_user_id: str
    currency: str
    raised_minor: int
    fee_minor: int
    investors: int
    at_ms: int


class VentureFailed(msgspec.Struct, frozen=True, tag=True):
    """Public: the deadline came before the goal; what was invested goes back."""

    venture_id: str
    artist_user_id: str
    currency: str
    raised_minor: int
    goal_minor: int
    investors: int
    at_ms: int


class VentureCancelled(msgspec.Struct, frozen=True, tag=True):
    """Public: it was given up; what was invested goes back."""

    venture_id: str
    artist_user_id: str
    currency: str
    raised_minor: int
    reason: str
    investors: int
    at_ms: int


class EscrowReturned(msgspec.Struct, frozen=True, tag=True):
    """Public: everybody has their money back."""

    venture_id: str
    at_ms: int


class BenefitDelivered(msgspec.Struct, frozen=True, tag=True):
    """Public: to the investor alone; the artist says that they have it."""

    venture_id: str
    benefit_id: str
    investor_id: str
    at_ms: int


class BenefitConfirmed(msgspec.Struct, frozen=True, tag=True):
    """Public: to the investor and to the artist."""

    venture_id: str
    artist_user_id: str
    benefit_id: str
    investor_id: str
    at_ms: int


class BenefitContested(msgspec.Struct, frozen=True, tag=True):
    """Public: to the investor and to the artist."""

    venture_id: str
    artist_user_id: str
    benefit_id: str
    investor_id: str
    reason: str
    at_ms: int


VentureEvent: TypeAlias = (
    VentureDrafted
    | RoundOpened
    | InvestmentMade
    | InvestmentWithdrawn
    | InvestmentReturned
    | RaisedChanged
    | VentureFunded
    | VentureFailed
    | VentureCancelled
    | EscrowReturned
    | BenefitDelivered
    | BenefitConfirmed
    | BenefitContested
)
# Shown to the user of their `investor_id` (and, of the last two, `artist_user_id`) alone; the
# others to everyone, on the venture's channel.
INVESTOR_EVENTS = (
    InvestmentMade,
    InvestmentWithdrawn,
    InvestmentReturned,
    BenefitDelivered,
    BenefitConfirmed,
    BenefitContested,
)
PUBLIC_VENTURE_EVENTS: frozenset[type] = frozenset(
    {
        *INVESTOR_EVENTS,
        VentureDrafted,
        RoundOpened,
        RaisedChanged,
        VentureFunded,
        VentureFailed,
        VentureCancelled,
        EscrowReturned,
    }
)
