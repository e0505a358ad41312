"""What the database refuses whoever writes, and that `verify` sees what it could not refuse."""

from __future__ import annotations

import asyncpg
import pytest

from messages.keys import derive_key
from messages.ledger import account
from storage import ledger
from storage.database import Pool
from tests.integration.ledger_support import ANN, BEN, ISSUE, left, move, post

OPEN = "insert into ledger.accounts (code, currency, may_be_negative, balance) values"
LINES = "insert into ledger.postings values"
# A header of two lines and, in the same statement, its lines.
BOTH = (
    "with header as (insert into ledger.transactions values (99, '{key}', 'c', 'p', 2, 0))"
    " insert into ledger.postings values"
)
# What someone tries, how, and what the refusal says.
REFUSED = {
    "update a transaction": ("update ledger.transactions set cause = 'x'", "transactions refuses"),
    "delete a transaction": ("delete from ledger.transactions", "transactions refuses DELETE"),
    "truncate transactions": ("truncate ledger.transactions", "transactions refuses TRUNCATE"),
    "update a posting": (
        "update ledger.postings set amount = 2 * amount",
        "postings refuses UPDATE",
    ),
    "delete a posting": ("delete from ledger.postings", "postings refuses DELETE"),
    "truncate postings": ("truncate ledger.postings", "postings refuses TRUNCATE"),
    "change a balance": ("update ledger.accounts set balance = 1", "accounts refuses UPDATE"),
    "rename an account": ("update ledger.accounts set code = 'x/USD'", "accounts refuses UPDATE"),
    "delete an account": ("delete from ledger.accounts", "accounts refuses DELETE"),
    "truncate accounts": ("truncate ledger.accounts", "accounts refuses TRUNCATE"),
    "open with money": (f"{OPEN} ('u:e:a/VIBES', 'VIBES', false, 5)", "accounts refuses INSERT"),
    "open to owe": (f"{OPEN} ('u:e:a/VIBES', 'VIBES', true, 0)", "accounts_derived"),
    "open in another currency": (f"{OPEN} ('u:e:a/VIBES', 'USD', false, 0)", "accounts_derived"),
    "open in no currency": (f"{OPEN} ('u:e:a', '', false, 0)", "accounts_derived"),
    "post no lines": (
        "insert into ledger.transactions values (99, '{key}', 'cause', 'purpose', 2, 0)",
        "no postings",
    ),
    "post no header": (f"{LINES} (99, 1, {{ann}}, 5), (99, 2, {{ben}}, -5)", "lines 1 to 0 belong"),
    "add lines later": (
        f"{LINES} ({{old}}, 3, {{ann}}, 5), ({{old}}, 4, {{ben}}, -5)",
        "lines 1 to 2 belong",
    ),
    "post too many lines": (
        f"{BOTH} (99, 1, {{ann}}, 5), (99, 2, {{ben}}, -4), (99, 3, {{ben}}, -1)",
        "3 postings where lines 1 to 2 belong",
    ),
    "post a line 0": (f"{BOTH} (99, 0, {{ann}}, 5), (99, 1, {{ben}}, -5)", "postings_line"),
    "make money": (f"{BOTH} (99, 1, {{ann}}, 5), (99, 2, {{ben}}, -4)", "sum to 1 VIBES"),
    "post across currencies": (f"{BOTH} (99, 1, {{issue}}, -5), (99, 2, {{usd}}, 5)", "sum to"),
    "post nothing": (f"{BOTH} (99, 1, {{ann}}, 0), (99, 2, {{ben}}, 0)", "postings_amount"),
    "post NaN": (f"{BOTH} (99, 1, {{ann}}, 'nan'), (99, 2, {{ben}}, 'nan')", "sum to NaN"),
    "post to no account": (f"{BOTH} (99, 1, {{ann}}, 5), (99, 2, 0, -5)", "sum to"),
    "spend too much": (
        f"{BOTH} (99, 1, {{ann}}, -11), (99, 2, {{ben}}, 11)",
        "accounts_not_negative",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_the_database_refuses_to(pool: Pool, what: str) -> None:
    statement, said = REFUSED[what]
    usd = account("user", "ann", "available", "USD")
    bank = account("outside", "bank", "clearing", "USD")
    await post(pool, move("a", ISSUE, ANN, 10), move("b", ISSUE, BEN, 10), move("c", bank, usd, 10))
    async with pool.acquire() as connection:
        rows = await connection.fetch("select code, id from ledger.accounts")
        ids = {row["code"]: row["id"] for row in rows}
        names = {"ann": ids[ANN], "ben": ids[BEN], "issue": ids[ISSUE], "usd": ids[usd]}
        names["old"] = await connection.fetchval("select min(id) from ledger.transactions")
        names["key"] = "\\x" + derive_key("raw").hex()
        with pytest.raises(asyncpg.CheckViolationError, match=said):
            await connection.execute(statement.format(**names))
        assert await left(pool, ANN, BEN, ISSUE, usd) == [10, 10, -20, 10]
        # The same way of writing, with nothing wrong, is let through.
        good = f"{BOTH} (99, 1, {{ann}}, -10), (99, 2, {{ben}}, 10)"
        await connection.execute(good.format(**names))
    assert await left(pool, ANN, BEN, ISSUE, usd) == [0, 20, -20, 10]


CORRUPT = {
    "balance": "update ledger.accounts set balance = balance + 1 where code = '{ann}'",
    "negative": "update ledger.accounts set balance = -1 where code = '{ann}'",
    "unbalanced": "update ledger.postings set amount = amount + 1 where line = 1",
    "currency": "update ledger.accounts set balance = balance + 7 where code = '{issue}'",
    "incomplete": "delete from ledger.postings where line = 1",
    "orphan": "delete from ledger.transactions",
    "account": "update ledger.accounts set may_be_negative = true where code = '{ann}'",
}
FOUND = {
    "balance": {("balance", ANN, 10, 11), ("currency", "VIBES", 0, 1)},
    "negative": {("balance", ANN, 10, -1), ("currency", "VIBES", 0, -11), ("negative", ANN, 0, -1)},
    "unbalanced": {("balance", ISSUE, -9, -10), ("unbalanced", "{one} VIBES", 0, 1)},
    "currency": {("balance", ISSUE, -10, -3), ("currency", "VIBES", 0, 7)},
    "incomplete": {
        *(
            ("balance", ISSUE, 0, -10),
            ("unbalanced", "{one} VIBES", 0, 10),
            ("incomplete", "{one}", 2, 1),
        ),
    },
    "orphan": {
        ("orphan", "{one} line 1, no transaction", 0, -10),
        ("orphan", "{one} line 2, no transaction", 0, 10),
    },
    "account": {("account", ANN, 0, 1)},
}


@pytest.mark.parametrize("kind", CORRUPT)
async def test_verify_finds_each_kind_of_difference(pool: Pool, kind: str) -> None:
    await post(pool, move("a", ISSUE, ANN, 10))
    async with pool.acquire() as connection:
        one = await connection.fetchval("select id from ledger.transactions")
        assert await ledger.verify(connection) == []
        # Triggers sleep in this role; the checks on rows have to go.
        await connection.execute("set session_replication_role = replica")
        await connection.execute(
            "alter table ledger.accounts drop constraint accounts_not_negative,"
            " drop constraint accounts_derived"
        )
        await connection.execute(CORRUPT[kind].format(ann=ANN, issue=ISSUE))
        found = {tuple(difference) for difference in await ledger.verify(connection)}
        assert found == {(k, s.format(one=one), e, f) for k, s, e, f in FOUND[kind]}
        await connection.execute("reset session_replication_role")


async def test_verify_finds_postings_without_an_account(pool: Pool) -> None:
    await post(pool, move("a", ISSUE, ANN, 10))
    async with pool.acquire() as connection:
        one = await connection.fetchval("select id from ledger.transactions")
        await connection.execute("set session_replication_role = replica")
        await connection.execute("delete from ledger.accounts")
        found = await ledger.verify(connection)
        assert {difference.subject for difference in found} == {
            f"{one} line 1, no account",
            f"{one} line 2, no account",
        }
        await connection.execute("reset session_replication_role")
