"""The whole story of a payment, from every table that keeps a part of it, in one order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from messages.keys import derive_key
from storage.database import Pool

MAX_LINES = 5_000
MAX_MOVES = 2_000  # of money, of one payment
CHUNK = 100

_PARTS = """
    select created_at_ms as at_ms, 0 as place, 'command' as kind, 'StartPayment' as name,
        jsonb_build_object('payer_id', payer_id, 'purpose', purpose, 'amount_minor',
            amount_minor::text, 'currency', currency, 'method', method, 'gateway', gateway,
            'subject', subject, 'verdict', verdict, 'score', score, 'reasons', reasons) as detail
    from payments.payments where payment_id = $1
    union all
    select at_ms, 1, 'decision', type, detail || jsonb_build_object('by', by, 'number', number)
    from payments.decisions where payment_id = $1
    union all
    select made_at_ms, 2, 'call', kind, jsonb_build_object('call_id', call_id, 'gateway', gateway,
        'key', key, 'tries', tries, 'due_at_ms', due_at_ms)
    from payments.calls where payment_id = $1
    union all
    select started_at_ms, 3, 'exchange', kind, jsonb_build_object('exchange_id', exchange_id,
        'gateway', gateway, 'call_id', call_id, 'source', source, 'tries', tries, 'key', key,
        'method', method, 'path', path, 'request', request, 'status', status, 'answer', answer,
        'request_ref', request_ref, 'duration_ms', duration_ms, 'outcome', outcome,
        'error', error)
    from payments.exchanges where payment_id = $1
    union all
    select ended_at_ms, 4, 'call-ended', kind, jsonb_build_object('call_id', call_id, 'code', code)
    from payments.calls where payment_id = $1 and ended_at_ms is not null
    union all
    select w.taken_at_ms, 5, 'webhook', w.type, jsonb_build_object('gateway', w.gateway,
        'event_id', w.event_id, 'at_ms', w.at_ms, 'state', w.state, 'handled_at_ms',
        w.handled_at_ms)
    from payments.charges c join payments.webhooks w on w.gateway = c.gateway and w.ref = c.ref
    where c.payment_id = $1
    union all
    select seen_at_ms, 6, 'movement', kind, jsonb_build_object('gateway', gateway, 'charge_ref',
        charge_ref, 'ref', ref, 'amount_minor', amount_minor::text, 'status', status,
        'told_at_ms', told_at_ms)
    from payments.movements where payment_id = $1
    union all
    select at_ms, 7, 'transition', status, jsonb_build_object('number', number, 'before',
        status_before, 'received_minor', received_minor::text, 'returned_minor',
        returned_minor::text, 'failure', failure)
    from payments.transitions where payment_id = $1
    union all
    select t.at_ms, 8, 'ledger', t.purpose, jsonb_build_object('transaction_id', t.id, 'postings', (
        select jsonb_agg(jsonb_build_object('account', a.code, 'amount_minor', p.amount::text)
            order by p.line)
        from ledger.postings p join ledger.accounts a on a.id = p.account_id
        where p.transaction_id = t.id))
    from ledger.transactions t where t.key = any($2::bytea[])
    union all
    select e.at_ms, 9, 'provider-entry', e.kind, jsonb_build_object('gateway', e.gateway, 'ref',
        e.ref, 'amount_minor', e.amount_minor::text, 'currency', e.currency, 'fee_minor',
        e.fee_minor::text, 'read_at_ms', e.read_at_ms)
    from payments.charges c
    join payments.provider_entries e on e.gateway = c.gateway and e.charge_ref = c.ref
    where c.payment_id = $1
    union all
    select d.found_at_ms, 10, 'difference', d.kind, jsonb_build_object('difference_id',
        d.difference_id, 'run_id', d.run_id, 'entry_kind', d.entry_kind, 'state', d.state,
        'ours_minor', d.ours_minor::text, 'theirs_minor', d.theirs_minor::text)
    from payments.charges c
    join payments.differences d on d.gateway = c.gateway and d.charge_ref = c.ref
    where c.payment_id = $1"""
OF_PAYMENT = f"""
select at_ms, kind, name, detail::text from ({_PARTS}) h order by at_ms, place limit $3"""  # noqa: S608
MOVES = """
select greatest(
    (select max(number) from payments.transitions where payment_id = $1),
    (select max(number) from payments.decisions where payment_id = $1)
)"""
PAYMENTS = """
select payment_id::text, created_at_ms from payments.payments
where created_at_ms >= $1 and created_at_ms < $2 and (created_at_ms, payment_id) > ($3, $4)
order by created_at_ms, payment_id limit $5"""


class HistoryLine(msgspec.Struct, frozen=True):
    """Something that happened about a payment. `detail`: as its table has it, nothing secret."""

    at_ms: int
    kind: str
    name: str
    detail: dict[str, Any]


async def of_payment(pool: Pool, payment_id: str) -> list[HistoryLine]:
    """All that is kept of a payment, in the order in which it happened; empty if there is none."""
    last = await pool.fetchval(MOVES, payment_id) or 0
    keys = [
        derive_key("payment-move", payment_id, number) for number in range(min(last + 1, MAX_MOVES))
    ]
    rows = await pool.fetch(OF_PAYMENT, payment_id, keys, MAX_LINES)
    return [
        HistoryLine(row["at_ms"], row["kind"], row["name"], json.loads(row["detail"]))
        for row in rows
    ]


async def export(pool: Pool, since_ms: int, until_ms: int) -> AsyncIterator[bytes]:
    """The lines of every payment that was begun in [since_ms, until_ms), as NDJSON, by payment."""
    after = (0, "00000000-0000-0000-0000-000000000000")
    while True:
        found = await pool.fetch(PAYMENTS, since_ms, until_ms, *after, CHUNK)
        for row in found:
            for line in await of_payment(pool, row["payment_id"]):
                told = {"payment_id": row["payment_id"], **msgspec.structs.asdict(line)}
                yield msgspec.json.encode(told) + b"\n"
        if len(found) < CHUNK:
            return
        after = (found[-1]["created_at_ms"], found[-1]["payment_id"])
