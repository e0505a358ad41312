"""External identities and the sign-ins that are on their way to or from a provider."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from domain.users_external import ProvenIdentity
from messages.users_external import ExternalIdentityTaken, Provider
from storage.database import Connection, Pool

PURGE_ROWS = 4  # more than one a sign-in, so that what nobody came back for does not pile up

BEGIN = """
insert into users.external_authorizations
    (state_hash, provider, browser_hash, handle_hash, nonce, verifier, return_url, expires_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8)"""
TAKE_AUTHORIZATION = """
delete from users.external_authorizations
where state_hash = $1 and provider = $2 and expires_at_ms > $4
    and (browser_hash is null or browser_hash = $3)
returning handle_hash, nonce, verifier, return_url"""
PURGE_AUTHORIZATIONS = """
delete from users.external_authorizations where state_hash in (
    select state_hash from users.external_authorizations where expires_at_ms <= $1
    limit $2 for update skip locked)"""
ADD_COMPLETION = """
insert into users.external_completions
    (code_hash, handle_hash, provider, subject, email, is_email_verified, is_email_authoritative,
     expires_at_ms)
values ($1, $2, $3, $4, $5, $6, $7, $8)"""
TAKE_COMPLETION = """
delete from users.external_completions
where code_hash = $1 and handle_hash = $2 and expires_at_ms > $3
returning provider, subject, email, is_email_verified, is_email_authoritative"""
PURGE_COMPLETIONS = """
delete from users.external_completions where code_hash in (
    select code_hash from users.external_completions where expires_at_ms <= $1
    limit $2 for update skip locked)"""
# Two first sign-ins of one person at once make one account: the second waits and finds the first's.
LOCK_SUBJECT = """
select pg_advisory_xact_lock(hashtextextended('external:' || $1::text || ':' || $2::text, 0))"""
_COLUMNS = "identity_id::text, user_id::text, provider, email, linked_at_ms, used_at_ms"
FIND = f"""
select {_COLUMNS} from users.external_identities
where provider = $1 and subject = $2"""  # noqa: S608 - constants
LIST = f"""
select {_COLUMNS} from users.external_identities
where user_id = $1 order by linked_at_ms, identity_id"""  # noqa: S608
ADD = """
insert into users.external_identities
    (identity_id, user_id, provider, subject, email, linked_at_ms, used_at_ms)
values ($1, $2, $3, $4, $5, $6, $6)"""
USED = "update users.external_identities set used_at_ms = $2 where identity_id = $1"
REMOVE = "delete from users.external_identities where identity_id = $1"
HAS_PASSWORD = "select password_hash is not null from users.users where user_id = $1"  # noqa: S105
ADD_NOTICE = """
insert into users.external_notices (notice_hash, expires_at_ms) values ($1, $2)
on conflict (notice_hash) do nothing returning true"""
PURGE_NOTICES = """
delete from users.external_notices where notice_hash in (
    select notice_hash from users.external_notices where expires_at_ms <= $1
    limit $2 for update skip locked)"""
ERASE = "delete from users.external_identities where user_id = $1"
EXPORT = """
select provider, subject, email, linked_at_ms, used_at_ms from users.external_identities
where user_id = $1 order by linked_at_ms, identity_id"""


class Begun(msgspec.Struct, frozen=True):
    """A browser that is at a provider. Hashes are SHA-256; browser_hash None: a native program."""

    provider: Provider
    browser_hash: bytes | None
    handle_hash: bytes
    nonce: str
    verifier: str
    return_url: str
    expires_at_ms: int


class Returned(msgspec.Struct, frozen=True):
    """One that came back."""

    handle_hash: bytes
    nonce: str
    verifier: str
    return_url: str


class ExternalIdentity(msgspec.Struct, frozen=True):
    """A linked identity. `email` as it was when it was linked."""

    identity_id: str
    user_id: str
    provider: Provider
    email: str | None
    linked_at_ms: int
    used_at_ms: int


async def begin(
    connection: Connection | Pool, state_hash: bytes, begun: Begun, now_ms: int
) -> None:
    """Remember a browser that is sent to a provider."""
    await connection.execute(PURGE_AUTHORIZATIONS, now_ms, PURGE_ROWS)
    await connection.execute(
        BEGIN,
        state_hash,
        begun.provider.value,
        begun.browser_hash,
        begun.handle_hash,
        begun.nonce,
        begun.verifier,
        begun.return_url,
        begun.expires_at_ms,
    )


async def take_authorization(
    connection: Connection | Pool,
    state_hash: bytes,
    provider: Provider,
    browser_hash: bytes | None,
    now_ms: int,
) -> Returned | None:
    """The authorization of a state, once; none of another browser's, provider's or time's."""
    row = await connection.fetchrow(
        TAKE_AUTHORIZATION, state_hash, provider.value, browser_hash, now_ms
    )
    return None if row is None else Returned(**row)


