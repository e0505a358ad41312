"""Where providers' books and ours differ: each difference once, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from messages.keys import derive_id
from messages.payments.gateways import GatewayName
from messages.payments.reconciliations import (
    Difference,
    DifferenceNotFound,
    DifferenceSettled,
    DifferenceState,
    KeptDifference,
    Run,
)
from storage import audit
from storage.database import Connection, Pool
from storage.rows import execute_rows

KEEP = """
insert into payments.differences
    (difference_id, run_id, gateway, kind, entry_kind, charge_ref, payment_id, ref, ours_minor,
     our_currency, theirs_minor, their_currency, at_ms, found_at_ms)
select d.id, d.run_id, d.gateway, d.kind, d.entry_kind, d.charge_ref,
    nullif(d.payment_id, '')::uuid, d.ref, d.ours, d.our_currency, d.theirs, d.their_currency,
    d.at_ms, d.found_at_ms
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::numeric[], $10::text[], $11::numeric[], $12::text[], $13::bigint[],
        $14::bigint[])
    as d (id, run_id, gateway, kind, entry_kind, charge_ref, payment_id, ref, ours, our_currency,
        theirs, their_currency, at_ms, found_at_ms)
on conflict (difference_id) do nothing"""
LINK = """
insert into payments.run_differences (run_id, difference_id)
select $1, d.difference_id from payments.differences d
where d.difference_id = any($2::uuid[]) and (d.state = 'open' or d.run_id = $1)
on conflict do nothing"""
# What was over and is there again is open again, unless a person explained it.
REOPEN = """
with again as (
    update payments.differences set state = 'open'
    where difference_id = any($1::uuid[]) and state in ('healed', 'resolved')
        and run_id <> $3
    returning difference_id
)
insert into payments.difference_moves (difference_id, state, by, reason, at_ms)
select difference_id, 'open', 'platform', 'found again', $2 from again"""
# Open ones of these charges that are there no more.
CLOSE = """
with gone as (
    update payments.differences d
    set state = case when exists (
            select from payments.run_differences f
            where f.run_id = $4 and f.difference_id = d.difference_id
        ) then 'healed' else 'resolved' end
    where d.gateway = $1 and d.charge_ref = any($2::text[]) and d.state = 'open'
        and d.difference_id <> all($3::uuid[])
    returning d.difference_id, d.state
)
insert into payments.difference_moves (difference_id, state, by, reason, at_ms)
select difference_id, state, 'platform',
    case state when 'healed' then 'the payment''s owner was told' else 'there no more' end, $5
from gone"""
_COLUMNS = """d.difference_id::text, d.run_id::text, d.gateway, d.kind, d.entry_kind, d.charge_ref,
    d.ref, coalesce(d.payment_id::text, '') as payment_id, d.at_ms, d.ours_minor::text,
    d.our_currency, d.theirs_minor::text, d.their_currency, d.found_at_ms, d.state"""
OF_RUN = f"""
select {_COLUMNS}
from payments.run_differences f join payments.differences d using (difference_id)
where f.run_id = $1 and (d.found_at_ms, d.difference_id) > ($2, $3)
order by d.found_at_ms, d.difference_id limit $4"""  # noqa: S608 - constants
SEARCH = f"""
select {_COLUMNS} from payments.differences d
where (d.found_at_ms, d.difference_id) < ($1, $2) and ($4::text is null or d.state = $4)
order by d.found_at_ms desc, d.difference_id desc limit $3"""  # noqa: S608 - constants
FIND = f"""
select {_COLUMNS} from payments.differences d
where d.difference_id = $1 for update"""  # noqa: S608 - constants
SETTLE = "update payments.differences set state = $2 where difference_id = $1"
MOVE = """
insert into payments.difference_moves (difference_id, state, by, reason, at_ms)
values ($1, $2, $3, $4, $5)"""
COUNT_OPEN = """
select gateway, count(*) as number from payments.differences where state = 'open'
group by gateway"""
_FOUND = Difference.__struct_fields__


def difference_id(gateway: GatewayName, one: Difference) -> str:
    """The same for the same difference, however often it is found."""
    return derive_id(
        "difference", gateway.value, one.charge_ref, one.kind.value, one.entry_kind.value, one.ref,
        one.ours_minor, one.our_currency, one.theirs_minor, one.their_currency,
    )  # fmt: skip


async def keep(connection: Connection, run: Run, found: Sequence[Difference], at_ms: int) -> None:
    """Keep what a comparison found, each once."""
    rows: dict[str, tuple[object, ...]] = {}
    for one in found:
        key = difference_id(run.gateway, one)
        rows[key] = (
            key, run.run_id, run.gateway.value, one.kind.value, one.entry_kind.value,
            one.charge_ref, one.payment_id, one.ref, one.ours_minor, one.our_currency,
            one.theirs_minor, one.their_currency, one.at_ms, at_ms,
        )  # fmt: skip
    if rows:
        await execute_rows(connection, KEEP, list(rows.values()))
        await connection.execute(REOPEN, list(rows), at_ms, run.run_id)
        await connection.execute(LINK, run.run_id, list(rows))


async def close_gone(
    connection: Connection,
    run: Run,
    refs: Sequence[str],
    still: Sequence[Difference],
    at_ms: int,
) -> None:
    """Close the open differences of charges that are not among those that there are still."""
    ids = [difference_id(run.gateway, one) for one in still]
    await connection.execute(CLOSE, run.gateway.value, list(refs), ids, run.run_id, at_ms)


async def explain(
    connection: Connection, wanted: str, by: str, reason: str, at_ms: int
) -> KeptDifference:
    """Close a difference by a person's word. Raises DifferenceNotFound or DifferenceSettled."""
    row = await connection.fetchrow(FIND, wanted)
    if row is None:
        raise DifferenceNotFound
    kept = _kept(row)
    if kept.state is not DifferenceState.OPEN:
        raise DifferenceSettled(state=kept.state.value)
    state = DifferenceState.EXPLAINED
    await connection.execute(SETTLE, wanted, state.value)
    await connection.execute(MOVE, wanted, state.value, by, reason, at_ms)
    await audit.record(
        connection,
        "payment-difference.explained",
        actor=by,
        subject=f"payment-difference:{wanted}",
        at_ms=at_ms,
        detail={"reason": reason},
    )
    return msgspec.structs.replace(kept, state=state)


async def of_run(
    pool: Pool | Connection, run_id: str, after: tuple[int, str], limit: int
) -> list[KeptDifference]:
    """What a comparison found, oldest first, after a cursor."""
    return [_kept(row) for row in await pool.fetch(OF_RUN, run_id, *after, limit)]


async def search(
    pool: Pool, before: tuple[int, str], limit: int, state: DifferenceState | None = None
) -> list[KeptDifference]:
    """Differences before a cursor, newest first, of a state if one is given."""
    rows = await pool.fetch(SEARCH, *before, limit, state and state.value)
    return [_kept(row) for row in rows]


async def count_open(pool: Pool) -> dict[str, int]:
    """How many are open, by provider."""
    return {row["gateway"]: row["number"] for row in await pool.fetch(COUNT_OPEN)}


def _kept(row: object) -> KeptDifference:
    fields = dict(row)  # type: ignore[call-overload]
    found = {name: fields.pop(name) for name in _FOUND}
    return msgspec.convert({**fields, "found": found}, KeptDifference, strict=False)
