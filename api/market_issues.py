"""Share issues: draft, activate, pause, resume, terminate, look, buy, lock."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Issuer, Trader, check_permission, public
from api.idempotency import KeyHeader, command_key
from api.inputs import Amount, Input
from api.openapi import problems
from api.own_songs import check_own_song
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import Services, ServicesDep
from domain.access import Permission
from domain.policy import MarketPolicy
from integrations.tokens import Claims
from messages.keys import derive_id
from messages.market import (
    ActivateIssue,
    BuyShares,
    DraftIssue,
    GetIssue,
    HoldingView,
    IssueNotFound,
    IssueStatus,
    IssueView,
    LockReason,
    LockShares,
    LockView,
    NotYourIssue,
    PauseIssue,
    PurchaseView,
    ResumeIssue,
    TerminateIssue,
    issue_id_of,
)
from messages.money import minor_per_unit
from messages.rewards import CURRENCY as REWARD_CURRENCY
from messages.rewards import PayeeKind, payee_id
from messages.users import PermissionMissing
from storage import market_issues as storage
from storage import music as music_storage
from storage import rewards as rewards_storage

router = APIRouter(prefix="/api/v1", tags=["market"])

DRAFT = "POST /api/v1/issues"
ACTIVATE = "POST /api/v1/issues/{issue_id}/activation"
PAUSE = "POST /api/v1/issues/{issue_id}/pause"
RESUME = "POST /api/v1/issues/{issue_id}/resumption"
TERMINATE = "POST /api/v1/issues/{issue_id}/termination"
BUY = "POST /api/v1/issues/{issue_id}/purchases"
LOCK = "POST /api/v1/issues/{issue_id}/locks"
MAX_TEXT = 20  # of a currency, before its rule is asked
TERMS = MarketPolicy()


class DraftedIssue(Input):
    """The terms of an issue. They do not change afterwards."""

    song_id: UUID
    currency: str = Field(max_length=MAX_TEXT, description="Of prices and revenue, as USD.")
    shares: Amount = Field(description="All of them, at most 10,000.")
    retained: Amount = Field(description="Of them, what stays the artist's: 1 to 99 %.")
    price_minor: Amount = Field(description="For one share; a multiple of the tick.")
    minimum: Amount = Field(1, description="Shares of a purchase, at least.")
    cap_bps: Amount = Field(
        TERMS.default_cap_bps,
        description="The most that one user may own, in basis points of all shares: "
        + ", ".join(map(str, TERMS.cap_presets_bps)),
    )
    tick_minor: Amount = Field(1, description="Prices are multiples of it.")
    locked: Amount = Field(0, description="Of the retained shares, kept from being sold.")
    locked_until_ms: Amount = Field(0, description="Until when, if any are.")


class Issue(BaseModel):
    """A share issue."""

    issue_id: UUID
    song_id: UUID
    artist_user_id: UUID
    status: IssueStatus
    currency: str
    shares: int
    retained: int = Field(description="What stayed the artist's when it began.")
    sold: int = Field(description="Of the offered shares.")
    price_minor: int
    minimum: int
    cap_bps: int
    tick_minor: int
    generation: int = Field(description="1 for the song's first issue.")
    voided: bool = Field(description="Terminated without a share left.")
    revenue_minor: int = Field(description="What waits to be distributed.")


class Holding(BaseModel):
    """What a user has of an issue."""

    issue_id: UUID
    currency: str
    available: int = Field(description="Shares that may be sold.")
    held: int = Field(description="Shares in open orders.")
    locked: int = Field(description="Shares that may not be sold yet.")
    cost_minor: int = Field(description="What the shares cost, fees and all; average cost.")
    realised_minor: int = Field(description="Proceeds of sold shares, less what they had cost.")


class NewPurchase(Input):
    """Buy offered shares."""

    shares: Amount
    price_minor: Amount = Field(description="The issue's price, as the buyer saw it.")


class Purchase(BaseModel):
    """A purchase that was made."""

    purchase_id: UUID
    shares: int
    paid_minor: int
    fee_minor: int = Field(description="The platform's part of what was paid.")
    holding: Holding


class NewLock(Input):
    """Keep shares from being sold until a moment."""

    shares: Amount
    until_ms: Amount = Field(description="Epoch milliseconds.")
    reason: LockReason = LockReason.REQUEST
    user_id: UUID | None = Field(
        None, description="Whose shares; the caller's own if absent. Others' need market:operate."
    )


class Lock(BaseModel):
    """Locked shares."""

    lock_id: UUID
    shares: int
    until_ms: int
    reason: LockReason
    holding: Holding


@router.post("/issues", status_code=201, responses=problems(401, 403, 404, 409))
async def draft_issue(
    body: DraftedIssue,
    key: KeyHeader,
    subject: Issuer,
    services: ServicesDep,
) -> Issue:
    """Draft an issue of a song of the caller's. A song has one issue at a time."""
    song_id = str(body.song_id)
    await check_own_song(services, subject, song_id)
    last = await storage.last_of_song(services.pool, song_id)
    generation = 1 if last is None else last.generation + last.voided
    terms = body.model_dump(exclude={"song_id"})
    command = DraftIssue(
        song_id=song_id, artist_user_id=subject.user_id, generation=generation, **terms
    )
    asked = command_key(subject.user_id, DRAFT, key)
    return await _ask(services, issue_id_of(song_id, generation), command, asked)


