"""Ventures: draft, open, cancel, look; what the caller has invested."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Fundraiser, Investor, check_permission, public
from api.idempotency import KeyHeader, command_key
from api.inputs import Amount, Input
from api.openapi import problems
from api.own_songs import check_own_song
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import Services, ServicesDep
from domain.access import Permission
from integrations.tokens import Claims
from messages.keys import derive_id
from messages.users import PermissionMissing
from messages.ventures.errors import NotYourVenture, VentureNotFound
from messages.ventures.ventures import (
    Benefit,
    CancelVenture,
    DraftVenture,
    GetVenture,
    InvestmentStatus,
    InvestmentView,
    OpenRound,
    TierName,
    TierTerms,
    VentureCommand,
    VentureStatus,
    VentureView,
    WithdrawInvestment,
)
from storage import ventures as storage

router = APIRouter(prefix="/api/v1", tags=["ventures"])

DRAFT = "POST /api/v1/ventures"
OPEN = "POST /api/v1/ventures/{venture_id}/opening"
CANCEL = "POST /api/v1/ventures/{venture_id}/cancellation"
WITHDRAW = "POST /api/v1/ventures/{venture_id}/investments/{investment_id}/withdrawal"
MAX_TIERS = len(TierName)


class PromisedBenefit(Input):
    """Something that investors are promised."""

    benefit_id: str = Field(
        max_length=40, description="Small letters, digits, hyphens: signed-vinyl."
    )
    text: str = Field(max_length=800)


class Tier(Input):
    """Who invests so much in sum, or more, gets these benefits, and those of no other tier."""

    tier: TierName
    from_minor: Amount
    benefits: list[PromisedBenefit] = Field(max_length=20)


class NewVenture(Input):
    """The terms of a round. They do not change afterwards."""

    name: str = Field(max_length=400, description="3 to 100 characters.")
    pitch: str = Field(max_length=20_000, description="What it is for; at most 5,000 characters.")
    currency: str = Field(max_length=16, description="As USD.")
    goal_minor: Amount = Field(description="With less than this, everybody has their money back.")
    cap_minor: Amount = Field(description="The most that the round takes.")
    least_minor: Amount = Field(description="Of one investment.")
    most_minor: Amount = Field(description="Of one investor, in sum.")
    deadline_ms: Amount = Field(description="A day to ninety days from now.")
    tiers: list[Tier] = Field([], max_length=MAX_TIERS, description="The lowest first.")
    song_id: UUID | None = Field(None, description="A song of the caller's that it is for.")


class VentureCancellation(Input):
    """Why a venture is given up."""

    reason: str = Field("", max_length=255)


class Venture(BaseModel):
    """A venture."""

    venture_id: UUID
    artist_user_id: UUID
    song_id: UUID | None
    name: str
    pitch: str
    status: VentureStatus
    currency: str
    goal_minor: int
    cap_minor: int
    least_minor: int
    most_minor: int
    deadline_ms: int
    tiers: list[Tier]
    raised_minor: int = Field(description="What stands invested, or did when the round closed.")
    escrow_minor: int = Field(description="What of it is in escrow now.")
    fee_minor: int = Field(description="The platform's part, once it is funded.")
    investors: int
    drafted_at_ms: int


class InvestmentSummary(BaseModel):
    """An investment of the caller's, with its venture."""

    investment_id: UUID
    venture_id: UUID
    name: str = Field(description="The venture's.")
    venture_status: VentureStatus
    currency: str
    amount_minor: int
    status: InvestmentStatus
    made_at_ms: int
    ended_at_ms: int | None


class Investment(BaseModel):
    """An investment, and all that its investor has in the venture."""

    investment_id: UUID
    venture_id: UUID
    status: InvestmentStatus
    currency: str
    amount_minor: int
    invested_minor: int
    tier: TierName | None


@router.post("/ventures", status_code=201, responses=problems(401, 403, 404, 409))
async def draft_venture(
    body: NewVenture, key: KeyHeader, subject: Fundraiser, services: ServicesDep
) -> Venture:
    """Draft a round, for a song of the caller's or for what is still to be made."""
    song_id = str(body.song_id) if body.song_id else ""
    if song_id:
        await check_own_song(services, subject, song_id)
    asked = command_key(subject.user_id, DRAFT, key)
    terms = body.model_dump(exclude={"song_id", "tiers"})
    command = DraftVenture(
        artist_user_id=subject.user_id, song_id=song_id, tiers=_terms(body.tiers), **terms
    )
    return await _ask(services, derive_id("venture", asked), command, asked)


