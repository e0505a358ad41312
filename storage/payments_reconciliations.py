"""Comparisons with providers' books: how far each is, and their reports. Differences have a file
of their own (`payments_differences.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from messages.payments.gateways import GatewayName
from messages.payments.reconciliations import Movement, Report, Run
from messages.payments.records import EntryKind, ProviderEntry
from storage.database import Connection, Pool
from storage.rows import execute_rows

Shown = TypeVar("Shown", Run, Report)

_RUN = """run_id::text, gateway, since_ms, until_ms, asked_by, asked_at_ms, state, started_at_ms,
    ended_at_ms, entries, charges, after, totals::text, failures, error"""
ASK = """
insert into payments.reconciliation_runs
    (run_id, gateway, since_ms, until_ms, asked_by, asked_at_ms)
values ($1, $2, $3, $4, $5, $6) on conflict do nothing"""
RUN = f"select {_RUN} from payments.reconciliation_runs where run_id = $1"  # noqa: S608 - constants
NEXT = f"""
select {_RUN} from payments.reconciliation_runs
where state not in ('done', 'failed') and gateway = any($1::text[]) and not_before_ms <= $2
order by asked_at_ms, run_id limit 1"""  # noqa: S608 - constants
BEGIN = """
update payments.reconciliation_runs
set state = 'reading', entries = 0, started_at_ms = coalesce(started_at_ms, $2)
where run_id = $1 and state in ('waiting', 'reading')"""
COUNT_ENTRIES = """
update payments.reconciliation_runs set entries = entries + $2
where run_id = $1 and state = 'reading'"""
COMPARE = """
update payments.reconciliation_runs set state = 'comparing'
where run_id = $1 and state = 'reading'"""
ADVANCE = """
update payments.reconciliation_runs
set after = $3, charges = charges + $4, totals = $5::text::jsonb
where run_id = $1 and state = 'comparing' and after = $2 returning true"""
FAIL = """
update payments.reconciliation_runs
set failures = failures + 1, error = $2, not_before_ms = $3,
    state = case when failures + 1 >= $4 then 'failed' else state end,
    ended_at_ms = case when failures + 1 >= $4 then $5::bigint end
where run_id = $1 and state not in ('done', 'failed')"""
FINISH = """
with ended as (
    update payments.reconciliation_runs set state = 'done', ended_at_ms = $2
    where run_id = $1 and state = 'comparing' returning *
)
insert into payments.reconciliations
    (run_id, gateway, since_ms, until_ms, asked_by, entries, charges, totals, counts,
     started_at_ms, duration_ms, at_ms)
select r.run_id, r.gateway, r.since_ms, r.until_ms, r.asked_by, r.entries, r.charges, r.totals,
    coalesce((
        select jsonb_object_agg(k.kind, k.number) from (
            select d.kind, count(*) as number
            from payments.run_differences f join payments.differences d using (difference_id)
            where f.run_id = r.run_id group by d.kind
        ) k
    ), '{}'), r.started_at_ms, $2 - r.started_at_ms, $2
from ended r"""
KEEP_ENTRIES = """
insert into payments.provider_entries
    (gateway, ref, kind, charge_ref, amount_minor, currency, fee_minor, our_id, at_ms, run_id,
     read_at_ms)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::text[],
    $7::numeric[], $8::text[], $9::bigint[], $10::uuid[], $11::bigint[])
on conflict do nothing"""
# Payouts have an owner of their own and are no charges of a payer's.
CHARGES = """
select charge_ref from (
    (select distinct charge_ref from payments.provider_entries
     where gateway = $1 and at_ms >= $2 and at_ms < $3 and charge_ref > $4
        and kind not in ('payout', 'payout-failed')
     order by charge_ref limit $5)
    union
    (select distinct charge_ref from payments.movements
     where gateway = $1 and seen_at_ms >= $2 and seen_at_ms < $3 and charge_ref > $4
     order by charge_ref limit $5)
    union
    (select distinct charge_ref from payments.differences
     where gateway = $1 and state = 'open' and charge_ref > $4
     order by charge_ref limit $5)
) c order by charge_ref limit $5"""
OURS = """
select m.charge_ref, m.payment_id::text, m.kind, m.ref, m.status, m.amount_minor::text,
    p.currency, m.seen_at_ms as at_ms
