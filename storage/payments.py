"""The read models of payments, written in the transaction of the facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from messages.payments.gateways import GatewayName
from messages.payments.payments import (
    CallEnded,
    CallMade,
    CallPostponed,
    PaymentChanged,
    PaymentEvent,
    PaymentStarted,
    PaymentStatus,
    SnapshotSeen,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD = """
insert into payments.payments
    (payment_id, payer_id, purpose, status, amount_minor, currency, method, gateway, subject,
     verdict, score, reasons, created_at_ms, changed_at_ms)
select p.payment_id, p.payer_id, p.purpose, 'pending', p.amount_minor, p.currency, p.method,
       p.gateway, p.subject, p.verdict, p.score, string_to_array(p.reasons, ' '), p.at_ms, p.at_ms
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::numeric[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::integer[], $11::text[], $12::bigint[])
    as p (payment_id, payer_id, purpose, amount_minor, currency, method, gateway, subject, verdict,
          score, reasons, at_ms)"""
CHANGE = """
update payments.payments p
set status = c.status, received_minor = c.received_minor, returned_minor = c.returned_minor,
    failure = c.failure, changed_at_ms = c.at_ms
from unnest($1::uuid[], $2::text[], $3::numeric[], $4::numeric[], $5::text[], $6::bigint[])
    as c (payment_id, status, received_minor, returned_minor, failure, at_ms)
where p.payment_id = c.payment_id"""
ADD_TRANSITIONS = """
insert into payments.transitions
    (payment_id, number, status_before, status, received_minor, returned_minor, failure, at_ms)
select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::numeric[],
    $6::numeric[], $7::text[], $8::bigint[])"""
ADD_CHARGES = """
insert into payments.charges (gateway, ref, payment_id, attempt)
select * from unnest($1::text[], $2::text[], $3::uuid[], $4::integer[])
on conflict do nothing"""
ADD_CALLS = """
insert into payments.calls (call_id, payment_id, kind, gateway, key, due_at_ms, made_at_ms)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[],
    $7::bigint[])
on conflict (call_id) do update set due_at_ms = excluded.due_at_ms, ended_at_ms = null"""
POSTPONE_CALLS = """
update payments.calls c set tries = e.tries, due_at_ms = e.due_at_ms, code = e.code
from unnest($1::uuid[], $2::integer[], $3::bigint[], $4::text[])
    as e (call_id, tries, due_at_ms, code)
where c.call_id = e.call_id"""
END_CALLS = """
update payments.calls c set ended_at_ms = e.at_ms, code = e.code
from unnest($1::uuid[], $2::text[], $3::bigint[]) as e (call_id, code, at_ms)
where c.call_id = e.call_id"""

_COLUMNS = """
    payment_id::text, payer_id::text, purpose, status, amount_minor::text, currency, method,
    gateway, received_minor::text, returned_minor::text, subject, failure, verdict, score, reasons,
    created_at_ms, changed_at_ms"""
OF_PAYER = f"""
select {_COLUMNS} from payments.payments
where payer_id = $1 and (created_at_ms, payment_id) < ($2, $3)
order by created_at_ms desc, payment_id desc limit $4"""  # noqa: S608 - constants
SEARCH = f"""
select {_COLUMNS} from payments.payments
where (created_at_ms, payment_id) < ($1, $2) and ($4::text is null or status = $4)
    and ($5::uuid is null or payer_id = $5)
