"""The read models of payouts, written with the facts, and what their owners look up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec

from messages.payments.payments import CallEnded, ReviewDecided
from messages.payments.payout_orders import PayoutProvider
from messages.payments.payouts import (
    PayoutCallMade,
    PayoutCallPostponed,
    PayoutChanged,
    PayoutEvent,
    PayoutRequested,
    PayoutStatus,
)
from storage import audit
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD = """
insert into payments.payouts
    (payout_id, user_id, method_id, provider, status, amount_minor, charged_minor, currency,
     verdict, reasons, created_at_ms, changed_at_ms)
select p.payout_id, p.user_id, p.method_id, p.provider, 'requested', p.amount_minor,
       p.charged_minor, p.currency, p.verdict, string_to_array(p.reasons, ' '), p.at_ms, p.at_ms
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::numeric[], $6::numeric[],
            $7::text[], $8::text[], $9::text[], $10::bigint[])
    as p (payout_id, user_id, method_id, provider, amount_minor, charged_minor, currency, verdict,
          reasons, at_ms)"""
CHANGE = """
update payments.payouts p
set status = c.status, fee_minor = c.fee_minor, owed_minor = c.owed_minor, ref = c.ref,
    failure = c.failure, changed_at_ms = c.at_ms
from unnest($1::uuid[], $2::text[], $3::numeric[], $4::numeric[], $5::text[], $6::text[],
            $7::bigint[])
    as c (payout_id, status, fee_minor, owed_minor, ref, failure, at_ms)
where p.payout_id = c.payout_id"""
ADD_TRANSITIONS = """
insert into payments.payout_transitions
    (payout_id, number, status_before, status, fee_minor, owed_minor, ref, failure, at_ms)
select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::numeric[],
    $6::numeric[], $7::text[], $8::text[], $9::bigint[])"""
ADD_CALLS = """
insert into payments.payout_calls (call_id, payout_id, kind, key, due_at_ms, made_at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])"""
POSTPONE_CALLS = """
update payments.payout_calls c set tries = e.tries, due_at_ms = e.due_at_ms, code = e.code
from unnest($1::uuid[], $2::integer[], $3::bigint[], $4::text[])
    as e (call_id, tries, due_at_ms, code)
where c.call_id = e.call_id"""
END_CALLS = """
update payments.payout_calls c set ended_at_ms = e.at_ms, code = e.code
from unnest($1::uuid[], $2::text[], $3::bigint[]) as e (call_id, code, at_ms)
where c.call_id = e.call_id"""
LOCK_USERS = """
select pg_advisory_xact_lock(hashtextextended('payouts:' || u.user_id, 0))
from (select unnest($1::text[]) as user_id order by 1) u"""
# What failed or came back has not left the balance.
PAID_SINCE = """
select p.user_id::text, p.currency, sum(p.amount_minor)::text as amount_minor
from payments.payouts p
where p.user_id = any($1::uuid[]) and p.created_at_ms > $2
    and p.status not in ('failed', 'returned', 'cancelled')
group by p.user_id, p.currency"""
# Since a day before the last one: whatever the time is, no older one is of this day.
RECENT = """
select p.user_id::text, p.currency, p.created_at_ms, p.amount_minor::text as amount_minor
from payments.payouts p
where p.user_id = any($1::uuid[]) and p.status not in ('failed', 'returned', 'cancelled')
    and p.created_at_ms > $2 * -1 + (
        select max(q.created_at_ms) from payments.payouts q where q.user_id = p.user_id)"""

_COLUMNS = """
    payout_id::text, user_id::text, method_id::text, provider, status, amount_minor::text,
    charged_minor::text, fee_minor::text, owed_minor::text, currency, ref, failure, verdict,
    reasons, created_at_ms, changed_at_ms"""
OF_USER = f"""
select {_COLUMNS} from payments.payouts
where user_id = $1 and (created_at_ms, payout_id) < ($2, $3)
order by created_at_ms desc, payout_id desc limit $4"""  # noqa: S608 - constants
SEARCH = f"""
select {_COLUMNS} from payments.payouts
where (created_at_ms, payout_id) < ($1, $2) and ($4::text is null or status = $4)
    and ($5::uuid is null or user_id = $5)
