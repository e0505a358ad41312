"""Artists' profiles and requests in PostgreSQL, and the numbered events about an artist.

Whoever changes an artist and tells of it locks the artist before its transaction's first write, and
a user, if one is concerned, before the artist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from domain.artists import Standing
from messages.artists import ArtistRequestExists, RequestKind, RequestStatus
from messages.envelope import event_of_fact
from messages.keys import derive_id
from messages.music import STREAM, ArtistExists, artist_channel
from messages.users import user_channel
from storage import outbox
from storage.database import Connection, Pool

LOCK = "select pg_advisory_xact_lock(hashtextextended('artist:' || $1::text, 0))"
NUMBER = """
update music.artists set events = events + $2 where artist_id = $1 returning events"""
GET = """
select a.artist_id::text, a.user_id::text, a.name, a.bio, a.avatar_url, a.links,
       a.verified_at_ms, a.songs, a.created_at_ms,
       coalesce(c.followers, 0) as followers
from music.artists a
left join users.follow_counts c on c.kind = 'artist' and c.id = a.artist_id
where a.artist_id = $1"""
ADD = """
insert into music.artists (artist_id, name, created_at_ms, events) values ($1, $2, $3, 0)"""
SET_PROFILE = """
update music.artists set name = $2, bio = $3, avatar_url = $4, links = $5 where artist_id = $1"""
SET_OWNER = "update music.artists set user_id = $2 where artist_id = $1 and user_id is null"
SET_VERIFIED = "update music.artists set verified_at_ms = $2 where artist_id = $1"
ADD_REQUEST = """
insert into music.artist_requests
    (request_id, artist_id, user_id, kind, evidence, links, at_ms)
values ($1, $2, $3, $4, $5, $6, $7)"""
_REQUEST = """
r.request_id::text, r.artist_id::text, a.name as artist_name, r.user_id::text, r.kind, r.evidence,
r.links, r.status, r.at_ms, r.decided_by::text, r.decided_at_ms, r.explanation
from music.artist_requests r join music.artists a using (artist_id)"""
GET_REQUEST = f"select {_REQUEST} where r.request_id = $1"
LOCK_REQUEST = f"{GET_REQUEST} for update of r"
DECIDE = """
update music.artist_requests
set status = $2, decided_by = $3, decided_at_ms = $4, explanation = $5 where request_id = $1"""
LIST_REQUESTS = f"""
select {_REQUEST} where r.status = $1 and (r.at_ms, r.request_id) > ($2, $3)
order by r.at_ms, r.request_id limit $4"""
REQUESTS_OF_USER = f"""
select {_REQUEST} where r.user_id = $1 and (r.at_ms, r.request_id) < ($2, $3)
order by r.at_ms desc, r.request_id desc limit $4"""


class Artist(msgspec.Struct, frozen=True):
    """An artist as everyone may see it."""

    artist_id: str
    user_id: str | None
    name: str
    bio: str | None
    avatar_url: str | None
    links: tuple[str, ...]
    verified_at_ms: int | None
    songs: int
    created_at_ms: int
    followers: int

    @property
    def standing(self) -> Standing:
        """As the rules see it."""
        return Standing(self.user_id, self.verified_at_ms is not None)


class Request(msgspec.Struct, frozen=True):
    """A request, and what a moderator decided."""

    request_id: str
    artist_id: str
    artist_name: str
    user_id: str
    kind: RequestKind
    evidence: str
    links: tuple[str, ...]
    status: RequestStatus
    at_ms: int
    decided_by: str | None = None
    decided_at_ms: int | None = None
    explanation: str | None = None


async def lock(connection: Connection, artist_id: str) -> None:
    """Be the only one to change this artist until the transaction ends. Before its first write."""
    await connection.execute(LOCK, artist_id)


async def tell(
    connection: Connection, artist: Artist, facts: Sequence[msgspec.Struct], at_ms: int
) -> None:
    """Write events about a locked artist, shown on its channel and its owner's."""
    last = await connection.fetchval(NUMBER, artist.artist_id, len(facts))
    owner = (user_channel(artist.user_id),) if artist.user_id else ()
    events = [
        event_of_fact(
            fact,
            event_id=derive_id("artist-event", artist.artist_id, number),
            stream=STREAM,
            entity_id=artist.artist_id,
            sequence=number,
            at_ms=at_ms,
            channels=(*owner, artist_channel(artist.artist_id)),
        )
        for number, fact in enumerate(facts, last - len(facts) + 1)
    ]
    await outbox.append(connection, events)


async def get(connection: Connection | Pool, artist_id: str) -> Artist | None:
    """The artist, if there is one."""
    row = await connection.fetchrow(GET, artist_id)
    return None if row is None else Artist(**{**row, "links": tuple(row["links"])})


async def add_unclaimed(connection: Connection, artist_id: str, name: str, at_ms: int) -> None:
    """Insert an artist of the catalogue, who is nobody's yet."""
    await connection.execute(ADD, artist_id, name, at_ms)


async def set_profile(connection: Connection, artist: Artist) -> None:
    """Write name, bio, avatar and links."""
    a = artist
    await connection.execute(SET_PROFILE, a.artist_id, a.name, a.bio, a.avatar_url, list(a.links))


async def set_owner(connection: Connection, artist_id: str, user_id: str) -> None:
    """Give an artist who is nobody's to a user. Raises ArtistExists if the user has one."""
    try:
        await connection.execute(SET_OWNER, artist_id, user_id)
    except asyncpg.UniqueViolationError:
        raise ArtistExists from None


async def set_verified(connection: Connection, artist_id: str, at_ms: int) -> None:
    """Note that a moderator saw who the artist is."""
    await connection.execute(SET_VERIFIED, artist_id, at_ms)


async def add_request(connection: Connection, request: Request) -> None:
    """Insert an open request. Raises ArtistRequestExists if the user has one for the artist."""
    r = request
    try:
        await connection.execute(
            ADD_REQUEST, r.request_id, r.artist_id, r.user_id, r.kind.value, r.evidence,
            list(r.links), r.at_ms,
        )  # fmt: skip
    except asyncpg.UniqueViolationError:
        raise ArtistRequestExists from None


async def get_request(connection: Connection | Pool, request_id: str) -> Request | None:
    """The request, if there is one."""
    return _request(await connection.fetchrow(GET_REQUEST, request_id))


async def lock_request(connection: Connection, request_id: str) -> Request | None:
    """The request, which nobody else changes until the transaction ends."""
    return _request(await connection.fetchrow(LOCK_REQUEST, request_id))


async def decide(connection: Connection, request: Request) -> None:
    """Write what was decided of a locked request."""
    r = request
    await connection.execute(
        DECIDE, r.request_id, r.status.value, r.decided_by, r.decided_at_ms, r.explanation
    )


async def list_requests(
    connection: Connection | Pool, status: RequestStatus, after: tuple[int, str], limit: int
) -> list[Request]:
    """Requests of a status, oldest first."""
    rows = await connection.fetch(LIST_REQUESTS, status.value, *after, limit)
    return [_made(row) for row in rows]


async def requests_of_user(
    connection: Connection | Pool, user_id: str, before: tuple[int, str], limit: int
) -> list[Request]:
    """What a user asked for, newest first."""
    rows = await connection.fetch(REQUESTS_OF_USER, user_id, *before, limit)
    return [_made(row) for row in rows]


def _request(row: Any) -> Request | None:
    return None if row is None else _made(row)


def _made(row: Any) -> Request:
    return msgspec.convert({**row, "links": tuple(row["links"])}, Request)
