"""The double-entry ledger in PostgreSQL: post, read, verify.

Every movement of value goes through `post`. What must never be wrong is kept by the database itself
(`migrations/ledger/`): a program that forgets a rule gets an error, not a wrong balance.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import asyncpg
import msgspec

from domain.ledger import (
    Difference,
    Verdict,
    check_batch,
    currency_held,
    key_reused,
    settle,
)
from messages.ledger import LedgerTransaction, Posting
from storage.database import Connection
from storage.rows import integers

LOCK = "select * from ledger.lock_for_posting($1::text[], $2::bytea[])"

# Numbers travel as the text of their arrays: amounts are exact in it, and it costs least.
APPEND = """
with header as (
    insert into ledger.transactions (id, key, cause, purpose, lines, at_ms)
    select id, key, cause, purpose, lines, $6::bigint
    from unnest($1::text::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text::smallint[])
        as t (id, key, cause, purpose, lines)
)
insert into ledger.postings (transaction_id, line, account_id, amount)
select transaction_id, line, account_id, amount
from unnest($7::text::bigint[], $8::text::smallint[], $9::text::bigint[], $10::text::numeric[])
    as p (transaction_id, line, account_id, amount)"""

CONTENT = """
select t.key, t.cause, t.purpose,
    array_agg(a.code order by p.line) as codes,
    array_agg(p.amount::text order by p.line) as amounts
from ledger.transactions t
join ledger.postings p on p.transaction_id = t.id
join ledger.accounts a on a.id = p.account_id
where t.key = any($1::bytea[])
group by t.id"""

BALANCES = "select code, balance::text from ledger.accounts where code = any($1::text[])"

# From the balance of now back: what came after the page is subtracted, read from the index alone.
# (The account as a scalar, not a join: only so the index gives the lines in order.)
STATEMENT = """
with account as materialized (select id, balance from ledger.accounts where code = $1),
newer as materialized (
    select coalesce(sum(amount), 0) as amount from ledger.postings
    where account_id = (select id from account)
        and (transaction_id, line) >= ($2::bigint, $3::smallint)
),
page as (
    select transaction_id, line, amount from ledger.postings
    where account_id = (select id from account)
        and (transaction_id, line) < ($2::bigint, $3::smallint)
    order by transaction_id desc, line desc
    limit $4
)
select transaction_id, page.line, page.amount::text, t.key, t.cause, t.purpose, t.at_ms,
    (account.balance - newer.amount - coalesce(sum(page.amount) over (
        order by transaction_id desc, page.line desc
        rows between unbounded preceding and 1 preceding
    ), 0))::text as balance
from page join ledger.transactions t on t.id = page.transaction_id
    cross join account cross join newer