order by created_at_ms desc, payout_id desc limit $3"""  # noqa: S608 - constants
IS_USERS = "select true from payments.payouts where payout_id = $1 and user_id = $2"
FIND_REF = "select payout_id::text from payments.payouts where provider = $1 and ref = $2"


class PayoutRow(msgspec.Struct, frozen=True):
    """A payout as its last fact left it."""

    payout_id: str
    user_id: str
    method_id: str
    provider: PayoutProvider
    status: PayoutStatus
    amount_minor: int
    charged_minor: int
    fee_minor: int
    owed_minor: int
    currency: str
    ref: str
    failure: str
    verdict: str
    reasons: list[str]
    created_at_ms: int
    changed_at_ms: int


class Placed(NamedTuple):
    """A fact with the payout it is about and its number in the journal."""

    payout_id: str
    number: int
    event: PayoutEvent


class DayLimit(NamedTuple):
    """At most so much in a currency within a day, which began at a moment.

    requests: how many of them are being written.
    """

    most_minor: int
    since_ms: int
    requests: int


class TogetherTooMuchError(Exception):
    """Requests of one batch keep to a limit one by one and not together: they are to be split."""


async def write(connection: Connection, placed: Sequence[Placed]) -> None:
    """Bring the read models up to a batch of facts."""
    added = [_added(p.event) for p in placed if isinstance(p.event, PayoutRequested)]
    await execute_rows(connection, ADD, added)
    for one in placed:
        if isinstance(one.event, ReviewDecided):
            await _audit(connection, one.payout_id, one.event)
    calls = [
        (e.call.call_id, p.payout_id, e.call.kind, e.call.key, e.due_at_ms, e.at_ms)
        for p in placed
        if isinstance(e := p.event, PayoutCallMade)
    ]
    await execute_rows(connection, ADD_CALLS, calls)
    await _write_calls(connection, placed)
    changed = [(p, e) for p in placed if isinstance(e := p.event, PayoutChanged)]
    moved = [
        (p.payout_id, p.number, e.before, e.status, e.fee_minor, e.owed_minor, e.ref, e.failure,
         e.at_ms)
        for p, e in changed
    ]  # fmt: skip
    await execute_rows(connection, ADD_TRANSITIONS, moved)
    last = {
        p.payout_id: (p.payout_id, e.status, e.fee_minor, e.owed_minor, e.ref, e.failure, e.at_ms)
        for p, e in changed
    }
    await execute_rows(connection, CHANGE, list(last.values()))


async def keep_day_limits(connection: Connection, limits: dict[tuple[str, str], DayLimit]) -> None:
    """See to it that payouts of a user that were decided at once keep to the limit together.

    By user and currency. One transaction of a user's passes at a time; raises SerializationError,
    so that the batch is decided again, with what the other one added, or TogetherTooMuchError.
    """
    if not limits:
        return
    users = sorted({user_id for user_id, _ in limits})
    await connection.execute(LOCK_USERS, users)
    found = await paid_since(connection, users, min(one.since_ms for one in limits.values()))
    for key, limit in limits.items():
        if found.get(key, 0) > limit.most_minor:
            if limit.requests > 1:
                raise TogetherTooMuchError
            raise asyncpg.SerializationError("payouts of one user were decided at once")


async def paid_since(
    connection: Connection, users: Iterable[str], since_ms: int
) -> dict[tuple[str, str], int]:
    """What was paid out after a moment, or is to be: minor units by user and currency."""
    rows = await connection.fetch(PAID_SINCE, list(users), since_ms)
    return {(row["user_id"], row["currency"]): int(row["amount_minor"]) for row in rows}


async def recent(
    connection: Connection, users: Iterable[str], day_ms: int
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Moments and amounts of payouts, since a day before a user's last: by user and currency."""
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in await connection.fetch(RECENT, list(users), day_ms):
        place = found.setdefault((row["user_id"], row["currency"]), [])
        place.append((row["created_at_ms"], int(row["amount_minor"])))
    return found


async def of_user(pool: Pool, user_id: str, before: tuple[int, str], limit: int) -> list[PayoutRow]:
    """A user's payouts before a cursor, newest first."""
    return [_row(row) for row in await pool.fetch(OF_USER, user_id, *before, limit)]


async def search(
    pool: Pool,
    before: tuple[int, str],
    limit: int,
    status: PayoutStatus | None = None,
    user_id: str | None = None,
) -> list[PayoutRow]:
    """Payouts before a cursor, newest first, of a status or a user if given."""
    rows = await pool.fetch(SEARCH, *before, limit, status and status.value, user_id)
    return [_row(row) for row in rows]


async def is_users(pool: Pool, payout_id: str, user_id: str) -> bool:
    """Whether there is such a payout of that user's."""
    return bool(await pool.fetchval(IS_USERS, payout_id, user_id))


async def find_ref(pool: Pool, provider: PayoutProvider, ref: str) -> str | None:
    """The payout that a provider knows by that id."""
    found: str | None = await pool.fetchval(FIND_REF, provider.value, ref)
    return found


async def _write_calls(connection: Connection, placed: Sequence[Placed]) -> None:
    postponed: dict[str, tuple[object, ...]] = {}
    ended: dict[str, tuple[object, ...]] = {}
    for one in placed:
        event = one.event
        if isinstance(event, PayoutCallPostponed):
            row = (event.call_id, event.tries, event.due_at_ms, event.code)
            postponed[event.call_id] = row
        elif isinstance(event, CallEnded):
            ended[event.call_id] = (event.call_id, event.code, event.at_ms)
    await execute_rows(connection, POSTPONE_CALLS, list(postponed.values()))
    await execute_rows(connection, END_CALLS, list(ended.values()))


async def _audit(connection: Connection, payout_id: str, event: ReviewDecided) -> None:
    """Who let a payout go, or ended it, and why."""
    await audit.record(
        connection,
        "payout.allowed" if event.allow else "payout.denied",
        actor=event.by,
        subject=f"payout:{payout_id}",
        at_ms=event.at_ms,
        detail={"reason": event.reason},
    )


def _added(event: PayoutRequested) -> tuple[object, ...]:
    asked, found = event.asked, event.assessment
    return (
        event.payout_id, asked.user_id, asked.method_id, event.provider, asked.amount_minor,
        event.charged_minor, asked.currency, found.verdict, " ".join(found.reasons), event.at_ms,
    )  # fmt: skip


def _row(row: Any) -> PayoutRow:
    return msgspec.convert(dict(row), PayoutRow, strict=False)
