"""Users' identity commitments in PostgreSQL."""

from __future__ import annotations

import msgspec

from storage.database import Connection, Pool

# One row came of it only if something changed: the same commitment again is no registration.
_SET = """
insert into users.identities as i (user_id, commitment, number, registered_at_ms)
values ($1, $2, 1, $3)
on conflict (user_id) do update
set commitment = excluded.commitment, number = i.number + 1,
    registered_at_ms = excluded.registered_at_ms
where i.commitment <> excluded.commitment
returning number"""
_GET = "select commitment, number, registered_at_ms from users.identities where user_id = $1"


class Identity(msgspec.Struct, frozen=True):
    """A registered commitment. `number` counts the user's registrations."""

    commitment: str
    number: int
    registered_at_ms: int


async def get_identity(connection: Connection | Pool, user_id: str) -> Identity | None:
    """The user's present identity."""
    row = await connection.fetchrow(_GET, user_id)
    return None if row is None else Identity(**row)


async def set_identity(
    connection: Connection, user_id: str, commitment: str, at_ms: int
) -> int | None:
    """Register a commitment in place of the one before; its number, None if it is the same."""
    number: int | None = await connection.fetchval(_SET, user_id, commitment, at_ms)
    return number
