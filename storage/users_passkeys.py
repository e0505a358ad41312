"""Passkeys and the challenges that they answer, in PostgreSQL."""

from __future__ import annotations

import asyncpg
import msgspec

from messages.users_factors import PasskeyExists
from storage.database import Connection, Pool

PURGE_ROWS = 4  # expired challenges that leave with each new one

_COLUMNS = """
passkey_id::text, user_id::text, credential_id, public_key, sign_count, name, aaguid::text,
transports, synced, added_at_ms, used_at_ms, suspected_at_ms"""
_ADD = """
insert into users.passkeys
    (passkey_id, user_id, credential_id, public_key, sign_count, name, aaguid, transports, synced,
     added_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"""
_LIST = f"""
select {_COLUMNS} from users.passkeys where user_id = $1
order by added_at_ms, passkey_id"""  # noqa: S608 - a constant
_FIND = f"select {_COLUMNS} from users.passkeys where credential_id = $1"  # noqa: S608
_RENAME = """
update users.passkeys set name = $3 where user_id = $1 and passkey_id = $2 returning true"""
_REMOVE = "delete from users.passkeys where user_id = $1 and passkey_id = $2 returning name"
_USED = """
update users.passkeys set sign_count = $3, used_at_ms = $4
where user_id = $1 and passkey_id = $2 and suspected_at_ms is null"""
_SUSPECT = """
update users.passkeys set suspected_at_ms = $3
where user_id = $1 and passkey_id = $2 and suspected_at_ms is null"""
_PURGE = """
delete from users.passkey_challenges where challenge_id in (
    select challenge_id from users.passkey_challenges where expires_at_ms <= $1
    order by expires_at_ms limit $2 for update skip locked)"""
_ASK = """
insert into users.passkey_challenges (challenge_id, challenge, purpose, bound_to, expires_at_ms)
values ($1, $2, $3, $4, $5)"""
_TAKE = """
delete from users.passkey_challenges
where challenge_id = $1 and purpose = $2 and bound_to = $3 and expires_at_ms > $4
returning challenge"""


class Passkey(msgspec.Struct, frozen=True):
    """A credential of a user. `public_key` is a COSE_Key; `transports` are the browser's words."""

    passkey_id: str
    user_id: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    name: str
    aaguid: str
    transports: list[str]
    synced: bool
    added_at_ms: int
    used_at_ms: int | None = None
    suspected_at_ms: int | None = None


async def add_passkey(connection: Connection, passkey: Passkey) -> None:
    """Store a new passkey. Raises PasskeyExists if anybody has that credential."""
    p = passkey
    row = (
        p.passkey_id,
        p.user_id,
        p.credential_id,
        p.public_key,
        p.sign_count,
        p.name,
        p.aaguid,
        p.transports,
        p.synced,
        p.added_at_ms,
    )
    try:
        await connection.execute(_ADD, *row)
    except asyncpg.UniqueViolationError:
        raise PasskeyExists from None


async def list_passkeys(connection: Connection | Pool, user_id: str) -> list[Passkey]:
    """A user's passkeys, oldest first."""
    return [Passkey(**row) for row in await connection.fetch(_LIST, user_id)]


async def find_passkey(connection: Connection | Pool, credential_id: bytes) -> Passkey | None:
    """The passkey of that credential, whoever has it."""
    row = await connection.fetchrow(_FIND, credential_id)
    return None if row is None else Passkey(**row)


async def rename_passkey(
    connection: Connection | Pool, user_id: str, passkey_id: str, name: str
) -> bool:
    """Whether the user has that passkey, and it has the name now."""
    return bool(await connection.fetchval(_RENAME, user_id, passkey_id, name))


async def remove_passkey(connection: Connection, user_id: str, passkey_id: str) -> str | None:
    """The user has that passkey no more; its name, or None if there was none."""
    name: str | None = await connection.fetchval(_REMOVE, user_id, passkey_id)
    return name


async def passkey_used(
    connection: Connection, user_id: str, passkey_id: str, sign_count: int, at_ms: int
) -> None:
    """Note the counter that the passkey showed."""
    await connection.execute(_USED, user_id, passkey_id, sign_count, at_ms)


async def suspect_passkey(
    connection: Connection, user_id: str, passkey_id: str, at_ms: int
) -> None:
    """From now on the passkey opens nothing."""
    await connection.execute(_SUSPECT, user_id, passkey_id, at_ms)


async def ask(
    connection: Connection | Pool,
    challenge_id: str,
    challenge: bytes,
    purpose: str,
    bound_to: bytes,
    *,
    now_ms: int,
    expires_at_ms: int,
) -> None:
    """Keep a challenge until it is answered or too old; forget a few that are."""
    await connection.execute(_PURGE, now_ms, PURGE_ROWS)
    await connection.execute(_ASK, challenge_id, challenge, purpose, bound_to, expires_at_ms)


async def take(
    connection: Connection | Pool, challenge_id: str, purpose: str, bound_to: bytes, now_ms: int
) -> bytes | None:
    """The challenge, for the first who takes it for what and by whom it was asked for."""
    found: bytes | None = await connection.fetchval(_TAKE, challenge_id, purpose, bound_to, now_ms)
    return found
