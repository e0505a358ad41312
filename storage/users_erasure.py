"""Deleting an account: what a user is known by goes, from every table; what is booked stays.

The row of the user stays as a tombstone without a name, because the ledger, orders and listens name
its id. A test reads the schema and wants every table that names users here or in KEPT.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from storage import (
    saved_methods,
    users_accounts,
    users_activity,
    users_external,
    users_factors,
    users_follows,
    users_wallets,
)
from storage.database import Connection, Pool
from storage.users import User

PURGE_ROWS = 500

# Ids of the user that are left behind, which nothing leads from to a person any more, and why.
KEPT: Mapping[str, str] = {
    "users.users": "the tombstone: its id, no name",
    "users.sessions": "void, without device, address and place; purged once no token can be alive",
    "users.activity": "figures by day: the platform's statistics",
    "users.stats": "sums of these",
    "users.api_keys": "void, without a name: the audit log names them",
    "listening.sessions": "what artists were paid for; without the device",
    "listening.folds": "what claims were proved by",
    "market.issues": "an account with a share issue cannot be deleted",
    "market.holdings": "bookkeeping",
    "market.purchases": "bookkeeping",
    "market.locks": "bookkeeping",
    "market.payments": "bookkeeping",
    "market.orders": "bookkeeping",
    "moderation.reports": "a case's evidence",
    "moderation.suspensions": "a case's outcome",
    "rewards.streaks": "figures",
    "payments.payments": "bookkeeping, kept as the law demands",
    "payments.conversions": "bookkeeping",
    "payments.payouts": "bookkeeping, kept as the law demands; without where the money went",
    "payments.risk_observations": "figures that a decision about a payment was made by",
    "payments.risk_links": "digests only: who was denied does not begin anew with a new account",
    "purchases.purchases": "bookkeeping, kept as the law demands",
    "drops.drops": "an account with a drop that is not over cannot be deleted",
    "drops.purchases": "bookkeeping",
    "drops.tokens": "whose they were: the numbers of a drop have no gaps",
    "ventures.ventures": "an account with a venture that is not over cannot be deleted",
    "ventures.investments": "bookkeeping",
    "ventures.deliveries": "what an artist still owes, or does not",
    "music.artists": "the credit of what was published; the name goes if nothing was",
}

BUSY = """
select
    (select count(*) from market.orders
     where user_id = $1 and status in ('waiting', 'open')) as orders,
    (select count(*) from payments.payments
     where payer_id = $1
       and status in ('pending', 'requires_action', 'processing', 'on_hold', 'disputed')
    ) + (select count(*) from payments.payouts
     where user_id = $1 and status in ('requested', 'on_hold', 'sending')
    ) as payments,
    (select count(*) from market.issues
     where artist_user_id = $1 and status <> 'terminated' and not voided) as issues,
    (select count(*) from drops.drops
     where artist_user_id = $1 and status in ('draft', 'active', 'paused')) as drops,
    (select count(*) from ventures.ventures
     where artist_user_id = $1 and (status in ('draft', 'open') or escrow_minor > 0)) as ventures,
    (select count(*) from ventures.investments
     where investor_id = $1 and status = 'open') as investments"""
# By ranges of the codes' index: `;` follows `:`.
HELD = """
select a.code, a.balance::text as amount from ledger.accounts a
where a.balance <> 0 and (
    (a.code >= 'user:' || $1::text || ':' and a.code < 'user:' || $1::text || ';')
    or exists (
        select from music.artists m where m.user_id = $1::text::uuid
        and a.code >= 'artist:' || m.artist_id || ':' and a.code < 'artist:' || m.artist_id || ';'))
order by a.code"""
TOMBSTONE = """
update users.users
set username = '~' || user_id, username_key = '~' || user_id, email = null, email_key = null,
    password_hash = null, email_verified_at_ms = null, time_zone = 'UTC', locale = 'en',
    role = 'user', points = 0, status = 'deleted'
where user_id = $1"""
BLANK_SESSIONS = """
update users.sessions set device = '', address = '', place = '' where user_id = $1"""
BLANK_KEYS = """
update users.api_keys set name = '', revoked_at_ms = coalesce(revoked_at_ms, $2)
where user_id = $1"""
BLANK_LISTENS = "update listening.sessions set device_id = '' where user_id = $1"
BLANK_ARTIST = """
update music.artists
set name = case songs when 0 then '~' else name end, bio = null, avatar_url = null, links = '{}'
where user_id = $1"""
DISOWN_NAMES = "update users.retired_usernames set user_id = null where user_id = $1"
FORGET: tuple[str, ...] = (
    "delete from users.identities where user_id = $1",
    "delete from payments.payout_methods where user_id = $1",
    "delete from users.mail_tokens where user_id = $1",
    "delete from users.registrations where user_id = $1",
    "delete from mail.outgoing where user_id = $1",
    "delete from music.artist_requests where user_id = $1",
    "delete from payments.conversion_quotes where user_id = $1",
)
FORGET_ADDRESS: tuple[str, ...] = (
    "delete from mail.outgoing where recipient_key = lower($1)",
    "delete from users.registrations where email_key = lower($1)",
    "delete from users.reset_requests where email_key = lower($1)",
)
PURGE_SESSIONS = """
delete from users.sessions where session_id in (
    select s.session_id from users.sessions s join users.users u using (user_id)
    where u.status = 'deleted' and s.ended_at_ms < $1 limit $2)"""


class Busy(msgspec.Struct, frozen=True):
    """What a user has under way that others depend on: counts."""

    orders: int
    payments: int
    issues: int
    drops: int
    ventures: int
    investments: int


class HeldAmount(msgspec.Struct, frozen=True):
    """What a ledger account of a user holds. `amount`: in minor units; a string, it may be long."""

    code: str
    amount: str


async def busy(connection: Connection, user_id: str) -> Busy:
    """What stands in the way of a deletion."""
    row = await connection.fetchrow(BUSY, user_id)
    assert row is not None, "a row of counts"
    return Busy(**row)


async def held(connection: Connection, user_id: str) -> list[HeldAmount]:
    """The ledger accounts of a user, and of their artist profile, that hold something."""
    return [HeldAmount(**row) for row in await connection.fetch(HELD, user_id)]


async def erase(connection: Connection, user: User, at_ms: int, until_ms: int) -> None:
    """Erase what a locked user, whose sessions have ended, is known by.

    until_ms: how long the username is nobody's.
    """
    user_id, email = user.user_id, user.email
    for module in (users_factors, users_wallets, users_external, saved_methods):
        await module.erase(connection, user_id)
    await users_follows.forget(connection, user_id)
    await users_activity.forget(connection, user_id)
    for statement in FORGET:
        await connection.execute(statement, user_id)
    for statement in FORGET_ADDRESS if email is not None else ():
        await connection.execute(statement, email)
    await connection.execute(BLANK_SESSIONS, user_id)
    await connection.execute(BLANK_KEYS, user_id, at_ms)
    await connection.execute(BLANK_LISTENS, user_id)
    await connection.execute(BLANK_ARTIST, user_id)
    await connection.execute(DISOWN_NAMES, user_id)
    await users_accounts.retire_name(connection, user.username, None, until_ms)
    await connection.execute(TOMBSTONE, user_id)


async def purge_sessions(connection: Connection | Pool, before_ms: int) -> int:
    """Forget sessions of deleted users that ended before a moment; how many."""
    done = await connection.execute(PURGE_SESSIONS, before_ms, PURGE_ROWS)
    return int(done.rsplit(" ", 1)[1])
