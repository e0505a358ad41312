"""Artists' profiles: seen, edited, claimed, verified."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.auth import Member, NewArtist, Publisher, public
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.reports import LongText
from api.services import Services, ServicesDep
from api.users_people import MAX_TEXT, Text, check_active
from domain import artists as domain
from domain import users_people as people
from domain.moderation import clean_explanation
from domain.music import clean_artist_name
from messages.artists import ArtistProfileUpdated, RequestKind, RequestStatus
from messages.music import ArtistExists, ArtistNotFound
from storage import artists as storage
from storage import audit
from storage import music as music_storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["music"])

CLAIM = "POST /api/v1/artists/{artist_id}/claims"
VERIFY = "POST /api/v1/artists/{artist_id}/verifications"

Links = Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=20)]


class ArtistProfile(BaseModel):
    """What anyone may see of an artist."""

    artist_id: UUID
    name: str
    bio: str | None
    avatar_url: str | None
    links: list[str]
    verified: bool = Field(description="A moderator saw that they are who they say.")
    claimed: bool = Field(description="False for one of the catalogue who is nobody's yet.")
    songs: int
    followers: int
    created_at_ms: int = Field(description="Epoch milliseconds.")


class EditArtist(Input):
    """What is named changes; null removes it."""

    name: Annotated[str, Field(max_length=MAX_TEXT)] = Field(
        "", description="1 to 80 visible characters; not of a verified artist."
    )
    bio: Text = Field(None, description="1 to 500 visible characters, several lines.")
    avatar_url: Text = Field(None, description="An https address.")
    links: Links = Field(default_factory=list, description="At most five https addresses.")


class Evidence(Input):
    """What shows who somebody is."""

    evidence: LongText
    links: Links = Field(default_factory=list, description="At most five https addresses.")


class ArtistRequest(BaseModel):
    """A request, and what a moderator decided."""

    request_id: UUID
    artist_id: UUID
    artist_name: str
    user_id: UUID
    kind: RequestKind
    evidence: str
    links: list[str]
    status: RequestStatus
    at_ms: int = Field(description="Epoch milliseconds.")
    decided_by: UUID | None
    decided_at_ms: int | None
    explanation: str | None


@router.get("/artists/{artist_id}", responses=problems(404))
@public
async def get_artist(artist_id: UUID, services: ServicesDep) -> ArtistProfile:
    """An artist's profile."""
    return show(await find(services.pool, str(artist_id)))


@router.patch("/artists/{artist_id}", responses=problems(401, 403, 404, 409))
async def edit_artist(
    artist_id: UUID, body: EditArtist, subject: Publisher, services: ServicesDep
) -> ArtistProfile:
    """Change an artist's profile, as its owner. Sent again it changes nothing more."""
    wanted, at_ms = _checked(body), services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await storage.lock(connection, str(artist_id))
        await check_active(connection, subject.user_id)
        artist = await find(connection, str(artist_id))
        domain.check_owner(artist.standing, subject.user_id)
        domain.check_rename(artist.standing, artist.name, wanted.get("name", artist.name))
        changed = [name for name, value in wanted.items() if getattr(artist, name) != value]
        after = msgspec.structs.replace(artist, **wanted)
        if changed:
            await storage.set_profile(connection, after)
            fact = ArtistProfileUpdated(artist.artist_id, tuple(sorted(changed)), at_ms)
            await storage.tell(connection, artist, [fact], at_ms)
            await audit.record(
                connection,
                "artist.updated",
                actor=subject.user_id,
                subject=f"artist:{artist.artist_id}",
                at_ms=at_ms,
                detail={"changed": " ".join(fact.changed)},
            )
    return show(after)