@router.post("/issues/{issue_id}/activation", responses=problems(401, 403, 404, 409))
async def activate_issue(
    issue_id: UUID, key: KeyHeader, subject: Issuer, services: ServicesDep
) -> Issue:
    """Create the shares and begin the sale: by an admin, or by the artist of a song that earned so
    much.
    """
    issue = await find_issue(services, issue_id)
    try:
        await check_permission(services, subject, Permission.OPERATE_MARKET)
        command = ActivateIssue()
    except PermissionMissing:
        if issue.artist_user_id != subject.user_id:
            raise NotYourIssue(issue_id=str(issue_id)) from None
        command = ActivateIssue(await _earned_units(services, subject, issue.song_id))
    asked = command_key(subject.user_id, ACTIVATE.format(issue_id=issue_id), key)
    return await _ask(services, str(issue_id), command, asked)


@router.post("/issues/{issue_id}/pause", responses=problems(401, 403, 404, 409))
async def pause_issue(
    issue_id: UUID, key: KeyHeader, subject: Issuer, services: ServicesDep
) -> Issue:
    """Stop the sale for now."""
    await _check_artist(services, subject, issue_id)
    asked = command_key(subject.user_id, PAUSE.format(issue_id=issue_id), key)
    return await _ask(services, str(issue_id), PauseIssue(), asked)


@router.post("/issues/{issue_id}/resumption", responses=problems(401, 403, 404, 409))
async def resume_issue(
    issue_id: UUID, key: KeyHeader, subject: Issuer, services: ServicesDep
) -> Issue:
    """Go on with the sale."""
    await _check_artist(services, subject, issue_id)
    asked = command_key(subject.user_id, RESUME.format(issue_id=issue_id), key)
    return await _ask(services, str(issue_id), ResumeIssue(), asked)


@router.post("/issues/{issue_id}/termination", responses=problems(401, 403, 404, 409))
async def terminate_issue(
    issue_id: UUID, key: KeyHeader, subject: Issuer, services: ServicesDep
) -> Issue:
    """End the sale for good; what is not sold goes back to the artist.

    If nobody but the artist has a share, none is left and the song may be issued again.
    """
    await _check_artist(services, subject, issue_id)
    asked = command_key(subject.user_id, TERMINATE.format(issue_id=issue_id), key)
    return await _ask(services, str(issue_id), TerminateIssue(), asked)


@router.get("/issues")
@public
async def list_issues(
    services: ServicesDep,
    status: Annotated[IssueStatus | None, Query(description="Only of this status.")] = None,
    song_id: Annotated[UUID | None, Query(description="Only of this song.")] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Issue]:
    """Issues, newest first."""
    before = place_of(cursor)
    song = str(song_id) if song_id else None
    found = await storage.newest_issues(services.pool, before, limit + 1, status, song)
    return page(found, limit, lambda row: (row.drafted_at_ms, row.issue_id), _listed)


