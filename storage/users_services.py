"""Services: users of the role `service`, which are programs and have neither mail nor password."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import msgspec

from messages.users import UsernameTaken
from storage.database import Connection, Pool

_ADD = """
insert into users.users
    (user_id, username, username_key, email, email_key, password_hash, role, time_zone, locale,
     created_at_ms)
values ($1, $2, $3, null, null, null, 'service', 'UTC', 'en', $4)"""
_COLUMNS = "user_id::text as service_id, username as name, status, created_at_ms"
_GET = f"select {_COLUMNS} from users.users where role = 'service' and user_id = $1"  # noqa: S608
_LIST = f"""
select {_COLUMNS} from users.users where role = 'service'
order by created_at_ms desc, user_id desc limit $1"""  # noqa: S608 - a constant
_STOP = """
update users.users set status = 'deactivated'
where role = 'service' and user_id = $1 returning true"""


class Service(msgspec.Struct, frozen=True):
    """A program that acts on the platform."""

    service_id: str
    name: str
    status: str
    created_at_ms: int


async def add(connection: Connection, service_id: str, name: str, at_ms: int) -> None:
    """Insert a service. Raises UsernameTaken: services and people share the names."""
    try:
        await connection.execute(_ADD, service_id, name, name.lower(), at_ms)
    except asyncpg.UniqueViolationError:
        raise UsernameTaken from None


async def get(connection: Connection | Pool, service_id: str) -> Service | None:
    """The service of that id."""
    row = await connection.fetchrow(_GET, service_id)
    return None if row is None else Service(**row)


async def newest(connection: Connection | Pool, limit: int) -> Sequence[Service]:
    """All services, newest first."""
    return [Service(**row) for row in await connection.fetch(_LIST, limit)]


async def stop(connection: Connection, service_id: str) -> bool:
    """Take a service out of use, its keys with it; False if there is no such service."""
    return bool(await connection.fetchval(_STOP, service_id))
