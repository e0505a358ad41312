"""The ledger on PostgreSQL: what posting does and what it answers."""

from __future__ import annotations

import pytest

from domain.ledger import capture, held_account, hold
from messages.errors import IdempotencyKeyReused
from messages.keys import derive_key
from messages.ledger import (
    BadAccountCode,
    LedgerTransaction,
    MalformedTransaction,
    Posting,
    account,
    transfer,
)
from storage import ledger
from storage.database import Pool
from storage.ledger import StatementLine
from tests.integration.ledger_support import (
    ANN,
    APPLIED,
    AT,
    BEN,
    CAT,
    DUPLICATE,
    INSUFFICIENT,
    ISSUE,
    left,
    move,
    post,
)


async def test_a_batch_has_the_outcome_of_one_after_the_other(pool: Pool) -> None:
    verdicts = await post(
        pool,
        move("early", ANN, BEN, 10),
        move("fund", ISSUE, ANN, 10),
        move("pay", ANN, BEN, 7),
        move("too much", ANN, BEN, 4),
        move("pay", ANN, BEN, 7),
        move("pass on", BEN, CAT, 7),
    )
    assert verdicts == [INSUFFICIENT, APPLIED, APPLIED, INSUFFICIENT, DUPLICATE, APPLIED]
    assert await left(pool, ANN, BEN, CAT, ISSUE) == [3, 0, 7, -10]


async def test_a_retry_changes_nothing_and_a_refused_one_may_come_again(pool: Pool) -> None:
    first = [move("fund", ISSUE, ANN, 10), move("pay", ANN, BEN, 10), move("again", ANN, BEN, 5)]
    assert await post(pool, *first) == [APPLIED, APPLIED, INSUFFICIENT]
    assert await post(pool, *first) == [DUPLICATE, DUPLICATE, INSUFFICIENT]
    assert await post(pool, move("more", ISSUE, ANN, 5), *first[2:]) == [APPLIED, APPLIED]
    assert await left(pool, ANN, BEN, ISSUE) == [0, 15, -15]


async def test_a_duplicate_is_not_counted_on(pool: Pool) -> None:
    funded = move("fund", ISSUE, ANN, 10)
    assert await post(pool, funded, move("spend", ANN, BEN, 10)) == [APPLIED, APPLIED]
    assert await post(pool, funded, move("spend more", ANN, BEN, 10)) == [DUPLICATE, INSUFFICIENT]


async def test_nothing_is_left_of_a_transaction_that_rolls_back(pool: Pool) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await ledger.post(connection, [move("a", ISSUE, ANN, 5)], AT) == [APPLIED]
        assert await ledger.balances(connection, [ANN]) == {ANN: 5}
        await transaction.rollback()
        assert await connection.fetchval("select count(*) from ledger.accounts") == 0
    assert await post(pool, move("a", ISSUE, ANN, 5)) == [APPLIED]
    assert await left(pool, ANN) == [5]


async def test_money_of_18_digits_and_shares_move_in_one_transaction(pool: Pool) -> None:
    eth = account("user", "ann", "available", "ETH")
    shares = account("user", "ben", "available", "SHARE:0197-song")
    outside = [account("outside", "chain", "clearing", c) for c in ("ETH", "SHARE:0197-song")]
    million = 10**24
    funds = [
        transfer(derive_key(1), outside[0], eth, million, cause="t", purpose="wallet-top-up"),
        transfer(derive_key(2), outside[1], shares, 100, cause="t", purpose="issue"),
    ]
    bought = (
        *(Posting(eth, -million), Posting(account("user", "ben", "available", "ETH"), million)),
        *(
            Posting(shares, -30),
            Posting(account("user", "ann", "available", "SHARE:0197-song"), 30),
        ),
    )
    trade = LedgerTransaction(derive_key(3), "trade:1", "share-purchase", bought)
    again = LedgerTransaction(derive_key(4), "trade:2", "share-purchase", bought)
    assert await post(pool, *funds, trade, again) == [APPLIED, APPLIED, APPLIED, INSUFFICIENT]
    codes = [posting.account for posting in bought]
    assert await left(pool, *codes) == [0, million, 70, 30]


