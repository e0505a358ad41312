"""Cards that users saved at a provider, and what the provider is still to forget.

Whoever changes a user's methods holds the user's lock (`storage/users_events.py`).
"""

from __future__ import annotations

import msgspec

from messages.payments.saved_methods import SavedCard
from storage.database import Connection, Pool

COLUMNS = """
    m.method_id::text, m.user_id::text, m.setup_ref, m.method_ref, m.status, m.brand, m.last4,
    m.expires_month, m.expires_year, m.is_default, m.made_at_ms, c.ref as customer"""
_FROM = "from payments.saved_methods m join payments.customers c using (user_id)"
CUSTOMER = "select ref from payments.customers where user_id = $1"
ADD_CUSTOMER = """
insert into payments.customers (user_id, gateway, ref, made_at_ms) values ($1, $2, $3, $4)
on conflict do nothing"""
COUNT = "select count(*) from payments.saved_methods where user_id = $1"
ADD = """
insert into payments.saved_methods
    (method_id, user_id, setup_ref, status, made_at_ms, look_at_ms)
values ($1, $2, $3, 'pending', $4, $5) on conflict do nothing"""
FIND = f"""
select {COLUMNS} {_FROM} where m.method_id = $1 and m.user_id = $2"""
LIST = f"""
select {COLUMNS} {_FROM} where m.user_id = $1 and m.status = 'active'
order by m.made_at_ms, m.method_id"""
DUE = f"""
select {COLUMNS} {_FROM} where m.status = 'pending' and m.look_at_ms <= $1
order by m.look_at_ms limit $2"""
ACTIVATE = """
update payments.saved_methods m
set status = 'active', method_ref = $2, brand = $3, last4 = $4, expires_month = $5,
    expires_year = $6,
    is_default = not exists (
        select from payments.saved_methods o where o.user_id = m.user_id and o.is_default)
where m.method_id = $1 and m.status = 'pending' returning true"""
POSTPONE = "update payments.saved_methods set look_at_ms = $2 where method_id = $1"
UNDEFAULT = """
update payments.saved_methods set is_default = false where user_id = $1 and is_default"""
DEFAULT = """
update payments.saved_methods set is_default = true where method_id = $1 and status = 'active'"""
REMOVE = "delete from payments.saved_methods where method_id = $1"
TO_FORGET = """
insert into payments.to_forget (ref, kind, look_at_ms) values ($1, $2, $3) on conflict do nothing"""
DUE_TO_FORGET = """
select ref, kind from payments.to_forget where look_at_ms <= $1 order by look_at_ms limit $2"""
FORGET_LATER = "update payments.to_forget set look_at_ms = $2 where ref = $1"
FORGOTTEN = "delete from payments.to_forget where ref = $1"
ERASE = (
    """insert into payments.to_forget (ref, kind, look_at_ms)
    select ref, 'customer', 0 from payments.customers where user_id = $1 on conflict do nothing""",
    "delete from payments.saved_methods where user_id = $1",
    "delete from payments.customers where user_id = $1",
)


class SavedMethod(msgspec.Struct, frozen=True):
    """A saved card, or one that is being saved. customer: the provider's name of its owner."""

    method_id: str
    user_id: str
    setup_ref: str
    method_ref: str
    status: str
    brand: str
    last4: str
    expires_month: int
    expires_year: int
    is_default: bool
    made_at_ms: int
    customer: str


async def customer_of(pool: Pool, user_id: str) -> str | None:
    """The provider's name of a user."""
    found: str | None = await pool.fetchval(CUSTOMER, user_id)
    return found


async def add_customer(
    connection: Connection, user_id: str, gateway: str, ref: str, at_ms: int
) -> None:
    """Keep the provider's name of a user, unless they have one."""
    await connection.execute(ADD_CUSTOMER, user_id, gateway, ref, at_ms)


async def count(connection: Connection | Pool, user_id: str) -> int:
    """How many a user saved or is saving."""
    return int(await connection.fetchval(COUNT, user_id))


async def add(
    connection: Connection,
    method_id: str,
    user_id: str,
    setup_ref: str,
    *,
    at_ms: int,
    look_at_ms: int,
) -> None:
    """Keep that a card is being saved."""
    await connection.execute(ADD, method_id, user_id, setup_ref, at_ms, look_at_ms)


async def find(connection: Connection | Pool, method_id: str, user_id: str) -> SavedMethod | None:
    """A method of that user's."""
    row = await connection.fetchrow(FIND, method_id, user_id)
    return SavedMethod(**row) if row else None


async def of_user(connection: Connection | Pool, user_id: str) -> list[SavedMethod]:
    """A user's saved methods, oldest first."""
    return [SavedMethod(**row) for row in await connection.fetch(LIST, user_id)]


async def due(pool: Pool, now_ms: int, limit: int) -> list[SavedMethod]:
    """Savings that it is time to look at."""
    return [SavedMethod(**row) for row in await pool.fetch(DUE, now_ms, limit)]


async def activate(connection: Connection, method_id: str, card: SavedCard) -> bool:
    """The card is saved; the first is the default. False if that was known."""
    c = card
    return bool(
        await connection.fetchval(
            ACTIVATE, method_id, c.method_ref, c.brand, c.last4, c.expires_month, c.expires_year
        )
    )


async def postpone(pool: Pool, method_id: str, look_at_ms: int) -> None:
    """Look at a saving again later."""
    await pool.execute(POSTPONE, method_id, look_at_ms)


async def make_default(connection: Connection, user_id: str, method_id: str) -> None:
    """Prefer a method to the user's others."""
    await connection.execute(UNDEFAULT, user_id)
    await connection.execute(DEFAULT, method_id)


async def remove(connection: Connection, method: SavedMethod) -> None:
    """Forget a method here, and have the provider forget it."""
    await connection.execute(REMOVE, method.method_id)
    if method.method_ref:
        await connection.execute(TO_FORGET, method.method_ref, "method", 0)


async def due_to_forget(pool: Pool, now_ms: int, limit: int) -> list[tuple[str, str]]:
    """(ref, kind) of what the provider is to forget now."""
    return [(row["ref"], row["kind"]) for row in await pool.fetch(DUE_TO_FORGET, now_ms, limit)]


async def forget_later(pool: Pool, ref: str, look_at_ms: int) -> None:
    """Ask the provider again later."""
    await pool.execute(FORGET_LATER, ref, look_at_ms)


async def forgotten(pool: Pool, ref: str) -> None:
    """The provider has forgotten it."""
    await pool.execute(FORGOTTEN, ref)


async def erase(connection: Connection, user_id: str) -> None:
    """Forget a user's methods, here and at the provider."""
    for statement in ERASE:
        await connection.execute(statement, user_id)