order by created_at_ms desc, payment_id desc limit $3"""  # noqa: S608 - constants
FIND_CHARGE = "select payment_id::text from payments.charges where gateway = $1 and ref = $2"
TRANSITIONS = """
select number, status_before, status, received_minor::text, returned_minor::text, failure, at_ms
from payments.transitions where payment_id = $1 order by number"""
OF_USER = "select true from payments.payments where payment_id = $1 and payer_id = $2"


class PaymentRow(msgspec.Struct, frozen=True):
    """A payment as its last fact left it."""

    payment_id: str
    payer_id: str
    purpose: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    method: str
    gateway: GatewayName
    received_minor: int
    returned_minor: int
    subject: str
    failure: str
    verdict: str
    score: int
    reasons: list[str]
    created_at_ms: int
    changed_at_ms: int


class Transition(msgspec.Struct, frozen=True):
    """A move of a payment."""

    number: int
    status_before: PaymentStatus
    status: PaymentStatus
    received_minor: int
    returned_minor: int
    failure: str
    at_ms: int


class Placed(NamedTuple):
    """A fact with the payment it is about and its number in the journal."""

    payment_id: str
    number: int
    event: PaymentEvent


async def write(connection: Connection, placed: Sequence[Placed]) -> None:
    """Bring the read models up to a batch of facts."""
    await execute_rows(connection, ADD, [_started(p.event) for p in placed if _is_start(p)])
    calls = [
        (
            e.call.call_id,
            p.payment_id,
            e.call.kind,
            e.call.gateway,
            e.call.key,
            e.due_at_ms,
            e.at_ms,
        )
        for p in placed
        if isinstance(e := p.event, CallMade)
    ]
    # The same call may be made again, after it ended, in one batch: the last counts.
    await execute_rows(connection, ADD_CALLS, list({row[0]: row for row in calls}.values()))
    await _write_calls(connection, placed)
    seen = [
        (e.gateway, e.snapshot.ref, p.payment_id, e.number)
        for p in placed
        if isinstance(e := p.event, SnapshotSeen)
    ]
    await execute_rows(connection, ADD_CHARGES, list(dict.fromkeys(seen)))
    changed = [(p, e) for p in placed if isinstance(e := p.event, PaymentChanged)]
    transitions = [
        (p.payment_id, p.number, e.before, e.status, e.received_minor, e.returned_minor, e.failure,
         e.at_ms)
        for p, e in changed
    ]  # fmt: skip
    await execute_rows(connection, ADD_TRANSITIONS, transitions)
    last = {
        p.payment_id: (p.payment_id, e.status, e.received_minor, e.returned_minor, e.failure,
                       e.at_ms)
        for p, e in changed
    }  # fmt: skip
    await execute_rows(connection, CHANGE, list(last.values()))


async def of_payer(
    pool: Pool, payer_id: str, before: tuple[int, str], limit: int
) -> list[PaymentRow]:
    """A payer's payments before a cursor, newest first."""
    return [_row(row) for row in await pool.fetch(OF_PAYER, payer_id, *before, limit)]


async def search(
    pool: Pool,
    before: tuple[int, str],
    limit: int,
    status: PaymentStatus | None = None,
    payer_id: str | None = None,
) -> list[PaymentRow]:
    """Payments before a cursor, newest first, of a status or a payer if given."""
    rows = await pool.fetch(SEARCH, *before, limit, status and status.value, payer_id)
    return [_row(row) for row in rows]


async def find_charge(connection: Connection | Pool, gateway: GatewayName, ref: str) -> str | None:
    """The payment that a provider's charge belongs to."""
    found: str | None = await connection.fetchval(FIND_CHARGE, gateway.value, ref)
    return found


async def transitions(pool: Pool, payment_id: str) -> list[Transition]:
    """All moves of a payment, in order."""
    rows = await pool.fetch(TRANSITIONS, payment_id)
    return [msgspec.convert(dict(row), Transition, strict=False) for row in rows]


async def is_payers(pool: Pool, payment_id: str, user_id: str) -> bool:
    """Whether there is such a payment of that payer's."""
    return bool(await pool.fetchval(OF_USER, payment_id, user_id))


async def _write_calls(connection: Connection, placed: Sequence[Placed]) -> None:
    postponed: dict[str, tuple[object, ...]] = {}
    ended: dict[str, tuple[object, ...]] = {}
    for one in placed:
        event = one.event
        if isinstance(event, CallPostponed):
            row = (event.call_id, event.tries, event.due_at_ms, event.code)
            postponed[event.call_id] = row
        elif isinstance(event, CallEnded):
            ended[event.call_id] = (event.call_id, event.code, event.at_ms)
        elif isinstance(event, CallMade):
            ended.pop(event.call.call_id, None)
    await execute_rows(connection, POSTPONE_CALLS, list(postponed.values()))
    await execute_rows(connection, END_CALLS, list(ended.values()))


def _is_start(placed: Placed) -> bool:
    return isinstance(placed.event, PaymentStarted)


def _started(event: PaymentEvent) -> tuple[object, ...]:
    assert isinstance(event, PaymentStarted), "asked before"
    asked, found = event.asked, event.asked.assessment
    return (
        event.payment_id, asked.payer_id, asked.purpose, asked.amount_minor, asked.currency,
        asked.method, asked.gateways[0], asked.subject, found.verdict, found.score,
        " ".join(found.reasons), event.at_ms,
    )  # fmt: skip


def _row(row: object) -> PaymentRow:
    return msgspec.convert(dict(row), PaymentRow, strict=False)  # type: ignore[call-overload]