@router.post("/ventures/{venture_id}/opening", responses=problems(401, 403, 404, 409))
async def open_venture(
    venture_id: UUID, key: KeyHeader, subject: Fundraiser, services: ServicesDep
) -> Venture:
    """Take investments, until the deadline."""
    await check_artist(services, subject, venture_id)
    asked = command_key(subject.user_id, OPEN.format(venture_id=venture_id), key)
    return await _ask(services, str(venture_id), OpenRound(), asked)


@router.post("/ventures/{venture_id}/cancellation", responses=problems(401, 403, 404, 409))
async def cancel_venture(
    venture_id: UUID,
    body: VentureCancellation,
    key: KeyHeader,
    subject: Fundraiser,
    services: ServicesDep,
) -> Venture:
    """Give it up, before the deadline; what was invested goes back to whom it came from."""
    await check_artist(services, subject, venture_id)
    asked = command_key(subject.user_id, CANCEL.format(venture_id=venture_id), key)
    return await _ask(services, str(venture_id), CancelVenture(body.reason), asked)


@router.get("/ventures")
@public
async def list_ventures(
    services: ServicesDep,
    status: Annotated[VentureStatus | None, Query(description="Only of this status.")] = None,
    artist_user_id: Annotated[UUID | None, Query(description="Only of this artist.")] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Venture]:
    """Ventures, newest first."""
    before, artist = place_of(cursor), str(artist_user_id) if artist_user_id else None
    found = await storage.newest(services.pool, before, limit + 1, status, artist)
    return page(found, limit, lambda row: (row.drafted_at_ms, row.venture_id), _shown)


@router.get("/ventures/{venture_id}", responses=problems(404))
@public
async def get_venture(venture_id: UUID, services: ServicesDep) -> Venture:
    """One venture as it stands at this moment, from its owner."""
    return await _ask(services, str(venture_id), GetVenture(), services.query_key())


@router.get("/users/me/investments", responses=problems(401))
async def list_my_investments(
    subject: Investor,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[InvestmentSummary]:
    """The caller's investments in all ventures, the newest first."""
    before = place_of(cursor)
    found = await storage.investments_of(services.pool, subject.user_id, before, limit + 1)
    return page(
        found,
        limit,
        lambda row: (row.made_at_ms, row.investment_id),
        lambda row: InvestmentSummary(**msgspec.structs.asdict(row)),
    )


@router.post(
    "/ventures/{venture_id}/investments/{investment_id}/withdrawal",
    responses=problems(401, 404, 409),
)
async def withdraw_investment(
    venture_id: UUID,
    investment_id: UUID,
    key: KeyHeader,
    subject: Investor,
    services: ServicesDep,
) -> Investment:
    """Take an investment of the caller's out of an open round, to the caller's balance."""
    route = WITHDRAW.format(venture_id=venture_id, investment_id=investment_id)
    asked = command_key(subject.user_id, route, key)
    command = WithdrawInvestment(str(investment_id), "withdrawn by its investor", subject.user_id)
    answer = await services.owner("ventures").ask(str(venture_id), command, key=asked)
    assert isinstance(answer, InvestmentView)
    fields = msgspec.structs.asdict(answer)
    return Investment(**{name: fields[name] for name in Investment.model_fields})


async def check_artist(services: Services, subject: Claims, venture_id: UUID) -> storage.VentureRow:
    """The venture, if it is the subject's, or they operate ventures.

    Raises VentureNotFound, NotYourVenture.
    """
    row = await storage.get_venture(services.pool, str(venture_id))
    if row is None:
        raise VentureNotFound(venture_id=str(venture_id))
    try:
        await check_permission(services, subject, Permission.RAISE_FUNDS, row.artist_user_id)
    except PermissionMissing:
        raise NotYourVenture(venture_id=str(venture_id)) from None
    return row


async def _ask(services: Services, venture_id: str, command: VentureCommand, key: bytes) -> Venture:
    answer = await services.owner("ventures").ask(venture_id, command, key=key)
    assert isinstance(answer, VentureView)
    return _shown(answer)


def _shown(found: VentureView | storage.VentureRow) -> Venture:
    fields = msgspec.to_builtins(found)
    fields.pop("type", None)
    return Venture(**{**fields, "song_id": found.song_id or None})


def _terms(tiers: list[Tier]) -> tuple[TierTerms, ...]:
    return tuple(
        TierTerms(
            tier.tier,
            tier.from_minor,
            tuple(Benefit(one.benefit_id, one.text) for one in tier.benefits),
        )
        for tier in tiers
    )
