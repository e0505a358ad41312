"""The queue of outgoing mail: durable, written with what asks for it, sent at least once.

An attempt is a lease, not an open transaction: a transaction held open while a mail server dawdles
would hold back the bus. Whoever dies during an attempt lets the lease lapse, and the letter is sent
again, with the same Message-ID.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from messages.mail import STREAM, Template
from storage.database import Connection, Pool

HOUR_MS = 3_600_000
KEEP_MS = 7 * 24 * HOUR_MS  # who was written to, and when, once it is done
EXPIRES_MS = 48 * HOUR_MS
MAX_ERROR = 500
PURGE_ROWS = 1_000

_COLUMNS = "recipient, recipient_key, user_id, template, locale, params"
QUEUE = f"""
insert into mail.outgoing ({_COLUMNS}, queued_at_ms, due_at_ms, expires_at_ms)
values ($1, lower($1), $2, $3, $4, $5, $6, $6, $7)"""  # noqa: S608 - constants
NOTIFY_USER = f"""
insert into mail.outgoing ({_COLUMNS}, queued_at_ms, due_at_ms, expires_at_ms)
select email, lower(email), user_id, $2, locale, $3, $4, $4, $5 from users.users
where user_id = $1 and email is not null returning true"""  # noqa: S608
WAKE = "select pg_notify('outbox', $1)"
COUNT_SINCE = """
select count(*) from mail.outgoing
where recipient_key = lower($1) and template = $2 and queued_at_ms > $3"""
CLAIM = """
update mail.outgoing o set attempts = attempts + 1, due_at_ms = $2
from (
    select mail_id from mail.outgoing where state = 'waiting' and due_at_ms <= $1
    order by due_at_ms limit $3 for update skip locked) due
where o.mail_id = due.mail_id
returning o.mail_id::text, o.recipient, o.template, o.locale, o.params, o.attempts,
    o.expires_at_ms"""
# The last letter to a deleted account leaves no address behind.
_ERASED = """params = '{}', done_at_ms = $2,
    recipient = case template when 'account-deleted' then '' else recipient end,
    recipient_key = case template when 'account-deleted' then '' else recipient_key end"""
SENT = f"""
update mail.outgoing set state = 'sent', last_error = '', {_ERASED}
where mail_id = $1 and state = 'waiting'"""  # noqa: S608 - constants
GIVE_UP = f"""
update mail.outgoing set state = 'given_up', last_error = $3, {_ERASED}
where mail_id = $1 and state = 'waiting'"""  # noqa: S608
# By the attempt's number: an attempt whose lease has lapsed no longer speaks for the letter.
FAILED = """
update mail.outgoing set due_at_ms = $3, last_error = $4
where mail_id = $1 and attempts = $2 and state = 'waiting'"""
WAITING = """
select count(*), min(queued_at_ms) from mail.outgoing where state = 'waiting'"""
PURGE = """
delete from mail.outgoing where mail_id in (
    select mail_id from mail.outgoing where state <> 'waiting' and done_at_ms < $1
    order by done_at_ms limit $2 for update skip locked)"""


class QueuedMail(msgspec.Struct, frozen=True):
    """A letter under an attempt, the `attempts`-th."""

    mail_id: str
    to: str
    template: Template
    locale: str
    params: dict[str, str | int]
    attempts: int
    expires_at_ms: int


async def queue(
    connection: Connection,
    *,
    to: str,
    template: Template,
    locale: str,
    params: Mapping[str, str | int],
    at_ms: int,
    user_id: str | None = None,
    expires_at_ms: int | None = None,
) -> None:
    """Have a letter sent once the transaction has committed. `locale`: en or es."""
    expires = at_ms + EXPIRES_MS if expires_at_ms is None else expires_at_ms
    text = json.dumps(dict(params))
    await connection.execute(QUEUE, to, user_id, template.value, locale, text, at_ms, expires)
    await connection.execute(WAKE, STREAM)


async def notify(
    connection: Connection,
    user_id: str,
    template: Template,
    params: Mapping[str, str | int],
    at_ms: int,
) -> None:
    """Write to a user, in their language. A user without an address is not written to."""
    text = json.dumps(dict(params))
    queued = await connection.fetchval(
        NOTIFY_USER, user_id, template.value, text, at_ms, at_ms + EXPIRES_MS
    )
    if queued:
        await connection.execute(WAKE, STREAM)


async def count_since(
    connection: Connection | Pool, to: str, template: Template, since_ms: int
) -> int:
    """How many such letters to the address were queued after a moment (at most KEEP_MS ago)."""
    return int(await connection.fetchval(COUNT_SINCE, to, template.value, since_ms))


class MailQueue:
    """The sender's side of the queue, on a pool of the caller's."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[QueuedMail]:
        """Begin an attempt at letters that are due; nobody else begins one within `lease_ms`."""
        rows = await self._pool.fetch(CLAIM, now_ms, now_ms + lease_ms, limit)
        return [
            QueuedMail(
                row["mail_id"],
                row["recipient"],
                Template(row["template"]),
                row["locale"],
                json.loads(row["params"]),
                row["attempts"],
                row["expires_at_ms"],
            )
            for row in rows
        ]

    async def sent(self, mail_id: str, now_ms: int) -> None:
        """The server has taken it; its values are erased."""
        await self._pool.execute(SENT, mail_id, now_ms)

    async def failed(self, mail: QueuedMail, error: str, again_at_ms: int) -> None:
        """This attempt failed; the next may begin at a moment."""
        error = error[:MAX_ERROR]
        await self._pool.execute(FAILED, mail.mail_id, mail.attempts, again_at_ms, error)

    async def give_up(self, mail_id: str, error: str, now_ms: int) -> None:
        """It is never sent; its values are erased."""
        await self._pool.execute(GIVE_UP, mail_id, now_ms, error[:MAX_ERROR])

    async def waiting(self) -> tuple[int, int | None]:
        """How many letters wait, and when the oldest of them was queued."""
        count, oldest = tuple(await self._pool.fetchrow(WAITING) or (0, None))
        return count, oldest

    async def purge(self, now_ms: int) -> int:
        """Forget some letters that were done KEEP_MS ago; how many."""
        done = await self._pool.execute(PURGE, now_ms - KEEP_MS, PURGE_ROWS)
        return int(done.rsplit(" ", 1)[1])
