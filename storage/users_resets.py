"""Password resets that were asked for: written down alike for every address, answered by a worker.

So the gateway does the same for an address that has an account and for one that has none.
"""

from __future__ import annotations

from collections.abc import Callable

from domain.users_accounts import HOUR_MS, MINUTE_MS, POLICY
from messages.mail import Template
from storage import mail, users, users_accounts, users_events
from storage.database import Connection, Pool
from storage.users import User
from storage.users_accounts import RESET, MailToken

ASK = "insert into users.reset_requests (email_key, at_ms) values (lower($1), $2)"
NEXT = "select request_id, email_key from users.reset_requests order by request_id limit $1"
TAKE = "delete from users.reset_requests where request_id = $1 returning true"
AT_ONCE = 20

Generate = Callable[[], tuple[str, bytes]]


async def ask(connection: Connection | Pool, email: str, at_ms: int) -> None:
    """Somebody wishes to choose a new password for the account of this address, if it has one."""
    await connection.execute(ASK, email, at_ms)


async def answer_some(pool: Pool, generate: Generate, clock_ms: Callable[[], int]) -> int:
    """Write to the owners of what was asked for first, each in its transaction; how many.

    generate: a fresh token and its digest.
    """
    asked = await pool.fetch(NEXT, AT_ONCE)
    for row in asked:
        owner = await users.find_by_email(pool, row["email_key"])
        async with pool.acquire() as connection, connection.transaction():
            if owner is not None:
                await users_events.lock(connection, owner.user_id)
            if await connection.fetchval(TAKE, row["request_id"]) and owner is not None:
                await _answer(connection, owner.user_id, generate, clock_ms())
    return len(asked)


async def _answer(connection: Connection, user_id: str, generate: Generate, at_ms: int) -> None:
    owner = await users.get_user(connection, user_id)
    if owner is None or owner.email is None or await _has_many(connection, owner, at_ms):
        return
    token, token_hash = generate()
    expires_at_ms = at_ms + POLICY.reset_ms
    await users_accounts.put_token(
        connection, MailToken(token_hash, user_id, RESET, expires_at_ms), at_ms
    )
    minutes = POLICY.reset_ms // MINUTE_MS
    await mail.queue(
        connection,
        to=owner.email,
        template=Template.PASSWORD_RESET,
        locale=owner.locale,
        params={"username": owner.username, "token": token, "minutes": minutes},
        at_ms=at_ms,
        user_id=user_id,
        expires_at_ms=expires_at_ms,
    )


async def _has_many(connection: Connection, owner: User, at_ms: int) -> bool:
    assert owner.email is not None
    since_ms = at_ms - HOUR_MS
    written = await mail.count_since(connection, owner.email, Template.PASSWORD_RESET, since_ms)
    return written >= POLICY.letters_an_hour
