"""The moderators' side of artists: the catalogue, claims, verification."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from api.artists import ArtistProfile, ArtistRequest, find, show, show_request
from api.auth import Moderator
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_after
from api.reports import LongText
from api.services import ServicesDep
from domain import artists as domain
from domain.moderation import clean_explanation
from domain.music import clean_artist_name
from domain.users import role_of_artist
from messages.artists import (
    ArtistClaimed,
    ArtistRequestNotFound,
    ArtistVerified,
    RequestKind,
    RequestStatus,
)
from messages.moderation import ArtistRequestDecided
from messages.users import UserNotFound
from storage import artists as storage
from storage import audit, users_events, users_people
from storage import users as users_storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/moderation", tags=["moderation"])

CATALOGUE = "POST /api/v1/moderation/artists"


class CatalogueArtist(Input):
    """An artist whom nobody has claimed yet."""

    name: Annotated[str, Field(max_length=1_024, description="1 to 80 visible characters.")]


class Choice(StrEnum):
    """What a moderator decides of a request."""

    APPROVE = "approve"
    REJECT = "reject"


class RequestDecision(Input):
    """What a moderator decides, and why."""

    decision: Choice
    explanation: LongText


@router.post(
    "/artists",
    status_code=201,
    response_model=ArtistProfile,
    responses=problems(401, 403, 409, replayed=True),
)
async def add_catalogue_artist(
    body: CatalogueArtist, key: KeyHeader, subject: Moderator, services: ServicesDep
) -> Response:
    """Add an artist to the catalogue, to be claimed by whoever it is."""
    name = clean_artist_name(body.name)
    secret = services.settings.fingerprint_secret
    made = attempt(command_key(subject.user_id, CATALOGUE, key), secret, name)
    artist_id, at_ms = services.new_id(), services.clock()

    async def change(connection: Connection) -> BaseModel:
        await storage.add_unclaimed(connection, artist_id, name, at_ms)
        await _record(connection, "artist.added", subject.user_id, artist_id, at_ms)
        return show(await find(connection, artist_id))

    return await once(services.pool, made, at_ms, 201, change)


@router.get("/artist-requests", responses=problems(401, 403))
async def list_artist_requests(
    subject: Moderator,
    services: ServicesDep,
    status: Annotated[RequestStatus, Query(description="Only of this.")] = RequestStatus.OPEN,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[ArtistRequest]:
    """Claims and verifications, oldest first."""
    after = place_after(cursor)
    found = await storage.list_requests(services.pool, status, after, limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.request_id), show_request)


@router.put("/artist-requests/{request_id}/decision", responses=problems(401, 403, 404, 409))
async def decide_artist_request(
    request_id: UUID, body: RequestDecision, subject: Moderator, services: ServicesDep
) -> ArtistRequest:
    """Approve or reject. A claim that is approved gives the artist, and the badge with it."""
    explanation, at_ms = clean_explanation(body.explanation), services.clock()
    known = await storage.get_request(services.pool, str(request_id))
    if known is None:
        raise ArtistRequestNotFound
    approved = body.decision is Choice.APPROVE
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, known.user_id)
        await storage.lock(connection, known.artist_id)
        request = await storage.lock_request(connection, known.request_id)
        assert request is not None, "requests are not deleted"
        domain.check_decision(request.status, request.user_id, subject.user_id)
        decided = msgspec.structs.replace(
            request,
            status=RequestStatus.APPROVED if approved else RequestStatus.REJECTED,
            decided_by=subject.user_id,
            decided_at_ms=at_ms,
            explanation=explanation,
        )
        await storage.decide(connection, decided)
        if approved:
            await _approve(connection, request, at_ms)
        r = request
        fact = ArtistRequestDecided(r.user_id, r.request_id, r.artist_id, r.kind, approved, at_ms)
        await users_events.tell(connection, r.user_id, [fact], at_ms)
        action = f"artist.{r.kind.value}-{decided.status.value}"
        await _record(connection, action, subject.user_id, r.artist_id, at_ms, request=r.request_id)
    return show_request(decided)


async def _approve(connection: Connection, request: storage.Request, at_ms: int) -> None:
    """Raises what the request would be refused with if it were made now, and ArtistExists."""
    r = request
    artist = await find(connection, r.artist_id)
    domain.check_request(artist.standing, r.user_id, r.kind)
    facts: list[msgspec.Struct] = [ArtistVerified(r.artist_id, at_ms)]
    if r.kind is RequestKind.CLAIM:
        if await users_people.status_of(connection, r.user_id) != "active":
            raise UserNotFound
        role = await users_storage.lock_role(connection, r.user_id)
        assert role is not None, "an active user"
        await storage.set_owner(connection, r.artist_id, r.user_id)
        await users_storage.set_role(connection, r.user_id, role_of_artist(role))
        facts.insert(0, ArtistClaimed(r.artist_id, r.user_id, at_ms))
    await storage.set_verified(connection, r.artist_id, at_ms)
    owned = msgspec.structs.replace(artist, user_id=r.user_id)
    await storage.tell(connection, owned, facts, at_ms)


async def _record(
    connection: Connection,
    action: str,
    actor: str,
    artist_id: str,
    at_ms: int,
    **detail: str | int,
) -> None:
    await audit.record(
        connection, action, actor=actor, subject=f"artist:{artist_id}", at_ms=at_ms, detail=detail
    )