async def add_completion(
    connection: Connection | Pool,
    code_hash: bytes,
    handle_hash: bytes,
    proven: ProvenIdentity,
    now_ms: int,
    expires_at_ms: int,
) -> None:
    """Keep whom a provider vouched for until the page asks."""
    await connection.execute(PURGE_COMPLETIONS, now_ms, PURGE_ROWS)
    await connection.execute(
        ADD_COMPLETION,
        code_hash,
        handle_hash,
        proven.provider.value,
        proven.subject,
        proven.email,
        proven.is_email_verified,
        proven.is_email_authoritative,
        expires_at_ms,
    )


async def take_completion(
    connection: Connection, code_hash: bytes, handle_hash: bytes, now_ms: int
) -> ProvenIdentity | None:
    """Whom the code stands for, once, for who has the handle. A rollback gives it back."""
    row = await connection.fetchrow(TAKE_COMPLETION, code_hash, handle_hash, now_ms)
    if row is None:
        return None
    return ProvenIdentity(**{**row, "provider": Provider(row["provider"])})


async def lock_subject(connection: Connection, provider: Provider, subject: str) -> None:
    """Be the only one to link or unlink this identity until the transaction ends."""
    await connection.execute(LOCK_SUBJECT, provider.value, subject)


async def find(
    connection: Connection | Pool, provider: Provider, subject: str
) -> ExternalIdentity | None:
    """The linked identity of a provider's subject."""
    row = await connection.fetchrow(FIND, provider.value, subject)
    return None if row is None else _identity(row)


async def list_of(connection: Connection | Pool, user_id: str) -> list[ExternalIdentity]:
    """A user's linked identities, oldest first."""
    return [_identity(row) for row in await connection.fetch(LIST, user_id)]


async def add(
    connection: Connection, identity_id: str, user_id: str, proven: ProvenIdentity, at_ms: int
) -> None:
    """Link. Raises ExternalIdentityTaken if another account has it."""
    try:
        await connection.execute(
            ADD,
            identity_id,
            user_id,
            proven.provider.value,
            proven.subject,
            proven.email,
            at_ms,
        )
    except asyncpg.UniqueViolationError:
        raise ExternalIdentityTaken from None


async def used(connection: Connection, identity_id: str, at_ms: int) -> None:
    """Somebody signed in with it."""
    await connection.execute(USED, identity_id, at_ms)


async def remove(connection: Connection, identity_id: str) -> None:
    """Unlink."""
    await connection.execute(REMOVE, identity_id)


async def has_password(connection: Connection, user_id: str) -> bool:
    """Whether the user can sign in without any identity."""
    return bool(await connection.fetchval(HAS_PASSWORD, user_id))


async def add_notice(
    connection: Connection, notice_hash: bytes, now_ms: int, expires_at_ms: int
) -> bool:
    """Whether a notice is new; it is not any more."""
    await connection.execute(PURGE_NOTICES, now_ms, PURGE_ROWS)
    return bool(await connection.fetchval(ADD_NOTICE, notice_hash, expires_at_ms))


async def erase(connection: Connection, user_id: str) -> None:
    """Forget a deleted user's identities: the same person may begin anew."""
    await connection.execute(ERASE, user_id)


async def export(connection: Connection | Pool, user_id: str) -> list[dict[str, Any]]:
    """All that is kept of a user here."""
    return [dict(row) for row in await connection.fetch(EXPORT, user_id)]


def _identity(row: asyncpg.Record) -> ExternalIdentity:
    return ExternalIdentity(**{**row, "provider": Provider(row["provider"])})
