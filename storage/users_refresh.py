"""Refresh tokens in PostgreSQL, by their digests."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from domain.users_refresh import Shown
from messages.users import Role
from messages.users_sessions import Method
from storage.database import Connection, Pool

_ADD = """
insert into users.refresh_tokens (token_hash, session_id, number, issued_at_ms)
values ($1, $2, 0, $3)"""
_OWNER = """
select s.user_id::text, s.session_id::text, t.token_hash
from users.refresh_tokens t join users.sessions s using (session_id)
where t.token_hash = any($1::bytea[]) order by t.issued_at_ms desc, t.number desc limit 1"""
_SHOWN = """
select t.number, t.used_at_ms, n.used_at_ms as next_used_at_ms, s.last_used_at_ms, s.expires_at_ms,
       s.ended_at_ms is not null or u.status <> 'active' as ended,
       s.methods, s.authenticated_at_ms, u.role, s.device, s.place
from users.refresh_tokens t
join users.sessions s using (session_id)
join users.users u using (user_id)
left join users.refresh_tokens n on n.session_id = t.session_id and n.number = t.number + 1
where t.token_hash = $1"""
_CHAIN = """
select seed, token_hash from users.refresh_tokens
where session_id = $1 and number >= $2 order by number"""
# The new row is made of the used one, so that a session never has two live tokens, not even here.
_ROTATE = """
with forgotten as (
    delete from users.refresh_tokens where session_id = $1 and used_at_ms < $6),
touched as (
    update users.sessions set last_used_at_ms = greatest(last_used_at_ms, $4)
    where session_id = $1),
used as (
    update users.refresh_tokens set used_at_ms = $4, seed = $5
    where session_id = $1 and number = $2 and used_at_ms is null
    returning session_id, number)
insert into users.refresh_tokens (token_hash, session_id, number, issued_at_ms)
select $3, session_id, number + 1, $4 from used"""


class Owner(msgspec.Struct, frozen=True):
    """Whose token it is."""

    user_id: str
    session_id: str
    token_hash: bytes


class Found(msgspec.Struct, frozen=True):
    """A token, its session and its user as they stand."""

    number: int
    shown: Shown
    methods: tuple[Method, ...]
    authenticated_at_ms: int
    role: Role
    device: str
    place: str


class Link(msgspec.Struct, frozen=True):
    """A token of a session. seed: None if it is the live one."""

    seed: bytes | None
    token_hash: bytes


async def add_first(connection: Connection, token_hash: bytes, session_id: str, at_ms: int) -> None:
    """The first token of a session."""
    await connection.execute(_ADD, token_hash, session_id, at_ms)


async def find_owner(connection: Connection | Pool, token_hashes: Sequence[bytes]) -> Owner | None:
    """Whose token it is, used or not: of several tokens the newest."""
    row = await connection.fetchrow(_OWNER, list(token_hashes))
    return None if row is None else Owner(*row)


async def get_shown(connection: Connection, token_hash: bytes) -> Found | None:
    """A token of a locked user, as it stands."""
    row = await connection.fetchrow(_SHOWN, token_hash)
    if row is None:
        return None
    return Found(
        number=row["number"],
        shown=Shown(
            used_at_ms=row["used_at_ms"],
            next_used_at_ms=row["next_used_at_ms"],
            idle_since_ms=row["last_used_at_ms"],
            expires_at_ms=row["expires_at_ms"],
            ended=row["ended"],
        ),
        methods=tuple(Method(name) for name in row["methods"]),
        authenticated_at_ms=row["authenticated_at_ms"],
        role=Role(row["role"]),
        device=row["device"],
        place=row["place"],
    )


async def get_chain(connection: Connection, session_id: str, number: int) -> list[Link]:
    """The tokens of a session from a number on to the live one."""
    return [Link(*row) for row in await connection.fetch(_CHAIN, session_id, number)]


async def rotate(
    connection: Connection,
    session_id: str,
    number: int,
    next_hash: bytes,
    seed: bytes,
    at_ms: int,
    forget_before_ms: int,
) -> None:
    """The live token of a locked user's session is used; the next one is live."""
    done = await connection.execute(
        _ROTATE, session_id, number, next_hash, at_ms, seed, forget_before_ms
    )
    assert done == "INSERT 0 1", "the token was live"
