"""Exchanges with providers: written in batches, never changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from messages.payments.exchanges import Exchange, Occasion
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD = """
insert into payments.exchanges
    (exchange_id, gateway, payment_id, payout_id, call_id, source, kind, tries, key, method, path,
     request, status, answer, request_ref, started_at_ms, duration_ms, outcome, error)
select e.id, e.gateway, nullif(e.payment_id, '')::uuid, nullif(e.payout_id, ''),
    nullif(e.call_id, '')::uuid, e.source, e.kind, e.tries, e.key, e.method, e.path,
    e.request::json, e.status, e.answer::json, e.request_ref, e.started_at_ms, e.duration_ms,
    e.outcome, e.error
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::integer[], $9::text[], $10::text[], $11::text[], $12::text[], $13::smallint[],
        $14::text[], $15::text[], $16::bigint[], $17::integer[], $18::text[], $19::text[])
    as e (id, gateway, payment_id, payout_id, call_id, source, kind, tries, key, method, path,
        request, status, answer, request_ref, started_at_ms, duration_ms, outcome, error)
on conflict (exchange_id) do nothing"""
OF_PAYMENT = """
select exchange_id::text, gateway, coalesce(payment_id::text, '') as payment_id,
    coalesce(payout_id, '') as payout_id, coalesce(call_id::text, '') as call_id, source, kind,
    tries, key, method, path, request::text, status, answer::text, request_ref, started_at_ms,
    duration_ms, outcome, error
from payments.exchanges where payment_id = $1 order by started_at_ms, exchange_id limit $2"""
_OCCASION = Occasion.__struct_fields__


async def add(connection: Connection, exchanges: Sequence[Exchange]) -> None:
    """Keep exchanges; those that are kept already stay as they are."""
    await execute_rows(connection, ADD, [_row(one) for one in exchanges])


async def of_payment(pool: Pool | Connection, payment_id: str, limit: int) -> list[Exchange]:
    """The first exchanges about a payment, in the order in which they began."""
    rows = [dict(row) for row in await pool.fetch(OF_PAYMENT, payment_id, limit)]
    for row in rows:
        row["occasion"] = {name: row.pop(name) for name in _OCCASION}
    return msgspec.convert(rows, list[Exchange], strict=False)


def _row(one: Exchange) -> tuple[object, ...]:
    why = one.occasion
    return (
        one.exchange_id, one.gateway.value, why.payment_id, why.payout_id, why.call_id,
        why.source.value, why.kind, why.tries, one.key, one.method, one.path, one.request,
        one.status, one.answer, one.request_ref, one.started_at_ms, one.duration_ms,
        one.outcome.value, one.error,
    )  # fmt: skip