from payments.movements m join payments.payments p using (payment_id)
where m.gateway = $1 and m.charge_ref = any($2::text[])"""
THEIRS = """
select ref, kind, charge_ref, amount_minor::text, currency, fee_minor::text, our_id, at_ms
from payments.provider_entries where gateway = $1 and charge_ref = any($2::text[])"""
KNOWN = """
select c.ref, c.payment_id::text from payments.charges c
where c.gateway = $1 and c.ref = any($2::text[])"""
NAMED = "select payment_id::text from payments.payments where payment_id = any($1::uuid[])"
_REPORT = """run_id::text, gateway, since_ms, until_ms, asked_by, entries, charges, totals::text,
    counts::text, started_at_ms, duration_ms, at_ms"""
REPORT = f"select {_REPORT} from payments.reconciliations where run_id = $1"  # noqa: S608
REPORTS = f"""
select {_REPORT} from payments.reconciliations
where (at_ms, run_id) < ($1, $2) and ($4::text is null or gateway = $4)
order by at_ms desc, run_id desc limit $3"""  # noqa: S608 - constants
FIRST_CALL = "select min(made_at_ms) from payments.calls where gateway = $1"
LAST_DAY = """
select max(until_ms) from payments.reconciliation_runs where gateway = $1 and asked_by = $2"""
COSTS = """
select sum(fee_minor)::text from payments.provider_entries e
join payments.charges c on c.gateway = e.gateway and c.ref = e.charge_ref
where c.payment_id = $1"""
_STANDS = {"capture": ("captured",), "refund": ("succeeded",), "dispute": ("open", "lost")}


async def ask(connection: Connection | Pool, run: Run) -> None:
    """Have a comparison made; one that was asked for before stays as it is."""
    await connection.execute(
        ASK, run.run_id, run.gateway.value, run.since_ms, run.until_ms, run.asked_by,
        run.asked_at_ms,
    )  # fmt: skip


async def find(connection: Connection | Pool, run_id: str) -> Run | None:
    """A comparison as it is."""
    row = await connection.fetchrow(RUN, run_id)
    return _run(row) if row else None


async def next_run(pool: Pool, gateways: Sequence[GatewayName], now_ms: int) -> Run | None:
    """The comparison that has waited longest, whether or not it was begun."""
    row = await pool.fetchrow(NEXT, [one.value for one in gateways], now_ms)
    return _run(row) if row else None


async def begin(pool: Pool, run_id: str, now_ms: int) -> None:
    """Begin to read, from the start if it was begun before: what is kept already stays."""
    await pool.execute(BEGIN, run_id, now_ms)


async def keep_entries(pool: Pool, run: Run, entries: Sequence[ProviderEntry], now_ms: int) -> None:
    """Keep a page of a provider's books."""
    rows: list[tuple[object, ...]] = [
        (run.gateway.value, e.ref, e.kind.value, e.charge_ref, e.amount_minor, e.currency,
         e.fee_minor, e.our_id, e.at_ms, run.run_id, now_ms)
        for e in entries
    ]  # fmt: skip
    async with pool.acquire() as connection, connection.transaction():
        await execute_rows(connection, KEEP_ENTRIES, rows)
        await connection.execute(COUNT_ENTRIES, run.run_id, len(rows))


async def begin_comparing(pool: Pool, run_id: str) -> None:
    """All was read."""
    await pool.execute(COMPARE, run_id)


async def charges(pool: Pool, run: Run, limit: int) -> list[str]:
    """The next charges that something happened to in the period, or that differ since before."""
    rows = await pool.fetch(
        CHARGES, run.gateway.value, run.since_ms, run.until_ms, run.after, limit
    )
    return [row["charge_ref"] for row in rows]


