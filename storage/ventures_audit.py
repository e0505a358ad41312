"""What the read models of ventures say, beside the ledger."""

from __future__ import annotations

from storage.database import Connection

# Every escrow account, with the sum of the investments that stand in its venture.
ESCROW_DIFFERENCES = """
with said as (
    select 'venture:' || v.venture_id || ':escrow/' || v.currency as code,
        coalesce((select sum(amount_minor) from ventures.investments i
                  where i.venture_id = v.venture_id and i.status = 'open'), 0) as open,
        v.escrow_minor
    from ventures.ventures v
), kept as (
    select code, balance from ledger.accounts where code like 'venture:%:escrow/%'
)
select code, coalesce(said.open, 0)::text, coalesce(said.escrow_minor, 0),
    coalesce(kept.balance, 0)::text
from said full join kept using (code)
where coalesce(said.open, 0) <> coalesce(kept.balance, 0)
    or coalesce(said.escrow_minor, 0) <> coalesce(kept.balance, 0)
order by code limit 1000"""
# What a round says it raised is what its investments are: all of them, but the withdrawn.
RAISED_DIFFERENCES = """
select v.venture_id::text, v.raised_minor, i.raised::text, v.investors, i.investors
from ventures.ventures v, lateral (
    select coalesce(sum(amount_minor), 0) as raised, count(distinct investor_id) as investors
    from ventures.investments i
    where i.venture_id = v.venture_id and i.status <> 'withdrawn'
) i
where v.raised_minor <> i.raised or v.investors <> i.investors
order by v.venture_id limit 1000"""


async def escrow_differences(connection: Connection) -> list[tuple[str, int, int, int]]:
    """(account, open investments, escrow as the venture says, as the ledger has it), differing."""
    rows = await connection.fetch(ESCROW_DIFFERENCES)
    return [(code, int(open_), said, int(kept)) for code, open_, said, kept in rows]


async def raised_differences(
    connection: Connection,
) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """(venture, what it says it raised and of how many, what its investments say), differing."""
    rows = await connection.fetch(RAISED_DIFFERENCES)
    return [(row[0], (row[1], row[3]), (int(row[2]), row[4])) for row in rows]
