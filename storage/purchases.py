"""The read models of purchases, written in the transaction of the facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from messages.payments.payments import Purpose
from messages.purchases.purchases import (
    Outcome,
    PurchaseChanged,
    PurchaseEvent,
    PurchaseStarted,
    PurchaseStatus,
    StepDone,
    StepRefused,
    StepWanted,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD = """
insert into purchases.purchases
    (purchase_id, buyer_id, purpose, subject_id, status, amount_minor, currency, quantity,
     is_paid_in, created_at_ms, changed_at_ms)
select p.purchase_id, p.buyer_id, p.purpose, p.subject_id, 'new', p.amount_minor, p.currency,
       p.quantity, p.is_paid_in, p.at_ms, p.at_ms
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::numeric[], $6::text[],
            $7::bigint[], $8::boolean[], $9::bigint[])
    as p (purchase_id, buyer_id, purpose, subject_id, amount_minor, currency, quantity, is_paid_in,
          at_ms)"""
CHANGE = """
update purchases.purchases p
set status = c.status, returned_minor = c.returned_minor, failure = c.failure,
    changed_at_ms = c.at_ms
from unnest($1::uuid[], $2::text[], $3::numeric[], $4::text[], $5::bigint[])
    as c (purchase_id, status, returned_minor, failure, at_ms)
where p.purchase_id = c.purchase_id"""
ADD_STEPS = """
insert into purchases.steps (purchase_id, number, step, outcome, code, at_ms)
select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])"""

_COLUMNS = """
    purchase_id::text, buyer_id::text, purpose, subject_id, status, amount_minor::text, currency,
    quantity, is_paid_in, returned_minor::text, failure, created_at_ms, changed_at_ms"""
OF_BUYER = f"""
select {_COLUMNS} from purchases.purchases
where buyer_id = $1 and (created_at_ms, purchase_id) < ($2, $3)
order by created_at_ms desc, purchase_id desc limit $4"""  # noqa: S608 - constants
SEARCH = f"""
select {_COLUMNS} from purchases.purchases
where (created_at_ms, purchase_id) < ($1, $2) and ($4::text is null or status = $4)
    and ($5::uuid is null or buyer_id = $5) and ($6::text is null or subject_id = $6)
order by created_at_ms desc, purchase_id desc limit $3"""  # noqa: S608 - constants
STEPS = """
select step, outcome, code, at_ms from purchases.steps where purchase_id = $1
order by number"""
IS_BUYERS = "select true from purchases.purchases where purchase_id = $1 and buyer_id = $2"


class PurchaseRow(msgspec.Struct, frozen=True):
    """A purchase as its last fact left it."""

    purchase_id: str
    buyer_id: str
    purpose: Purpose
    subject_id: str
    status: PurchaseStatus
    amount_minor: int
    currency: str
    quantity: int
    is_paid_in: bool
    returned_minor: int
    failure: str
    created_at_ms: int
    changed_at_ms: int


class StepRow(msgspec.Struct, frozen=True):
    """What a purchase had somebody asked for, or what came of it."""

    step: str
    outcome: Outcome
    code: str
    at_ms: int


class Placed(NamedTuple):
    """A fact with the purchase it is about and its number in the journal."""

    purchase_id: str
    number: int
    event: PurchaseEvent


async def write(connection: Connection, placed: Sequence[Placed]) -> None:
    """Bring the read models up to a batch of facts."""
    started = [_started(e) for p in placed if isinstance(e := p.event, PurchaseStarted)]
    await execute_rows(connection, ADD, started)
    steps = [row for p in placed if (row := _step(p)) is not None]
    await execute_rows(connection, ADD_STEPS, steps)
    last = {
        e.purchase_id: (e.purchase_id, e.status, e.returned_minor, e.failure, e.at_ms)
        for p in placed
        if isinstance(e := p.event, PurchaseChanged)
    }
    await execute_rows(connection, CHANGE, list(last.values()))


async def of_buyer(
    pool: Pool, buyer_id: str, before: tuple[int, str], limit: int
) -> list[PurchaseRow]:
    """A buyer's purchases before a cursor, newest first."""
    return [_row(row) for row in await pool.fetch(OF_BUYER, buyer_id, *before, limit)]


async def search(
    pool: Pool,
    before: tuple[int, str],
    limit: int,
    *,
    status: PurchaseStatus | None = None,
    buyer_id: str | None = None,
    subject_id: str | None = None,
) -> list[PurchaseRow]:
    """Purchases before a cursor, newest first; of a status, a buyer, a subject if given."""
    rows = await pool.fetch(SEARCH, *before, limit, status and status.value, buyer_id, subject_id)
    return [_row(row) for row in rows]


async def steps(pool: Pool, purchase_id: str) -> list[StepRow]:
    """All that a purchase had somebody asked for, in order."""
    rows = await pool.fetch(STEPS, purchase_id)
    return [msgspec.convert(dict(row), StepRow) for row in rows]


async def is_buyers(pool: Pool, purchase_id: str, user_id: str) -> bool:
    """Whether there is such a purchase of that buyer's."""
    return bool(await pool.fetchval(IS_BUYERS, purchase_id, user_id))


def _started(event: PurchaseStarted) -> tuple[object, ...]:
    asked = event.asked
    return (
        event.purchase_id, asked.buyer_id, asked.purpose, asked.subject_id, asked.amount_minor,
        asked.currency, asked.quantity, asked.payment is not None, event.at_ms,
    )  # fmt: skip


def _step(placed: Placed) -> tuple[object, ...] | None:
    event = placed.event
    code = ""
    if isinstance(event, StepWanted):
        outcome = Outcome.WANTED
    elif isinstance(event, StepDone):
        outcome = Outcome.DONE
    elif isinstance(event, StepRefused):
        outcome, code = Outcome.REFUSED, event.code
    else:
        return None
    return (placed.purchase_id, placed.number, event.step, outcome, code, event.at_ms)


def _row(row: object) -> PurchaseRow:
    return msgspec.convert(dict(row), PurchaseRow, strict=False)  # type: ignore[call-overload]
