"""Users' payout methods. Whoever changes something here holds the user's lock
(`storage/users_events.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import asyncpg
import msgspec

from messages.payments.payout_errors import PayoutMethodExists
from messages.payments.payout_methods import PayoutMethodChanged, PayoutMethodState
from messages.payments.payout_orders import PayoutProvider
from storage import users_events
from storage.database import Connection, Pool

_COLUMNS = """
    method_id::text, user_id::text, provider, account, sealed, label, state, is_default,
    added_at_ms, changed_at_ms"""
ADD = """
insert into payments.payout_methods
    (method_id, user_id, provider, account, sealed, digest, label, state, is_default, added_at_ms,
     changed_at_ms)
select $1, $2, $3, $4, $5, $6, $7, $8, not exists (
    select from payments.payout_methods where user_id = $2 and is_default), $9, $9"""
LIST = f"""
select {_COLUMNS} from payments.payout_methods where user_id = $1
order by added_at_ms, method_id"""  # noqa: S608 - a constant
GET = f"""
select {_COLUMNS} from payments.payout_methods where method_id = $1"""  # noqa: S608
OF_ACCOUNT = f"""
select {_COLUMNS} from payments.payout_methods
where provider = $1 and account = $2"""  # noqa: S608
REMOVE = """
delete from payments.payout_methods where user_id = $1 and method_id = $2 returning provider"""
NO_DEFAULT = """
update payments.payout_methods set is_default = false where user_id = $1 and is_default"""
MAKE_DEFAULT = """
update payments.payout_methods set is_default = true
where user_id = $1 and method_id = $2 returning true"""
SET_STATE = """
update payments.payout_methods set state = $2, changed_at_ms = $3
where method_id = $1 and state <> $2 returning true"""
IN_USE = """
select exists (select from payments.payouts
    where method_id = $1 and status in ('requested', 'on_hold', 'sending'))"""
FACTS = """
select m.method_id::text, m.user_id::text, m.provider, m.state, m.added_at_ms,
    (select max(a.at_ms) from audit.entries a
     where a.subject = 'user:' || m.user_id and a.action = any($2::text[])) as credentials_at_ms,
    (select max(p.created_at_ms) from payments.payments p
     where p.payer_id = m.user_id and p.method = 'card' and p.received_minor > 0) as card_at_ms
from payments.payout_methods m where m.method_id = any($1::uuid[])"""


class PayoutMethod(msgspec.Struct, frozen=True):
    """A payout method. account: at the provider, or else `sealed`: an address."""

    method_id: str
    user_id: str
    provider: PayoutProvider
    account: str | None
    sealed: bytes | None
    label: str
    state: PayoutMethodState
    is_default: bool
    added_at_ms: int
    changed_at_ms: int


class NewMethod(NamedTuple):
    """A payout method to be. digest: keyed, by which it is known again."""

    method_id: str
    user_id: str
    provider: PayoutProvider
    account: str | None
    sealed: bytes | None
    digest: bytes
    label: str
    state: PayoutMethodState


class MethodFacts(NamedTuple):
    """What payouts look up about a method and its user: moments, None where it never was."""

    method_id: str
    user_id: str
    provider: PayoutProvider
    state: PayoutMethodState
    added_at_ms: int
    credentials_at_ms: int | None
    card_at_ms: int | None


async def add(connection: Connection, new: NewMethod, at_ms: int) -> None:
    """Add a method; a user's first is the default. Raises PayoutMethodExists."""
    row = (*new[:2], new.provider.value, *new[3:7], new.state.value, at_ms)
    try:
        await connection.execute(ADD, *row)
    except asyncpg.UniqueViolationError:
        raise PayoutMethodExists from None


async def list_methods(connection: Connection | Pool, user_id: str) -> list[PayoutMethod]:
    """A user's methods, oldest first."""
    return [_method(row) for row in await connection.fetch(LIST, user_id)]


async def get(connection: Connection | Pool, method_id: str) -> PayoutMethod | None:
    """A method."""
    row = await connection.fetchrow(GET, method_id)
    return None if row is None else _method(row)


async def of_account(
    connection: Connection | Pool, provider: PayoutProvider, account: str
) -> PayoutMethod | None:
    """The method that a provider's account is."""
    row = await connection.fetchrow(OF_ACCOUNT, provider.value, account)
    return None if row is None else _method(row)


async def remove(connection: Connection, user_id: str, method_id: str) -> PayoutProvider | None:
    """Remove a method; its provider, or None if there was none."""
    found = await connection.fetchval(REMOVE, user_id, method_id)
    return None if found is None else PayoutProvider(found)


async def make_default(connection: Connection, user_id: str, method_id: str) -> bool:
    """Make a method the user's default; False if there is none such."""
    await connection.execute(NO_DEFAULT, user_id)
    return bool(await connection.fetchval(MAKE_DEFAULT, user_id, method_id))


async def note(pool: Pool, method: PayoutMethod, state: PayoutMethodState, at_ms: int) -> None:
    """Note what the provider says of a method, and tell its user if that is news."""
    user_id = method.user_id
    async with pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if await connection.fetchval(SET_STATE, method.method_id, state.value, at_ms):
            fact = PayoutMethodChanged(user_id, method.method_id, method.provider, state, at_ms)
            await users_events.tell(connection, user_id, [fact], at_ms)


async def in_use(connection: Connection, method_id: str) -> bool:
    """Whether a payout by it is under way."""
    return bool(await connection.fetchval(IN_USE, method_id))


async def facts(
    connection: Connection, method_ids: Iterable[str], credential_actions: Iterable[str]
) -> dict[str, MethodFacts]:
    """What payouts look up, by method. credential_actions: of the audit log."""
    rows = await connection.fetch(FACTS, list(method_ids), list(credential_actions))
    return {
        row["method_id"]: MethodFacts(
            **{
                **row,
                "provider": PayoutProvider(row["provider"]),
                "state": PayoutMethodState(row["state"]),
            }
        )
        for row in rows
    }


def _method(row: Any) -> PayoutMethod:
    state, provider = PayoutMethodState(row["state"]), PayoutProvider(row["provider"])
    return PayoutMethod(**{**row, "state": state, "provider": provider})