order by transaction_id desc, page.line desc"""

# Each yields (subject, expected, found). One snapshot for all; the server sorts and spills to disk.
VERIFY = {
    "balance": """
        select a.code, coalesce(s.amount, 0)::text, a.balance::text
        from ledger.accounts a left join (
            select account_id, sum(amount) as amount from ledger.postings group by account_id
        ) s on s.account_id = a.id
        where a.balance <> coalesce(s.amount, 0)""",
    "negative": """
        select code, '0', balance::text from ledger.accounts
        where balance < 0 and not starts_with(code, 'outside:')""",
    "unbalanced": """
        select p.transaction_id || ' ' || a.currency, '0', sum(p.amount)::text
        from ledger.postings p join ledger.accounts a on a.id = p.account_id
        group by p.transaction_id, a.currency having sum(p.amount) <> 0""",
    "currency": """
        select currency, '0', sum(balance)::text from ledger.accounts
        group by currency having sum(balance) <> 0""",
    "incomplete": """
        select t.id::text, t.lines::text, coalesce(p.lines, 0)::text
        from ledger.transactions t left join (
            select transaction_id, count(*) as lines from ledger.postings group by transaction_id
        ) p on p.transaction_id = t.id
        where t.lines <> coalesce(p.lines, 0)""",
    "orphan": """
        select p.transaction_id || ' line ' || p.line || ', no transaction', '0', p.amount::text
        from ledger.postings p
        where not exists (select from ledger.transactions t where t.id = p.transaction_id)
        union all
        select p.transaction_id || ' line ' || p.line || ', no account', '0', p.amount::text
        from ledger.postings p
        where not exists (select from ledger.accounts a where a.id = p.account_id)""",
    "account": """
        select code, '0', '1' from ledger.accounts
        where currency <> split_part(code, '/', 2)
            or may_be_negative <> starts_with(code, 'outside:')""",
}
VERIFY_TIMEOUT_S = 86_400
VERIFY_PREFETCH = 1_000
MAX_DIFFERENCES = 1_000  # of one kind; more of them say no more

MAX_STATEMENT_LINES = 500
NEWEST = (2**63 - 1, 2**15 - 1)


async def post(
    connection: Connection,
    transactions: Sequence[LedgerTransaction],
    at_ms: int,
    *,
    together: bool = False,
) -> list[Verdict]:
    """Post a batch in the caller's transaction (READ COMMITTED); a verdict for each, in order.

    The outcome is that of posting them one after the other; `together`: they are all applied if
    all together leave no account below zero, whatever their order. Accounts open by themselves and
    stay locked until the caller's transaction ends. Batches of concurrent transactions cannot
    deadlock, as long as a transaction posts once, or calls `lock` first.

    Raises:
        MalformedTransaction: a rule is broken that no balance could mend. No statement was sent.
        AmountTooLarge: a balance would outgrow 38 digits. Nothing was written.
        IdempotencyKeyReused: a key was posted before with other content. Roll back.
    """
    assert connection.is_in_transaction(), "postings belong into the transaction of their cause"
    check_batch(transactions)
    if not transactions:
        return []
    accounts, known, new_ids = await _lock(connection, transactions)
    if known:
        await _check_content(connection, known, transactions)
    balances = {code: held.balance_minor for code, held in accounts.items()}
    verdicts = settle(balances, transactions, known, together=together).verdicts
    applied = [
        (new_id, transaction)
        for new_id, transaction, verdict in zip(new_ids, transactions, verdicts, strict=True)
        if verdict is Verdict.APPLIED
    ]
    if applied:
        await _append(connection, applied, accounts, at_ms)
    return verdicts


async def lock(connection: Connection, codes: Collection[str]) -> None:
    """Open and lock accounts ahead of several calls of `post` in one transaction.

    Raises BadAccountCode or UnknownCurrency.
    """
    for code in codes:
        currency_held(code)
    await connection.fetchrow(LOCK, list(set(codes)), [])


class _Locked(NamedTuple):
    account_id: int
    balance_minor: int


async def _lock(
    connection: Connection, transactions: Sequence[LedgerTransaction]
) -> tuple[dict[str, _Locked], frozenset[bytes], list[int]]:
    codes = {posting.account for transaction in transactions for posting in transaction.postings}
    keys = [transaction.key for transaction in transactions]
    row = await connection.fetchrow(LOCK, list(codes), keys)
    assert row is not None
    balances = map(int, row["balances"])
    locked = map(_Locked, row["account_ids"], balances)
    accounts = dict(zip(row["locked_codes"], locked, strict=True))
    assert len(accounts) == len(codes), "an account vanished while it was being opened"
    return accounts, frozenset(row["known_keys"] or ()), row["new_ids"]


async def _check_content(
    connection: Connection, known: Collection[bytes], transactions: Sequence[LedgerTransaction]
) -> None:
    rows = await connection.fetch(CONTENT, list(known))
    recorded = {row["key"]: _recorded(row) for row in rows}
    for transaction in transactions:
        if recorded.get(transaction.key, transaction) != transaction:
            raise key_reused(transaction.key)


def _recorded(row: asyncpg.Record) -> LedgerTransaction:
    postings = map(Posting, row["codes"], map(int, row["amounts"]))
    return LedgerTransaction(row["key"], row["cause"], row["purpose"], tuple(postings))


async def _append(
    connection: Connection,
    applied: Sequence[tuple[int, LedgerTransaction]],
    accounts: dict[str, _Locked],
    at_ms: int,
) -> None:
    headers = [transaction for _, transaction in applied]
    lines = [
        (new_id, line, accounts[posting.account].account_id, posting.amount_minor)
        for new_id, transaction in applied
        for line, posting in enumerate(transaction.postings, 1)
    ]
    try:
        await connection.execute(
            APPEND,
            integers([new_id for new_id, _ in applied]),
            [transaction.key for transaction in headers],
            [transaction.cause for transaction in headers],
            [transaction.purpose for transaction in headers],
            integers([len(transaction.postings) for transaction in headers]),
            at_ms,
            *map(integers, zip(*lines, strict=True)),
        )
    except asyncpg.UniqueViolationError as error:
        # Posted elsewhere since we looked, so on other accounts: with other content.
        raise key_reused(_clashing(error, headers)) from error


def _clashing(error: asyncpg.UniqueViolationError, headers: Sequence[LedgerTransaction]) -> bytes:
    """The key that the server names in `Key (key)=(\\\\x0a…) already exists.`"""
    named = (
        transaction.key for transaction in headers if transaction.key.hex() in str(error.detail)
    )
    return next(named, b"")


async def balances(connection: Connection, codes: Collection[str]) -> dict[str, int]:
    """The balance of each account in minor units; 0 for one that was never posted to."""
    rows = await connection.fetch(BALANCES, list(codes))
    return dict.fromkeys(codes, 0) | {row["code"]: int(row["balance"]) for row in rows}


class StatementLine(msgspec.Struct, frozen=True):
    """A posting as its account's owner sees it. `balance_minor` is the account's, just after it."""

    transaction_id: int
    line: int
    key: bytes
    cause: str
    purpose: str
    at_ms: int
    amount_minor: int
    balance_minor: int

    @property
    def position(self) -> tuple[int, int]:
        """What to pass as `after` for the lines that follow this one."""
        return self.transaction_id, self.line


async def statement(
    connection: Connection, code: str, after: tuple[int, int] | None = None, limit: int = 50
) -> list[StatementLine]:
    """An account's postings, newest first, from the one behind the position `after`.

    Costs a page, and an index entry for each posting newer than it. `limit` ends at
    MAX_STATEMENT_LINES.
    """
    lines = min(limit, MAX_STATEMENT_LINES)
    rows = await connection.fetch(STATEMENT, code, *(after or NEWEST), lines)
    return [
        StatementLine(
            transaction_id=row["transaction_id"],
            line=row["line"],
            key=row["key"],
            cause=row["cause"],
            purpose=row["purpose"],
            at_ms=row["at_ms"],
            amount_minor=int(row["amount"]),
            balance_minor=int(row["balance"]),
        )
        for row in rows
    ]


async def verify(connection: Connection) -> list[Difference]:
    """Everything that is wrong with the ledger, on one snapshot of it. Posting goes on meanwhile.

    The connection must not be in a transaction. At most MAX_DIFFERENCES of a kind.
    """
    found: list[Difference] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("set local statement_timeout = 0; set local work_mem = '64MB'")
        for kind, query in VERIFY.items():
            found += await _differences(connection, kind, query)
    return found


async def _differences(connection: Connection, kind: str, query: str) -> list[Difference]:
    found: list[Difference] = []
    cursor = connection.cursor(query, prefetch=VERIFY_PREFETCH, timeout=VERIFY_TIMEOUT_S)
    async for subject, expected, amount in cursor:
        found.append(Difference(kind, subject, int(expected), int(amount)))
        if len(found) == MAX_DIFFERENCES:
            break
    return found
