"""What the tests of the ledger share."""

from __future__ import annotations

from domain.ledger import Verdict
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, account, transfer
from storage import ledger
from storage.database import Pool

AT = 1_767_225_600_000
ANN, BEN, CAT = (account("user", name, "available", "VIBES") for name in ("ann", "ben", "cat"))
ISSUE = account("outside", "treasury", "issue", "VIBES")
APPLIED, DUPLICATE, INSUFFICIENT = Verdict.APPLIED, Verdict.DUPLICATE, Verdict.INSUFFICIENT


def move(key: str, source: str, target: str, amount: int) -> LedgerTransaction:
    """A transfer with a key made of a word."""
    return transfer(derive_key(key), source, target, amount, cause=f"test:{key}", purpose="test")


async def post(pool: Pool, *transactions: LedgerTransaction) -> list[Verdict]:
    """Post a batch in a transaction of its own."""
    async with pool.acquire() as connection, connection.transaction():
        return await ledger.post(connection, transactions, AT)


async def left(pool: Pool, *codes: str) -> list[int]:
    """The balances of accounts, in a ledger that verifies."""
    async with pool.acquire() as connection:
        found = await ledger.balances(connection, codes)
        assert await ledger.verify(connection) == []
    return [found[code] for code in codes]