async def ours(pool: Pool, gateway: GatewayName, refs: Sequence[str]) -> list[Movement]:
    """What we know of charges, all of it."""
    rows = await pool.fetch(OURS, gateway.value, list(refs))
    return [
        _movement(row)
        for row in rows
        if row["status"] in _STANDS[row["kind"]] or row["status"] == "pending"
    ]


async def theirs(pool: Pool, gateway: GatewayName, refs: Sequence[str]) -> list[ProviderEntry]:
    """What was read of charges, all of it."""
    rows = await pool.fetch(THEIRS, gateway.value, list(refs))
    return [msgspec.convert(dict(row), ProviderEntry, strict=False) for row in rows]


async def owners(
    pool: Pool, gateway: GatewayName, refs: Sequence[str], named: Mapping[str, str]
) -> dict[str, str]:
    """The payments that charges belong to. `named`: what the provider says of a charge."""
    wanted = sorted({payment_id for payment_id in named.values() if payment_id})
    exist = {row["payment_id"] for row in await pool.fetch(NAMED, wanted)}
    found = {ref: payment_id for ref, payment_id in named.items() if payment_id in exist}
    rows = await pool.fetch(KNOWN, gateway.value, list(refs))
    return found | {row["ref"]: row["payment_id"] for row in rows}


async def advance(
    connection: Connection, run: Run, after: str, number: int, totals: Mapping[str, list[int]]
) -> bool:
    """Note that charges were compared; False if somebody else did."""
    text = json.dumps({name: [str(one) for one in sums] for name, sums in totals.items()})
    return bool(await connection.fetchval(ADVANCE, run.run_id, run.after, after, number, text))


async def fail(
    pool: Pool, run_id: str, error: str, again_at_ms: int, most: int, now_ms: int
) -> None:
    """Note that a comparison broke off: it goes on later, but not for ever."""
    await pool.execute(FAIL, run_id, error[:200], again_at_ms, most, now_ms)


async def finish(pool: Pool, run_id: str, now_ms: int) -> None:
    """Write the report, once."""
    await pool.execute(FINISH, run_id, now_ms)


async def report(pool: Pool | Connection, run_id: str) -> Report | None:
    """The report of a comparison that ended."""
    row = await pool.fetchrow(REPORT, run_id)
    return _report(row) if row else None


async def reports(
    pool: Pool, before: tuple[int, str], limit: int, gateway: GatewayName | None = None
) -> list[Report]:
    """Reports before a cursor, newest first."""
    rows = await pool.fetch(REPORTS, *before, limit, gateway and gateway.value)
    return [_report(row) for row in rows]


async def days_begin(pool: Pool, gateway: GatewayName, asked_by: str) -> int | None:
    """From when on the daily comparison is due: after its last, else from our first call on."""
    last: int | None = await pool.fetchval(LAST_DAY, gateway.value, asked_by)
    if last is not None:
        return last
    first: int | None = await pool.fetchval(FIRST_CALL, gateway.value)
    return first


async def cost(pool: Pool, payment_id: str) -> int | None:
    """What providers kept of a payment by their own books; None if they were not read yet."""
    found = await pool.fetchval(COSTS, payment_id)
    return int(found) if found is not None else None


def _movement(row: object) -> Movement:
    fields = dict(row)  # type: ignore[call-overload]
    status = fields.pop("status")
    sign = 1 if fields["kind"] == EntryKind.CAPTURE.value else -1
    amount = sign * int(fields.pop("amount_minor"))
    return msgspec.convert(
        {**fields, "amount_minor": amount, "pending": status == "pending"}, Movement
    )


def _run(row: object) -> Run:
    return _with_json(row, Run, "totals")


def _report(row: object) -> Report:
    return _with_json(row, Report, "totals", "counts")


def _with_json(row: object, kind: type[Shown], *names: str) -> Shown:
    fields = dict(row)  # type: ignore[call-overload]
    fields |= {name: json.loads(fields[name]) for name in names}
    return msgspec.convert(fields, kind, strict=False)
