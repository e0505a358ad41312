"""Second factors in PostgreSQL: one-time passwords, recovery codes, wrong guesses.

Whoever changes something here holds the user's lock (`storage/users_events.py`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from domain.users_factors import Factors
from storage.database import Connection, Pool

_FACTORS = """
select
    exists (select from users.totp where user_id = $1 and confirmed_at_ms is not null) as totp,
    (select count(*) from users.passkeys
     where user_id = $1 and suspected_at_ms is null) as passkeys,
    (select count(*) from users.recovery_codes
     where user_id = $1 and used_at_ms is null) as recovery_codes"""
_HASH = "select password_hash from users.users where user_id = $1"
_GET_TOTP = """
select secret, added_at_ms, confirmed_at_ms, last_step from users.totp where user_id = $1"""
_ENROL = """
insert into users.totp (user_id, secret, added_at_ms) values ($1, $2, $3)
on conflict (user_id) do update
set secret = excluded.secret, added_at_ms = excluded.added_at_ms, last_step = 0
where totp.confirmed_at_ms is null
returning true"""
_CONFIRM = """
update users.totp set confirmed_at_ms = $2, last_step = $3
where user_id = $1 and confirmed_at_ms is null"""
_ACCEPT = """
update users.totp set last_step = $2 where user_id = $1 and last_step < $2 returning true"""
_REMOVE_TOTP = """
delete from users.totp where user_id = $1 and confirmed_at_ms is not null returning true"""
_FORGET_CODES = "delete from users.recovery_codes where user_id = $1"
_ADD_CODES = """
insert into users.recovery_codes (user_id, code_hash, made_at_ms)
select $1, code_hash, $3 from unnest($2::bytea[]) as code_hash"""
_USE_CODE = """
update users.recovery_codes set used_at_ms = $3
where user_id = $1 and code_hash = any($2::bytea[]) and used_at_ms is null returning true"""
_FAILURES = """
select failures, last_at_ms from users.factor_failures where user_id = $1 and method = $2"""
_FAILED = """
insert into users.factor_failures as f (user_id, method, failures, last_at_ms)
values ($1, $2, 1, $3)
on conflict (user_id, method) do update
set failures = f.failures + 1, last_at_ms = excluded.last_at_ms
returning failures"""
_TAKE_BACK = """
update users.factor_failures set failures = failures - 1
where user_id = $1 and method = $2 and failures > 1"""
_FORGET_LAST = """
delete from users.factor_failures where user_id = $1 and method = $2 and failures <= 1"""
_FORGIVE = "delete from users.factor_failures where user_id = $1 and method = $2"
_ERASE = tuple(
    f"delete from users.{table} where user_id = $1"  # noqa: S608 - constants
    for table in ("totp", "recovery_codes", "passkeys", "pending_sign_ins", "factor_failures")
)
_EXPORT_TOTP = """
select added_at_ms, confirmed_at_ms from users.totp
where user_id = $1 and confirmed_at_ms is not null"""
_EXPORT_CODES = """
select made_at_ms, used_at_ms from users.recovery_codes where user_id = $1
order by made_at_ms, code_hash"""
_EXPORT_PASSKEYS = """
select name, aaguid::text, synced, added_at_ms, used_at_ms from users.passkeys where user_id = $1
order by added_at_ms, passkey_id"""


class Totp(msgspec.Struct, frozen=True):
    """One-time passwords of a user, as stored. `secret` is sealed."""

    secret: bytes
    added_at_ms: int
    confirmed_at_ms: int | None
    last_step: int


async def get_factors(connection: Connection | Pool, user_id: str) -> Factors:
    """What the account has beside its first factor."""
    row = await connection.fetchrow(_FACTORS, user_id)
    assert row is not None, "an aggregate has a row"
    return Factors(**row)


async def get_password_hash(connection: Connection | Pool, user_id: str) -> str | None:
    """The hash of the user's password; None if there is none, or no such user."""
    found: str | None = await connection.fetchval(_HASH, user_id)
    return found


async def get_totp(connection: Connection | Pool, user_id: str) -> Totp | None:
    """The user's one-time passwords, confirmed or not."""
    row = await connection.fetchrow(_GET_TOTP, user_id)
    return None if row is None else Totp(**row)


async def enrol_totp(connection: Connection, user_id: str, sealed: bytes, at_ms: int) -> bool:
    """Store a secret to be confirmed, in place of another such; False if one is confirmed."""
    return bool(await connection.fetchval(_ENROL, user_id, sealed, at_ms))


async def confirm_totp(connection: Connection, user_id: str, at_ms: int, step: int) -> None:
    """From now on the secret is a factor; the code of `step` was the first to be accepted."""
    await connection.execute(_CONFIRM, user_id, at_ms, step)


async def accept_step(connection: Connection, user_id: str, step: int) -> bool:
    """Take the code of a time step; False if it, or a later one, was taken before."""
    return bool(await connection.fetchval(_ACCEPT, user_id, step))


async def remove_totp(connection: Connection, user_id: str) -> bool:
    """Ask for no more codes; False if none were asked for."""
    return bool(await connection.fetchval(_REMOVE_TOTP, user_id))


async def replace_recovery_codes(
    connection: Connection, user_id: str, hashes: list[bytes], at_ms: int
) -> None:
    """These codes are the only ones of the user. An empty list leaves none."""
    await connection.execute(_FORGET_CODES, user_id)
    await connection.execute(_ADD_CODES, user_id, hashes, at_ms)


async def use_recovery_code(
    connection: Connection, user_id: str, hashes: list[bytes], at_ms: int
) -> bool:
    """Use up the code with one of these digests; False if there is none that is unused."""
    return bool(await connection.fetchval(_USE_CODE, user_id, hashes, at_ms))


async def get_failures(connection: Connection | Pool, user_id: str, method: str) -> tuple[int, int]:
    """Wrong guesses in a row, and the moment of the last one; zeros if there are none."""
    row = await connection.fetchrow(_FAILURES, user_id, method)
    return (0, 0) if row is None else (row["failures"], row["last_at_ms"])


async def add_failure(connection: Connection, user_id: str, method: str, at_ms: int) -> int:
    """Count a wrong guess; how many there are in a row now."""
    count: int = await connection.fetchval(_FAILED, user_id, method, at_ms)
    return count


async def take_back_failure(connection: Connection, user_id: str, method: str) -> None:
    """What was counted was no guess: nothing was decided. For a locked user."""
    await connection.execute(_FORGET_LAST, user_id, method)
    await connection.execute(_TAKE_BACK, user_id, method)


async def forgive_failures(connection: Connection | Pool, user_id: str, method: str) -> None:
    """The guess was right: count from zero."""
    await connection.execute(_FORGIVE, user_id, method)


async def erase(connection: Connection, user_id: str) -> None:
    """Remove all factors of a user, for good."""
    for statement in _ERASE:
        await connection.execute(statement, user_id)


async def export(connection: Connection | Pool, user_id: str) -> dict[str, Any]:
    """What is kept about the user here, without what opens the account."""
    totp = await connection.fetchrow(_EXPORT_TOTP, user_id)
    codes = await connection.fetch(_EXPORT_CODES, user_id)
    passkeys = await connection.fetch(_EXPORT_PASSKEYS, user_id)
    return {
        "one_time_passwords": dict(totp) if totp else None,
        "recovery_codes": [dict(row) for row in codes],
        "passkeys": [dict(row) for row in passkeys],
    }
