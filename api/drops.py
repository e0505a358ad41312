"""Drops: draft, begin, pause, cancel, look; whose tokens are the caller's."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Collector, Dropper, check_permission, public
from api.idempotency import KeyHeader, command_key
from api.inputs import Amount, Input
from api.openapi import problems
from api.own_songs import check_own_song
from api.pagination import (
    DEFAULT_LIMIT,
    CursorQuery,
    LimitQuery,
    Page,
    decode_numbered,
    encode_numbered,
    page,
    page_by,
    place_of,
)
from api.services import Services, ServicesDep
from domain.access import Permission
from integrations.tokens import Claims
from messages.drops.drops import (
    ActivateDrop,
    CancelDrop,
    DraftDrop,
    DropCommand,
    DropStatus,
    DropView,
    GetDrop,
    PauseDrop,
)
from messages.drops.errors import DropNotFound, NotYourDrop
from messages.keys import derive_id
from messages.users import PermissionMissing
from storage import drops as storage
from storage.rows import FIRST_PAGE

router = APIRouter(prefix="/api/v1", tags=["drops"])

DRAFT = "POST /api/v1/drops"
ACTIVATE = "POST /api/v1/drops/{drop_id}/activation"
PAUSE = "POST /api/v1/drops/{drop_id}/pause"
CANCEL = "POST /api/v1/drops/{drop_id}/cancellation"
ABOVE_ALL = (*FIRST_PAGE, 2**31 - 1)


class NewDrop(Input):
    """The terms of a drop. They do not change afterwards."""

    song_id: UUID = Field(description="A song of the caller's.")
    name: str = Field(max_length=400, description="3 to 100 characters.")
    currency: str = Field(max_length=16, description="As USD.")
    price_minor: Amount = Field(description="For one token; 0: it is free.")
    supply: Amount = Field(description="How many tokens there will be, at most 100,000.")
    days: Amount = Field(description="How long they are sold from the activation on: 1 to 90.")


class DropCancellation(Input):
    """Why a drop ends early."""

    reason: str = Field("", max_length=255)


class Drop(BaseModel):
    """A drop. reserved + minted + left = supply."""

    drop_id: UUID
    artist_user_id: UUID
    song_id: UUID
    name: str
    status: DropStatus
    currency: str
    price_minor: int
    supply: int
    cap: int = Field(description="The most that one user may buy.")
    days: int
    reserved: int = Field(description="Kept for buyers who are paying.")
    minted: int = Field(description="Sold, with those that were returned and burned since.")
    burned: int
    left: int = Field(description="What is free.")
    ends_at_ms: int = Field(description="0 before the activation.")
    drafted_at_ms: int


class Token(BaseModel):
    """A token of the caller's."""

    drop_id: UUID
    token: int = Field(description="Its number in the drop, from 1 on.")
    name: str = Field(description="The drop's.")
    song_id: UUID
    reservation_id: UUID = Field(description="What it was bought by.")
    minted_at_ms: int


@router.post("/drops", status_code=201, responses=problems(401, 403, 404, 409))
async def draft_drop(
    body: NewDrop, key: KeyHeader, subject: Dropper, services: ServicesDep
) -> Drop:
    """Draft a drop for a song of the caller's. A tenth of the supply, and one token at least, is
    the most that one user may buy.
    """
    await check_own_song(services, subject, str(body.song_id))
    asked = command_key(subject.user_id, DRAFT, key)
    terms = body.model_dump(exclude={"song_id"})
    command = DraftDrop(artist_user_id=subject.user_id, song_id=str(body.song_id), **terms)
    return await _ask(services, derive_id("drop", asked), command, asked)


@router.post("/drops/{drop_id}/activation", responses=problems(401, 403, 404, 409))
async def activate_drop(
    drop_id: UUID, key: KeyHeader, subject: Dropper, services: ServicesDep
) -> Drop:
    """Begin the sale, or go on with it after a pause."""
    return await _change(services, subject, drop_id, ActivateDrop(), (ACTIVATE, key))


@router.post("/drops/{drop_id}/pause", responses=problems(401, 403, 404, 409))
async def pause_drop(
    drop_id: UUID, key: KeyHeader, subject: Dropper, services: ServicesDep
) -> Drop:
    """Take no new buyers for now; who is paying may go on."""
    return await _change(services, subject, drop_id, PauseDrop(), (PAUSE, key))


@router.post("/drops/{drop_id}/cancellation", responses=problems(401, 403, 404, 409))
async def cancel_drop(
    drop_id: UUID, body: DropCancellation, key: KeyHeader, subject: Dropper, services: ServicesDep
) -> Drop:
    """End the sale for good. What is being paid for is released, what is sold stays sold."""
    return await _change(services, subject, drop_id, CancelDrop(body.reason), (CANCEL, key))


@router.get("/drops")
@public
async def list_drops(
    services: ServicesDep,
    status: Annotated[DropStatus | None, Query(description="Only of this status.")] = None,
    song_id: Annotated[UUID | None, Query(description="Only of this song.")] = None,
    artist_user_id: Annotated[UUID | None, Query(description="Only of this artist.")] = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Drop]:
    """Drops, newest first."""
    song, artist = (str(one) if one else None for one in (song_id, artist_user_id))
    before = place_of(cursor)
    found = await storage.newest(services.pool, before, limit + 1, status, song, artist)
    return page(found, limit, lambda row: (row.drafted_at_ms, row.drop_id), _shown)


@router.get("/drops/{drop_id}", responses=problems(404))
@public
async def get_drop(drop_id: UUID, services: ServicesDep) -> Drop:
    """One drop as it stands at this moment, from its owner."""
    return await _ask(services, str(drop_id), GetDrop(), services.query_key())


@router.get("/users/me/tokens", responses=problems(401))
async def list_my_tokens(
    subject: Collector,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Token]:
    """The caller's tokens of all drops, the newest first."""
    before = decode_numbered(cursor) if cursor else ABOVE_ALL
    found = await storage.tokens_of(services.pool, subject.user_id, before, limit + 1)
    return page_by(
        found,
        limit,
        lambda row: encode_numbered(row.minted_at_ms, row.drop_id, row.token),
        lambda row: Token(**msgspec.structs.asdict(row)),
    )


async def _change(
    services: Services, subject: Claims, drop_id: UUID, command: DropCommand, asked: tuple[str, str]
) -> Drop:
    """What the artist of a drop has done to it, or who operates drops. Raises NotYourDrop."""
    row = await storage.get_drop(services.pool, str(drop_id))
    if row is None:
        raise DropNotFound(drop_id=str(drop_id))
    try:
        await check_permission(services, subject, Permission.DROP_TOKENS, row.artist_user_id)
    except PermissionMissing:
        raise NotYourDrop(drop_id=str(drop_id)) from None
    route, key = asked
    named = command_key(subject.user_id, route.format(drop_id=drop_id), key)
    return await _ask(services, str(drop_id), command, named)


async def _ask(services: Services, drop_id: str, command: DropCommand, key: bytes) -> Drop:
    answer = await services.owner("drops").ask(drop_id, command, key=key)
    assert isinstance(answer, DropView)
    return _shown(answer)


def _shown(drop: DropView) -> Drop:
    return Drop(**msgspec.structs.asdict(drop))
