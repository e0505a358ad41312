"""API keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from messages.users import Role
from storage.database import Connection, Pool

USED_EVERY_MS = 60_000  # how exact the last use is: a write a minute and key

_ADD = """
insert into users.api_keys
    (key_id, user_id, name, digest, scopes, created_at_ms, expires_at_ms)
values ($1, $2, $3, $4, $5, $6, $7)"""
_COLUMNS = "key_id::text, name, scopes, created_at_ms, expires_at_ms, used_at_ms, revoked_at_ms"
_LIST = f"""
select {_COLUMNS} from users.api_keys where user_id = $1
order by created_at_ms desc, key_id desc limit $2"""  # noqa: S608 - a constant
_GET = f"select {_COLUMNS} from users.api_keys where key_id = $1 and user_id = $2"  # noqa: S608
_COUNT = """
select count(*) from users.api_keys
where user_id = $1 and revoked_at_ms is null and expires_at_ms > $2"""
_FIND = """
select k.user_id::text, k.digest, k.scopes, k.created_at_ms, k.expires_at_ms, k.used_at_ms, u.role
from users.api_keys k join users.users u using (user_id)
where k.key_id = $1 and k.revoked_at_ms is null and u.status = 'active'"""
_USED = """
update users.api_keys set used_at_ms = $2
where key_id = $1 and (used_at_ms is null or used_at_ms < $2)"""
_REVOKE = """
update users.api_keys set revoked_at_ms = coalesce(revoked_at_ms, $3)
where key_id = $1 and user_id = $2 returning true"""
_REVOKE_ALL = """
update users.api_keys set revoked_at_ms = $2 where user_id = $1 and revoked_at_ms is null"""


class ApiKey(msgspec.Struct, frozen=True):
    """A key as its owner sees it."""

    key_id: str
    name: str
    scopes: list[str]
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None
    revoked_at_ms: int | None


class Found(msgspec.Struct, frozen=True):
    """A key that is not revoked, of an active user."""

    user_id: str
    digest: bytes
    scopes: list[str]
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None
    role: Role


async def add(connection: Connection, user_id: str, key: ApiKey, digest: bytes) -> None:
    """Keep a new key."""
    k = key
    await connection.execute(
        _ADD, k.key_id, user_id, k.name, digest, k.scopes, k.created_at_ms, k.expires_at_ms
    )


async def of_user(connection: Connection | Pool, user_id: str, limit: int) -> Sequence[ApiKey]:
    """The user's keys, newest first, the revoked ones too."""
    return [ApiKey(**row) for row in await connection.fetch(_LIST, user_id, limit)]


async def get(connection: Connection | Pool, key_id: str, user_id: str) -> ApiKey | None:
    """A key of that user's."""
    row = await connection.fetchrow(_GET, key_id, user_id)
    return None if row is None else ApiKey(**row)


async def count(connection: Connection, user_id: str, now_ms: int) -> int:
    """How many keys of the user are good."""
    return int(await connection.fetchval(_COUNT, user_id, now_ms))


async def find(connection: Connection | Pool, key_id: str) -> Found | None:
    """The key of that id, unless it or its user is out of use."""
    row = await connection.fetchrow(_FIND, key_id)
    return None if row is None else Found(**{**row, "role": Role(row["role"])})


async def mark_used(connection: Connection | Pool, key_id: str, now_ms: int) -> None:
    """Remember that the key was used."""
    await connection.execute(_USED, key_id, now_ms)


async def revoke(connection: Connection, key_id: str, user_id: str, now_ms: int) -> bool:
    """Take a key out of use for good; False if that user has no such key."""
    return bool(await connection.fetchval(_REVOKE, key_id, user_id, now_ms))


async def revoke_all(connection: Connection, user_id: str, now_ms: int) -> None:
    """Take all of a user's keys out of use."""
    await connection.execute(_REVOKE_ALL, user_id, now_ms)