async def test_what_is_held_cannot_be_spent(pool: Pool) -> None:
    await post(pool, move("fund", ISSUE, ANN, 10), hold(derive_key("h"), ANN, 8, cause="order:1"))
    sale = capture(derive_key("c"), ANN, BEN, 5, cause="trade:1", purpose="sale", released_minor=3)
    assert await post(pool, move("spend", ANN, BEN, 3), sale) == [INSUFFICIENT, APPLIED]
    assert await left(pool, ANN, held_account(ANN), BEN) == [5, 0, 5]


async def test_a_key_with_other_content_is_refused_before_anything_is_written(pool: Pool) -> None:
    await post(pool, move("a", ISSUE, ANN, 5))
    other = [move("a", ISSUE, ANN, 6), move("a", ISSUE, BEN, 5), move("a", ANN, ISSUE, 5)]
    retold = LedgerTransaction(derive_key("a"), "test:b", "test", move("a", ISSUE, ANN, 5).postings)
    async with pool.acquire() as connection, connection.transaction():
        for changed in (*other, retold):
            with pytest.raises(IdempotencyKeyReused):
                await ledger.post(connection, [move("b", ISSUE, BEN, 1), changed], AT)
        # No statement failed: the caller may leave the offender out and go on.
        assert await ledger.post(connection, [move("b", ISSUE, BEN, 1)], AT) == [APPLIED]
    assert await left(pool, ANN, BEN) == [5, 1]


async def test_a_malformed_transaction_sends_no_statement(pool: Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        lines = (Posting("user:ann/VIBES", -5), Posting(BEN, 5))
        with pytest.raises(BadAccountCode):
            await ledger.post(connection, [LedgerTransaction(bytes(16), "t", "t", lines)], AT)
        with pytest.raises(MalformedTransaction):
            await ledger.post(connection, [move("a", ISSUE, ANN, 5)] * 2_001, AT)
        assert await ledger.post(connection, [], AT) == []
        assert await connection.fetchval("select count(*) from ledger.accounts") == 0


async def test_posting_belongs_into_a_transaction(pool: Pool) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(AssertionError):
            await ledger.post(connection, [move("a", ISSUE, ANN, 5)], AT)


async def test_unknown_accounts_are_empty(pool: Pool) -> None:
    async with pool.acquire() as connection:
        assert await ledger.balances(connection, [ANN, BEN]) == {ANN: 0, BEN: 0}
        assert await ledger.balances(connection, []) == {}
        assert await ledger.statement(connection, ANN) == []


async def test_a_statement_is_read_page_by_page(pool: Pool) -> None:
    twice = LedgerTransaction(
        derive_key("twice"),
        "test:twice",
        "test",
        (Posting(ISSUE, -5), Posting(ANN, 2), Posting(BEN, 0 + 1), Posting(ANN, 2)),
    )
    batch = [move(f"fund {n}", ISSUE, ANN, n) for n in range(1, 6)]
    await post(pool, *batch, twice, move("pay", ANN, BEN, 4))
    async with pool.acquire() as connection:
        whole = await ledger.statement(connection, ANN)
        paged: list[StatementLine] = []
        while page := await ledger.statement(
            connection, ANN, after=paged[-1].position if paged else None, limit=3
        ):
            paged += page
    assert paged == whole
    assert [(line.amount_minor, line.balance_minor) for line in whole] == [
        *((-4, 15), (2, 19), (2, 17)),
        *((5, 15), (4, 10), (3, 6), (2, 3), (1, 1)),
    ]
    assert whole[0].cause == "test:pay"
    assert whole[0].key == derive_key("pay")
    assert (whole[0].purpose, whole[0].at_ms) == ("test", AT)