@router.get("/issues/{issue_id}", responses=problems(404))
@public
async def get_issue(issue_id: UUID, services: ServicesDep) -> Issue:
    """One issue as it stands at this moment, from its owner."""
    # A query changes nothing, so its key only has to be new.
    return await _ask(services, str(issue_id), GetIssue(), services.query_key())


@router.post(
    "/issues/{issue_id}/purchases", status_code=201, responses=problems(401, 403, 404, 409)
)
async def buy_shares(
    issue_id: UUID, body: NewPurchase, key: KeyHeader, subject: Trader, services: ServicesDep
) -> Purchase:
    """Buy offered shares with the caller's available balance, all of them or none."""
    asked = command_key(subject.user_id, BUY.format(issue_id=issue_id), key)
    purchase_id = derive_id("share-purchase", asked)
    command = BuyShares(purchase_id, subject.user_id, body.shares, body.price_minor)
    answer = await services.owner("market").ask(str(issue_id), command, key=asked)
    assert isinstance(answer, PurchaseView)
    return Purchase(**_with_holding(answer))


@router.post("/issues/{issue_id}/locks", status_code=201, responses=problems(401, 403, 404, 409))
async def lock_shares(
    issue_id: UUID, body: NewLock, key: KeyHeader, subject: Trader, services: ServicesDep
) -> Lock:
    """Keep shares from being sold; they come free by themselves."""
    owner = str(body.user_id or subject.user_id)
    if owner != subject.user_id:
        await check_permission(services, subject, Permission.OPERATE_MARKET)
    asked = command_key(subject.user_id, LOCK.format(issue_id=issue_id), key)
    lock_id = derive_id("share-lock", asked)
    command = LockShares(lock_id, owner, body.shares, body.until_ms, body.reason)
    answer = await services.owner("market").ask(str(issue_id), command, key=asked)
    assert isinstance(answer, LockView)
    return Lock(**_with_holding(answer))


def holding(view: HoldingView) -> Holding:
    """A holding as clients see it."""
    fields = msgspec.structs.asdict(view)
    del fields["user_id"], fields["buying"]
    return Holding(**fields)


async def find_issue(services: Services, issue_id: UUID) -> storage.IssueRow:
    """An issue as its last fact left it. Raises IssueNotFound."""
    row = await storage.get_issue(services.pool, str(issue_id))
    if row is None:
        raise IssueNotFound(issue_id=str(issue_id))
    return row


async def _ask(services: Services, issue_id: str, command: Any, key: bytes) -> Issue:
    answer = await services.owner("market").ask(issue_id, command, key=key)
    assert isinstance(answer, IssueView)
    return Issue(**msgspec.structs.asdict(answer))


async def _check_artist(services: Services, subject: Claims, issue_id: UUID) -> None:
    """The artist of an issue may say how its sale goes, and those who operate the market."""
    issue = await find_issue(services, issue_id)
    if issue.artist_user_id == subject.user_id:
        return
    try:
        await check_permission(services, subject, Permission.OPERATE_MARKET)
    except PermissionMissing:
        raise NotYourIssue(issue_id=str(issue_id)) from None


async def _earned_units(services: Services, subject: Claims, song_id: str) -> int:
    """Whole units of revenue that a song brought: so far its artist's shares of listens."""
    artist = await music_storage.artist_of_user(services.pool, subject.user_id)
    if artist is None:
        return 0
    payee = payee_id(PayeeKind.ARTIST, artist.artist_id)
    earned = await rewards_storage.earned_by_song(services.pool, payee, song_id)
    return earned // minor_per_unit(REWARD_CURRENCY)


def _with_holding(answer: PurchaseView | LockView) -> dict[str, Any]:
    return {**msgspec.structs.asdict(answer), "holding": holding(answer.holding)}


def _listed(row: storage.IssueRow) -> Issue:
    fields = msgspec.structs.asdict(row)
    del fields["drafted_at_ms"], fields["activated_at_ms"]
    return Issue(**fields)
