"""Public profiles and blocks of users in PostgreSQL."""

from __future__ import annotations

import msgspec

from messages.users import Role
from storage.database import Connection, Pool

STATUS = "select status from users.users where user_id = $1"
NAME = "select username from users.users where user_id = $1"
PROFILE = """
select u.user_id::text, u.username, u.role, u.points, u.created_at_ms,
       p.display_name, p.bio, p.avatar_url, coalesce(p.links, '{}') as links,
       coalesce(c.followers, 0) as followers, coalesce(c.following, 0) as following,
       a.artist_id::text, a.name as artist_name
from users.users u
left join users.profiles p using (user_id)
left join users.follow_counts c on c.kind = 'user' and c.id = u.user_id
left join music.artists a on a.user_id = u.user_id
where u.status = 'active' and """
PROFILE_OF_NAME = PROFILE + "u.username_key = lower($1)"
PROFILE_OF_ID = PROFILE + "u.user_id = $1"
SET_PROFILE = """
insert into users.profiles (user_id, display_name, bio, avatar_url, links, updated_at_ms)
values ($1, $2, $3, $4, $5, $6)
on conflict (user_id) do update
set display_name = excluded.display_name, bio = excluded.bio, avatar_url = excluded.avatar_url,
    links = excluded.links, updated_at_ms = excluded.updated_at_ms"""
BLOCK = """
insert into users.blocks (user_id, blocked_id, at_ms) values ($1, $2, $3)
on conflict do nothing returning true"""
UNBLOCK = "delete from users.blocks where user_id = $1 and blocked_id = $2 returning true"
BLOCKS_OF = "select count(*) from users.blocks where user_id = $1"
BLOCKED = """
select exists (select from users.blocks
               where (user_id, blocked_id) in (($1::uuid, $2::uuid), ($2, $1)))"""
GET_BLOCK = """
select b.blocked_id::text as user_id, u.username, b.at_ms as since_ms
from users.blocks b join users.users u on u.user_id = b.blocked_id
where b.user_id = $1 and b.blocked_id = $2"""
LIST_BLOCKS = """
select b.blocked_id::text as user_id, u.username, b.at_ms as since_ms
from users.blocks b join users.users u on u.user_id = b.blocked_id
where b.user_id = $1 and (b.at_ms, b.blocked_id) < ($2, $3)
order by b.at_ms desc, b.blocked_id desc limit $4"""


class Profile(msgspec.Struct, frozen=True):
    """What anyone may see of an active user."""

    user_id: str
    username: str
    role: Role
    points: int
    created_at_ms: int
    display_name: str | None
    bio: str | None
    avatar_url: str | None
    links: tuple[str, ...]
    followers: int
    following: int
    artist_id: str | None
    artist_name: str | None


class Blocked(msgspec.Struct, frozen=True):
    """A user whom another blocks."""

    user_id: str
    username: str
    since_ms: int


async def status_of(connection: Connection | Pool, user_id: str) -> str | None:
    """The status of a user's account; None if there is no such user."""
    status: str | None = await connection.fetchval(STATUS, user_id)
    return status


async def name_of(connection: Connection | Pool, user_id: str) -> str | None:
    """A user's name."""
    name: str | None = await connection.fetchval(NAME, user_id)
    return name


async def profile_of_name(connection: Connection | Pool, username: str) -> Profile | None:
    """The active user of that name, in any case."""
    return _profile(await connection.fetchrow(PROFILE_OF_NAME, username))


async def profile_of_id(connection: Connection | Pool, user_id: str) -> Profile | None:
    """The active user of that id."""
    return _profile(await connection.fetchrow(PROFILE_OF_ID, user_id))


async def set_profile(connection: Connection, profile: Profile, at_ms: int) -> None:
    """Write what a user shows of themselves: display name, bio, avatar and links."""
    p = profile
    await connection.execute(
        SET_PROFILE, p.user_id, p.display_name, p.bio, p.avatar_url, list(p.links), at_ms
    )


async def is_blocked(connection: Connection, one: str, other: str) -> bool:
    """Whether either of two users blocks the other."""
    return bool(await connection.fetchval(BLOCKED, one, other))


async def block(connection: Connection, user_id: str, blocked_id: str, at_ms: int) -> bool:
    """Block a user. False if it was so already."""
    return bool(await connection.fetchval(BLOCK, user_id, blocked_id, at_ms))


async def unblock(connection: Connection, user_id: str, blocked_id: str) -> bool:
    """Block a user no longer. False if it was so already."""
    return bool(await connection.fetchval(UNBLOCK, user_id, blocked_id))


async def get_block(connection: Connection, user_id: str, blocked_id: str) -> Blocked | None:
    """The block of one user by another, if there is one."""
    row = await connection.fetchrow(GET_BLOCK, user_id, blocked_id)
    return None if row is None else Blocked(**row)


async def count_blocks(connection: Connection, user_id: str) -> int:
    """How many a user blocks."""
    return int(await connection.fetchval(BLOCKS_OF, user_id))


async def list_blocks(
    connection: Connection | Pool, user_id: str, before: tuple[int, str], limit: int
) -> list[Blocked]:
    """Whom a user blocks, newest first."""
    rows = await connection.fetch(LIST_BLOCKS, user_id, *before, limit)
    return [Blocked(**row) for row in rows]


def _profile(row: object) -> Profile | None:
    if row is None:
        return None
    fields = dict(row)  # type: ignore[call-overload]
    return Profile(**{**fields, "role": Role(fields["role"]), "links": tuple(fields["links"])})
