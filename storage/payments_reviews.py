"""The queue of payments on hold: who looks at which, and what they wrote down."""

from __future__ import annotations

import msgspec

from storage import audit
from storage.database import Connection, Pool

_COLUMNS = """
    p.payment_id::text, p.payer_id::text, p.purpose, p.method, p.amount_minor::text, p.currency,
    p.score, p.reasons, p.created_at_ms, u.username, u.created_at_ms as registered_at_ms,
    (select count(*) from payments.payments o where o.payer_id = p.payer_id
     and o.status in ('completed', 'partially_refunded', 'refunded')) as completed,
    (select count(*) from payments.payments o where o.payer_id = p.payer_id
     and o.status = 'disputed') as disputed,
    (select count(*) from payments.payments o where o.payer_id = p.payer_id
     and o.failure = 'denied') as denied,
    c.reviewer_id::text as claimed_by, c.expires_at_ms as claimed_until_ms
from payments.payments p
left join users.users u on u.user_id = p.payer_id
left join payments.review_claims c on c.payment_id = p.payment_id and c.expires_at_ms > $1"""
OLDEST = f"""
select {_COLUMNS}
where p.status = 'on_hold' and (p.created_at_ms, p.payment_id) > ($2, $3)
    and ($5::boolean is null or (c.payment_id is not null) = $5)
order by p.created_at_ms, p.payment_id limit $4"""
GET = f"select {_COLUMNS} where p.payment_id = $2 and p.status = 'on_hold'"
CLAIM = """
insert into payments.review_claims as c (payment_id, reviewer_id, claimed_at_ms, expires_at_ms)
select payment_id, $2, $3, $4 from payments.payments where payment_id = $1 and status = 'on_hold'
on conflict (payment_id) do update
set reviewer_id = excluded.reviewer_id, claimed_at_ms = excluded.claimed_at_ms,
    expires_at_ms = excluded.expires_at_ms
where c.reviewer_id = excluded.reviewer_id or c.expires_at_ms <= $3
returning true"""
RELEASE = """
delete from payments.review_claims where payment_id = $1 and reviewer_id = $2 returning true"""
CLAIMED_BY = """
select reviewer_id::text from payments.review_claims where payment_id = $1 and expires_at_ms > $2"""
NOTE = """
insert into payments.review_notes (note_id, payment_id, author_id, text, at_ms)
values ($1, $2, $3, $4, $5)"""
NOTES = """
select note_id::text, author_id::text, text, at_ms from payments.review_notes
where payment_id = $1 order by at_ms, note_id"""
CLOSE = "delete from payments.review_claims where payment_id = $1"


class ReviewRow(msgspec.Struct, frozen=True):
    """A payment on hold, with what is known of its payer.

    completed, disputed, denied: counts of all their payments.
    """

    payment_id: str
    payer_id: str
    purpose: str
    method: str
    amount_minor: int
    currency: str
    score: int
    reasons: list[str]
    created_at_ms: int
    username: str | None
    registered_at_ms: int | None
    completed: int
    disputed: int
    denied: int
    claimed_by: str | None
    claimed_until_ms: int | None


class Note(msgspec.Struct, frozen=True):
    """What a reviewer wrote down."""

    note_id: str
    author_id: str
    text: str
    at_ms: int


async def oldest(
    pool: Pool, now_ms: int, after: tuple[int, str], limit: int, claimed: bool | None
) -> list[ReviewRow]:
    """Payments on hold after a cursor, oldest first; with a claim or without, if asked for."""
    return [_row(row) for row in await pool.fetch(OLDEST, now_ms, *after, limit, claimed)]


async def get(connection: Connection | Pool, now_ms: int, payment_id: str) -> ReviewRow | None:
    """A payment, if it is on hold."""
    row = await connection.fetchrow(GET, now_ms, payment_id)
    return None if row is None else _row(row)


async def claim(
    connection: Connection, payment_id: str, reviewer_id: str, now_ms: int, until_ms: int
) -> bool:
    """Have a payment on hold be a reviewer's until a moment; False if it is another's, or none."""
    if not await connection.fetchval(CLAIM, payment_id, reviewer_id, now_ms, until_ms):
        return False
    await _audit(connection, "payment-review.claimed", reviewer_id, payment_id, now_ms)
    return True


async def release(connection: Connection, payment_id: str, reviewer_id: str, now_ms: int) -> bool:
    """Give a claim back; False if there is none of that reviewer's."""
    if not await connection.fetchval(RELEASE, payment_id, reviewer_id):
        return False
    await _audit(connection, "payment-review.released", reviewer_id, payment_id, now_ms)
    return True


async def claimed_by(pool: Pool, payment_id: str, now_ms: int) -> str | None:
    """The reviewer whose a payment is now."""
    found: str | None = await pool.fetchval(CLAIMED_BY, payment_id, now_ms)
    return found


async def add_note(connection: Connection, payment_id: str, note: Note) -> None:
    """Keep what a reviewer wrote down."""
    await connection.execute(NOTE, note.note_id, payment_id, note.author_id, note.text, note.at_ms)
    await _audit(connection, "payment-review.noted", note.author_id, payment_id, note.at_ms)


async def notes(pool: Pool, payment_id: str) -> list[Note]:
    """All notes about a payment, oldest first."""
    return [Note(**row) for row in await pool.fetch(NOTES, payment_id)]


async def close(connection: Connection, payment_id: str) -> None:
    """A review is decided: nobody has to look any more."""
    await connection.execute(CLOSE, payment_id)


async def _audit(
    connection: Connection, action: str, actor: str, payment_id: str, at_ms: int
) -> None:
    subject = f"payment:{payment_id}"
    await audit.record(connection, action, actor=actor, subject=subject, at_ms=at_ms)


def _row(row: object) -> ReviewRow:
    return msgspec.convert(dict(row), ReviewRow, strict=False)  # type: ignore[call-overload]
