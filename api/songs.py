"""Publishing a song: receive, refuse or accept, store, say so, in an order that a crash respects.

The blob is written before the row that names it and under its own digest, so a crash in between
leaves a blob nobody names, which the next attempt with the same file uses.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, Field

from api.idempotency import Attempt, attempt, command_key, once, replay
from api.services import Services
from api.uploads import Upload, receive_upload
from domain.music import check_song_count, clean_title
from integrations.audio_probe import AudioFacts
from integrations.tokens import Claims
from messages.envelope import Event, event_of_fact
from messages.keys import derive_id
from messages.music import (
    STREAM,
    ArtistRequired,
    BadTitle,
    DuplicateAudio,
    SongPublished,
    artist_channel,
    song_channel,
)
from storage import music as storage
from storage import outbox
from storage.database import Connection
from storage.objects import audio_name

PUBLISH = "POST /api/v1/songs"
FILE_FIELD = "file"


class Song(BaseModel):
    """A song that can be listened to."""

    song_id: UUID
    artist_id: UUID
    artist_name: str
    title: str
    duration_ms: int = Field(description="Of the decoded audio.", ge=1_000, le=3_600_000)
    audio_bytes: int
    audio_sha256: str = Field(description="Of the uploaded bytes, in hex.")
    content_type: str
    codec: str
    sample_rate: int
    channels: int
    published_at_ms: int = Field(description="Epoch milliseconds.")


def view(song: storage.Song) -> Song:
    """A stored song as clients see it."""
    fields = msgspec.structs.asdict(song)
    del fields["object_name"]
    return Song(**{**fields, "audio_sha256": song.audio_sha256.hex()})


async def publish(services: Services, request: Request, subject: Claims, key: str) -> Response:
    """Answer `POST /api/v1/songs` for a subject who may publish."""
    artist = await storage.artist_of_user(services.pool, subject.user_id)
    if artist is None:
        raise ArtistRequired
    check_song_count(artist.songs)
    settings = services.settings
    async with receive_upload(
        request,
        settings.upload_folder,
        file_field=FILE_FIELD,
        max_bytes=settings.max_upload_bytes,
        timeout_s=settings.upload_timeout_s,
    ) as upload:
        if "title" not in upload.fields:
            raise BadTitle
        title = clean_title(upload.fields["title"])
        made = attempt(
            command_key(subject.user_id, PUBLISH, key),
            settings.fingerprint_secret,
            title,
            upload.sha256,
        )
        if (answered := await replay(services.pool, made)) is not None:
            return answered
        await _refuse_duplicate(services, artist.artist_id, upload.sha256)
        facts = await services.audio.inspect(upload.path)
        song = _song(services, artist, title, upload, facts)
        await services.objects.put_file(song.object_name, upload.path, song.content_type)
    return await _record(services, made, song)


async def _record(services: Services, made: Attempt, song: storage.Song) -> Response:
    async def change(connection: Connection) -> Song:
        check_song_count(await storage.count_song(connection, song.artist_id))
        await storage.add_song(connection, song)
        await outbox.append(connection, [_published(song)])
        return view(song)

    try:
        # A client that leaves now may come back for its answer: the transaction is not cut short.
        return await asyncio.shield(once(services.pool, made, song.published_at_ms, 201, change))
    except DuplicateAudio:
        await _refuse_duplicate(services, song.artist_id, song.audio_sha256)
        raise


async def _refuse_duplicate(services: Services, artist_id: str, sha256: bytes) -> None:
    known = await storage.song_with_audio(services.pool, artist_id, sha256)
    if known is not None:
        raise DuplicateAudio(song_id=known)


def _song(
    services: Services, artist: storage.Artist, title: str, upload: Upload, facts: AudioFacts
) -> storage.Song:
    return storage.Song(
        song_id=services.new_id(),
        artist_id=artist.artist_id,
        artist_name=artist.name,
        title=title,
        duration_ms=facts.duration_ms,
        audio_sha256=upload.sha256,
        audio_bytes=upload.size,
        object_name=audio_name(upload.sha256),
        content_type=facts.content_type,
        codec=facts.codec,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        published_at_ms=services.clock(),
    )


def _published(song: storage.Song) -> Event:
    fact = SongPublished(
        song.song_id, song.artist_id, song.title, song.duration_ms, song.published_at_ms
    )
    return event_of_fact(
        fact,
        event_id=derive_id("song-published", song.song_id),
        stream=STREAM,
        entity_id=song.song_id,
        sequence=1,
        at_ms=song.published_at_ms,
        channels=(song_channel(song.song_id), artist_channel(song.artist_id)),
    )