@router.post(
    "/artists/{artist_id}/claims",
    status_code=201,
    response_model=ArtistRequest,
    responses=problems(401, 403, 404, 409, replayed=True),
)
async def claim_artist(
    artist_id: UUID, body: Evidence, key: KeyHeader, subject: NewArtist, services: ServicesDep
) -> Response:
    """Ask for an artist of the catalogue, as that artist. A moderator looks at the evidence."""
    asked = command_key(subject.user_id, CLAIM.format(artist_id=artist_id), key)
    request = _asked(services, artist_id, subject.user_id, RequestKind.CLAIM, body)
    return await _ask(services, asked, request)


@router.post(
    "/artists/{artist_id}/verifications",
    status_code=201,
    response_model=ArtistRequest,
    responses=problems(401, 403, 404, 409, replayed=True),
)
async def ask_for_verification(
    artist_id: UUID, body: Evidence, key: KeyHeader, subject: Publisher, services: ServicesDep
) -> Response:
    """Ask for the badge, as the artist's owner. A moderator looks at the evidence."""
    asked = command_key(subject.user_id, VERIFY.format(artist_id=artist_id), key)
    request = _asked(services, artist_id, subject.user_id, RequestKind.VERIFICATION, body)
    return await _ask(services, asked, request)


@router.get("/users/me/artist-requests", responses=problems(401, 403))
async def list_own_artist_requests(
    subject: Member,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[ArtistRequest]:
    """What the caller asked for, newest first."""
    before = place_of(cursor)
    found = await storage.requests_of_user(services.pool, subject.user_id, before, limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.request_id), show_request)


async def find(connection: Any, artist_id: str) -> storage.Artist:
    """The artist. Raises ArtistNotFound."""
    found = await storage.get(connection, artist_id)
    if found is None:
        raise ArtistNotFound
    return found


def show(artist: storage.Artist) -> ArtistProfile:
    """An artist as clients see it."""
    fields = msgspec.structs.asdict(artist)
    verified_at_ms, user_id = fields.pop("verified_at_ms"), fields.pop("user_id")
    return ArtistProfile(**fields, verified=verified_at_ms is not None, claimed=user_id is not None)


def show_request(request: storage.Request) -> ArtistRequest:
    """A request as its user and moderators see it."""
    return ArtistRequest(**msgspec.structs.asdict(request))


def _asked(
    services: Services, artist_id: UUID, user_id: str, kind: RequestKind, body: Evidence
) -> storage.Request:
    """The request in normal form. Raises BadExplanation, BadLink."""
    return storage.Request(
        request_id=services.new_id(),
        artist_id=str(artist_id),
        artist_name="",
        user_id=user_id,
        kind=kind,
        evidence=clean_explanation(body.evidence),
        links=people.check_links(body.links),
        status=RequestStatus.OPEN,
        at_ms=services.clock(),
    )


async def _ask(services: Services, key: bytes, request: storage.Request) -> Response:
    r = request
    content = (r.kind.value, r.artist_id, r.evidence, *r.links)
    made = attempt(key, services.settings.fingerprint_secret, *content)

    async def change(connection: Connection) -> ArtistRequest:
        await check_active(connection, r.user_id)
        artist = await find(connection, r.artist_id)
        domain.check_request(artist.standing, r.user_id, r.kind)
        mine = await music_storage.artist_of_user(connection, r.user_id)
        if r.kind is RequestKind.CLAIM and mine is not None:
            raise ArtistExists
        await storage.add_request(connection, r)
        return show_request(msgspec.structs.replace(r, artist_name=artist.name))

    return await once(services.pool, made, r.at_ms, 201, change)


def _checked(body: EditArtist) -> dict[str, Any]:
    """The named fields in normal form. Raises the Invalid leaf of the first bad one."""
    checks: dict[str, Any] = {
        "name": clean_artist_name,
        "bio": people.clean_bio,
        "avatar_url": people.check_link,
        "links": people.check_links,
    }
    named = {name: getattr(body, name) for name in checks if name in body.model_fields_set}
    return {name: None if raw is None else checks[name](raw) for name, raw in named.items()}
