"""What the read models of drops say, beside the ledger."""

from __future__ import annotations

from storage.database import Connection

# Every account of tokens, with how many of them the table of tokens says are there.
ACCOUNT_DIFFERENCES = """
with said as (
    select 'user:' || owner_id || ':available/NFT:' || drop_id as code, count(*) as tokens
    from drops.tokens where burned_at_ms is null group by owner_id, drop_id
    union all
    select 'outside:drop:tokens/NFT:' || drop_id, burned - minted from drops.drops
), kept as (
    select code, balance from ledger.accounts where currency like 'NFT:%'
)
select code, coalesce(said.tokens, 0), coalesce(kept.balance, 0)::text
from said full join kept using (code)
where coalesce(said.tokens, 0) <> coalesce(kept.balance, 0)
order by code limit 1000"""
# Numbers are 1 to `minted`, without a gap, and those of returned purchases are burned.
NUMBER_DIFFERENCES = """
select d.drop_id::text, d.minted, d.burned, t.tokens, t.highest, t.burned
from drops.drops d, lateral (
    select count(*) as tokens, coalesce(max(token), 0) as highest,
        count(burned_at_ms) as burned
    from drops.tokens t where t.drop_id = d.drop_id
) t
where (d.minted, d.minted, d.burned) is distinct from (t.tokens, t.highest, t.burned)
order by d.drop_id limit 1000"""


async def account_differences(connection: Connection) -> list[tuple[str, int, int]]:
    """(account, tokens by the table, tokens by the ledger) where the two differ."""
    rows = await connection.fetch(ACCOUNT_DIFFERENCES)
    return [(code, said, int(found)) for code, said, found in rows]


async def token_differences(
    connection: Connection,
) -> list[tuple[str, tuple[int, int], tuple[int, int, int]]]:
    """(drop, (minted, burned), (tokens, highest number, burned tokens)) where they differ."""
    rows = await connection.fetch(NUMBER_DIFFERENCES)
    return [(row[0], (row[1], row[2]), (row[3], row[4], row[5])) for row in rows]
