"""Artists, songs and their audio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from api import songs
from api.auth import Listener, NewArtist, Publisher, public
from api.idempotency import KeyHeader, attempt, command_key, once
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.ranges import NotSatisfiableError, Span, matches_etag, parse_range
from api.services import Services, ServicesDep
from api.uploads import form_schema
from domain.music import clean_artist_name
from domain.users import role_of_artist
from messages.envelope import Event, event_of_fact
from messages.keys import derive_id
from messages.music import STREAM, ArtistRegistered, SongNotFound, artist_channel
from messages.users import UserNotFound, user_channel
from storage import music as storage
from storage import outbox
from storage import users as user_storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["music"])

BECOME_ARTIST = "POST /api/v1/artists"


class CreateArtist(BaseModel):
    """An artist's profile."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=1_024, description="1 to 80 visible characters.")]


class Artist(BaseModel):
    """An artist."""

    artist_id: UUID
    name: str
    created_at_ms: int = Field(description="Epoch milliseconds.")


@router.post(
    "/artists",
    status_code=201,
    response_model=Artist,
    responses=problems(401, 403, 404, 409, replayed=True),
)
async def create_artist(
    body: CreateArtist,
    key: KeyHeader,
    subject: NewArtist,
    services: ServicesDep,
) -> Response:
    """Become an artist. The present access token goes on; it may now publish songs."""
    name = clean_artist_name(body.name)
    made = attempt(
        command_key(subject.user_id, BECOME_ARTIST, key), services.settings.fingerprint_secret, name
    )
    artist_id, at_ms = services.new_id(), services.clock()

    async def change(connection: Connection) -> Artist:
        role = await user_storage.lock_role(connection, subject.user_id)
        if role is None:
            raise UserNotFound
        await storage.add_artist(connection, artist_id, subject.user_id, name, at_ms)
        await user_storage.set_role(connection, subject.user_id, role_of_artist(role))
        fact = ArtistRegistered(artist_id, subject.user_id, name, at_ms)
        await outbox.append(connection, [_registered(fact)])
        return Artist(artist_id=UUID(artist_id), name=name, created_at_ms=at_ms)

    return await once(services.pool, made, at_ms, 201, change)


@router.post(
    "/songs",
    status_code=201,
    response_model=songs.Song,
    responses=problems(401, 403, 408, 409, replayed=True),
    openapi_extra={
        "requestBody": form_schema(
            {
                "title": {"type": "string", "description": "1 to 200 visible characters."},
                "file": {
                    "type": "string",
                    "contentMediaType": "application/octet-stream",
                    "description": "FLAC, WAV, MP3, AAC or ALAC in MP4, Opus or Vorbis.",
                },
            },
            ["title", "file"],
        )
    },
)
async def publish_song(
    request: Request,
    key: KeyHeader,
    subject: Publisher,
    services: ServicesDep,
) -> Response:
    """Publish a song. The file is decoded from end to end first; a bad one is refused and why."""
    return await songs.publish(services, request, subject, key)


@router.get("/songs")
@public
async def list_songs(
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
    artist_id: UUID | None = None,
) -> Page[songs.Song]:
    """Songs, newest first; of one artist if `artist_id` is given."""
    before = place_of(cursor)
    artist = str(artist_id) if artist_id else None
    found = await storage.newest_songs(services.pool, before, limit + 1, artist)
    return page(found, limit, lambda row: (row.published_at_ms, row.song_id), songs.view)


@router.get("/songs/{song_id}", responses=problems(404))
@public
async def get_song(song_id: UUID, services: ServicesDep) -> songs.Song:
    """One song."""
    return songs.view(await _song(services, song_id))


_BINARY: dict[str, Any] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/songs/{song_id}/audio",
    response_class=Response,
    responses={
        200: {"description": "All of it.", "content": _BINARY},
        206: {"description": "The range asked for.", "content": _BINARY},
        304: {"description": "The caller has it already."},
        **problems(401, 404, 416),
    },
)
async def get_song_audio(
    song_id: UUID,
    subject: Listener,
    services: ServicesDep,
    byte_range: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The audio as it was uploaded, whole or one range of it."""
    song = await _song(services, song_id)
    etag = f'"{song.audio_sha256.hex()}"'
    headers = {
        "etag": etag,
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=31536000, immutable",
    }
    if matches_etag(if_none_match, etag, weak=True):
        return Response(status_code=304, headers=headers)
    wanted = byte_range if if_range is None or matches_etag(if_range, etag, weak=False) else None
    try:
        span = parse_range(wanted, song.audio_bytes)
    except NotSatisfiableError:
        refused = {"content-range": f"bytes */{song.audio_bytes}"}
        detail = f"The audio has {song.audio_bytes} bytes."
        raise HTTPException(416, detail, refused) from None
    return await _stream(services, song, span, headers)


async def _stream(
    services: Services, song: storage.Song, span: Span | None, headers: dict[str, str]
) -> Response:
    status, size = 200, song.audio_bytes
    start, stop = (span.start, span.stop) if span else (0, size)
    if span:
        status = 206
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["content-length"] = str(stop - start)
    chunks: AsyncIterator[bytes] = await services.objects.read(song.object_name, start, stop)
    return StreamingResponse(chunks, status, headers, media_type=song.content_type)


async def _song(services: Services, song_id: UUID) -> storage.Song:
    song = await storage.get_song(services.pool, str(song_id))
    if song is None:
        raise SongNotFound
    return song


def _registered(fact: ArtistRegistered) -> Event:
    return event_of_fact(
        fact,
        event_id=derive_id("artist-registered", fact.artist_id),
        stream=STREAM,
        entity_id=fact.artist_id,
        sequence=1,
        at_ms=fact.at_ms,
        channels=(user_channel(fact.user_id), artist_channel(fact.artist_id)),
    )
