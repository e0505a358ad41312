"""Artists and songs in PostgreSQL."""

from __future__ import annotations

import asyncpg
import msgspec

from messages.music import ArtistExists, DuplicateAudio
from storage.database import Connection, Pool

_ADD_ARTIST = """
insert into music.artists (artist_id, user_id, name, created_at_ms) values ($1, $2, $3, $4)
on conflict (user_id) do nothing returning true"""
_ARTIST_COLUMNS = "artist_id::text, user_id::text, name, songs, created_at_ms"
_ARTIST_OF_USER = f"select {_ARTIST_COLUMNS} from music.artists where user_id = $1"  # noqa: S608
_ARTIST_EXISTS = "select exists (select from music.artists where artist_id = $1)"
_COUNT_SONG = "update music.artists set songs = songs + 1 where artist_id = $1 returning songs"
_ADD_SONG = """
insert into music.songs
    (song_id, artist_id, title, duration_ms, audio_sha256, audio_bytes, object_name, content_type,
     codec, sample_rate, channels, published_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"""
_SONG_COLUMNS = """
    s.song_id::text, s.artist_id::text, a.name as artist_name, s.title, s.duration_ms,
    s.audio_sha256, s.audio_bytes, s.object_name, s.content_type, s.codec, s.sample_rate,
    s.channels, s.published_at_ms
    from music.songs s join music.artists a using (artist_id)"""
_SONG = f"select {_SONG_COLUMNS} where s.song_id = $1"
_NEWEST = f"""
select {_SONG_COLUMNS}
where (s.published_at_ms, s.song_id) < ($1, $2)
order by s.published_at_ms desc, s.song_id desc limit $3"""
_NEWEST_OF_ARTIST = f"""
select {_SONG_COLUMNS}
where s.artist_id = $4 and (s.published_at_ms, s.song_id) < ($1, $2)
order by s.published_at_ms desc, s.song_id desc limit $3"""
_SAME_AUDIO = """
select song_id::text from music.songs where artist_id = $1 and audio_sha256 = $2"""


class Artist(msgspec.Struct, frozen=True):
    """An artist's profile as stored."""

    artist_id: str
    user_id: str
    name: str
    songs: int
    created_at_ms: int


class Song(msgspec.Struct, frozen=True):
    """A song as stored, with its artist's name."""

    song_id: str
    artist_id: str
    artist_name: str
    title: str
    duration_ms: int
    audio_sha256: bytes
    audio_bytes: int
    object_name: str
    content_type: str
    codec: str
    sample_rate: int
    channels: int
    published_at_ms: int


async def add_artist(
    connection: Connection, artist_id: str, user_id: str, name: str, at_ms: int
) -> None:
    """Insert an artist. Raises ArtistExists if the user is one already."""
    if not await connection.fetchval(_ADD_ARTIST, artist_id, user_id, name, at_ms):
        raise ArtistExists


async def artist_of_user(connection: Connection | Pool, user_id: str) -> Artist | None:
    """The user's artist profile, if there is one."""
    row = await connection.fetchrow(_ARTIST_OF_USER, user_id)
    return None if row is None else Artist(**row)


async def artist_exists(connection: Connection | Pool, artist_id: str) -> bool:
    """Whether there is such an artist."""
    return bool(await connection.fetchval(_ARTIST_EXISTS, artist_id))


async def count_song(connection: Connection, artist_id: str) -> int:
    """Count one more song of the artist and lock its row. How many there were before."""
    songs: int = await connection.fetchval(_COUNT_SONG, artist_id)
    return songs - 1


async def add_song(connection: Connection, song: Song) -> None:
    """Insert a song. Raises DuplicateAudio if the artist published the same bytes before."""
    s = song
    try:
        await connection.execute(
            _ADD_SONG,
            s.song_id,
            s.artist_id,
            s.title,
            s.duration_ms,
            s.audio_sha256,
            s.audio_bytes,
            s.object_name,
            s.content_type,
            s.codec,
            s.sample_rate,
            s.channels,
            s.published_at_ms,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "songs_artist_id_audio_sha256_key":
            raise DuplicateAudio from None
        raise


async def song_with_audio(
    connection: Connection | Pool, artist_id: str, audio_sha256: bytes
) -> str | None:
    """The id of the artist's song with exactly these bytes, if there is one."""
    song_id: str | None = await connection.fetchval(_SAME_AUDIO, artist_id, audio_sha256)
    return song_id


async def get_song(connection: Connection | Pool, song_id: str) -> Song | None:
    """The song, if there is one."""
    row = await connection.fetchrow(_SONG, song_id)
    return None if row is None else Song(**row)


async def newest_songs(
    connection: Connection | Pool,
    before: tuple[int, str],
    limit: int,
    artist_id: str | None = None,
) -> list[Song]:
    """At most `limit` songs published before (at_ms, song_id), newest first."""
    if artist_id is None:
        rows = await connection.fetch(_NEWEST, *before, limit)
    else:
        rows = await connection.fetch(_NEWEST_OF_ARTIST, *before, limit, artist_id)
    return [Song(**row) for row in rows]
