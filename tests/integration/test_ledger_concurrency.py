"""Batches of several connections at once: as if one after the other, and without deadlock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from domain.ledger import Verdict
from messages.errors import IdempotencyKeyReused
from messages.keys import derive_key
from messages.ledger import BadAccountCode, LedgerTransaction, account
from storage import ledger
from storage.database import Connection, Pool
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

BLOCKED = """
select count(*) from pg_stat_activity
where wait_event_type = 'Lock' and datname = current_database()"""


async def until_one_waits(pool: Pool) -> None:
    """Until a connection waits for a lock that another holds."""
    while await pool.fetchval(BLOCKED) == 0:  # noqa: ASYNC110 (the event is in the server)
        await asyncio.sleep(0.005)


async def until_waits_for(pool: Pool, waiter: Connection, holder: Connection) -> None:
    """Until the one waits for the other's locks."""
    pids = waiter.get_server_pid(), holder.get_server_pid()
    waits = "select $2::int = any(pg_blocking_pids($1))"
    while not await pool.fetchval(waits, *pids):  # noqa: ASYNC110 (the event is in the server)
        await asyncio.sleep(0.005)


async def test_a_retry_that_overtakes_waits_for_the_first(pool: Pool) -> None:
    """The caller gave up on a batch that is still under way, and sends it again elsewhere."""
    batch = [move("fund", ISSUE, ANN, 10), move("pay", ANN, BEN, 4)]
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await ledger.post(connection, batch, AT) == [APPLIED, APPLIED]
        retry = asyncio.create_task(post(pool, *batch))
        await until_one_waits(pool)
        await transaction.commit()
    assert await retry == [DUPLICATE, DUPLICATE]
    assert await left(pool, ANN, BEN) == [6, 4]


async def test_a_retry_is_applied_if_the_first_rolls_back(pool: Pool) -> None:
    await post(pool, move("open", ISSUE, ANN, 10))
    batch = [move("fund", ISSUE, CAT, 10), move("pay", ANN, BEN, 4)]
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await ledger.post(connection, batch, AT) == [APPLIED, APPLIED]
        retry = asyncio.create_task(post(pool, *batch))
        await until_one_waits(pool)
        await transaction.rollback()
    assert await retry == [APPLIED, APPLIED]
    assert await left(pool, ANN, BEN, CAT) == [6, 4, 10]


async def test_one_key_for_two_things_at_once_is_refused(pool: Pool) -> None:
    await post(pool, move("open", ISSUE, ANN, 10), move("open too", ISSUE, BEN, 10))
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await ledger.post(
            connection, [move("k", ANN, account("user", "x", "held", "VIBES"), 1)], AT
        )
        other = move("k", BEN, account("user", "y", "held", "VIBES"), 1)
        clash = asyncio.create_task(post(pool, move("l", BEN, CAT, 1), other))
        await until_one_waits(pool)
        await transaction.commit()
    with pytest.raises(IdempotencyKeyReused) as raised:
        await clash
    assert raised.value.params == {"key": derive_key("k").hex()}
    assert await left(pool, ANN, BEN, CAT) == [9, 10, 0]


async def test_two_cannot_spend_the_same(pool: Pool) -> None:
    await post(pool, move("fund", ISSUE, ANN, 10))
    spends = [post(pool, move(f"spend {n}", ANN, BEN, 3)) for n in range(8)]
    verdicts = [verdict for (verdict,) in await asyncio.gather(*spends)]
    assert verdicts.count(APPLIED) == 3
    assert verdicts.count(INSUFFICIENT) == 5
    assert await left(pool, ANN, BEN) == [1, 9]


async def test_locks_taken_ahead_let_a_transaction_post_twice(pool: Pool) -> None:
    """Without `lock` these two wait for each other: each posts in the opposite order."""
    await post(pool, *(move(f"fund {code}", ISSUE, code, 100) for code in (ANN, BEN, CAT)))

    async def there_and_back(connection: Connection, name: str, accounts: Sequence[str]) -> None:
        for n in range(20):
            async with connection.transaction():
                await ledger.lock(connection, [*accounts, *accounts])
                for a, b in ((0, 1), (1, 2)):
                    moved = move(f"{name} {n} {a}", accounts[a], accounts[b], 1)
                    assert await ledger.post(connection, [moved], AT) == [APPLIED]

    async with pool.acquire() as one, pool.acquire() as two:
        await asyncio.gather(
            there_and_back(one, "one", [ANN, BEN, CAT]),
            there_and_back(two, "two", [CAT, BEN, ANN]),
        )
    assert await left(pool, ANN, BEN, CAT) == [100, 100, 100]
    async with pool.acquire() as one:
        with pytest.raises(BadAccountCode):
            await ledger.lock(one, ["nobody"])


async def test_the_order_of_an_account_is_the_order_of_its_ids(pool: Pool) -> None:
    """So a statement's running balance never shows a state that was not there."""
    codes = [account("user", f"u{n}", "available", "VIBES") for n in range(4)]
    await post(pool, *(move(f"fund {code}", ISSUE, code, 3) for code in codes))

    async def mover(number: int) -> None:
        for n in range(15):
            source, target = codes[(number + n) % 4], codes[(number * n + 1) % 4]
            if source != target:
                await post(pool, move(f"{number} {n}", source, target, 2))

    await asyncio.gather(*map(mover, range(8)))
    async with pool.acquire() as connection:
        for code in codes:
            lines = await ledger.statement(connection, code, limit=500)
            assert all(line.balance_minor >= 0 for line in lines)
    assert sum(await left(pool, *codes)) == 12


@pytest.mark.parametrize("seed", range(3))
async def test_eight_connections_post_overlapping_batches_without_deadlock(
    pool: Pool, seed: int
) -> None:
    """Over accounts in random order, of which half have yet to be opened by whoever comes first."""
    chance = random.Random(seed)
    codes = [account("user", f"u{n}", "available", "VIBES") for n in range(40)]
    await post(pool, *(move(f"fund {code}", ISSUE, code, 50) for code in codes[:20]))

    def draw(name: str) -> LedgerTransaction:
        source, target = chance.sample(codes, 2)
        return move(name, source, target, chance.randint(1, 30))

    async def poster(number: int) -> list[Verdict]:
        verdicts = []
        for n in range(12):
            batch = [draw(f"{number} {n} {line}") for line in range(25)]
            verdicts += await post(pool, *batch, *batch[:3])
        return verdicts

    verdicts = [
        verdict for of_one in await asyncio.gather(*map(poster, range(8))) for verdict in of_one
    ]
    assert {APPLIED, INSUFFICIENT, DUPLICATE} == set(verdicts)
    assert sum(await left(pool, *codes)) == 20 * 50
    applied = await pool.fetchval("select count(*) from ledger.transactions")
    assert applied == verdicts.count(APPLIED) + 20


async def test_opening_the_same_accounts_at_once_does_not_deadlock(pool: Pool) -> None:
    """Round after round, everybody pays the same newcomers out of the same old accounts."""
    chance = random.Random(5)
    old = [account("user", f"old{n}", "available", "VIBES") for n in range(20)]
    await post(pool, *(move(f"fund {code}", ISSUE, code, 100_000) for code in old))

    async def pay(name: str, newcomers: Sequence[str]) -> None:
        pairs = zip(chance.sample(old, 20), chance.sample(newcomers, 20), strict=True)
        batch = [move(f"{name} {n}", source, new, 1) for n, (source, new) in enumerate(pairs)]
        assert set(await post(pool, *batch)) == {APPLIED}

    for n in range(40):
        # Their codes lie between those of the old ones, before and after.
        newcomers = [account("user", f"old{m}-{n}", "available", "VIBES") for m in range(20)]
        await asyncio.gather(*(pay(f"{n} {number}", newcomers) for number in range(8)))
        assert await left(pool, *newcomers[:1]) == [8]


async def test_who_waits_for_a_new_account_holds_no_old_one(pool: Pool) -> None:
    """Or one who has the new account by then and wants the old one would close the circle."""
    first, second = (account("user", f"a{n}", "available", "VIBES") for n in (1, 2))
    await post(pool, move("open", ISSUE, BEN, 1))
    async with (
        pool.acquire() as opener,
        pool.acquire() as second_opener,
        pool.acquire() as waiter,
        pool.acquire() as other,
    ):
        opening, second_opening = opener.transaction(), second_opener.transaction()
        await opening.start()
        await second_opening.start()
        await ledger.lock(opener, [first])
        await ledger.lock(second_opener, [second])
        waiting = asyncio.create_task(ledger.lock(waiter, [first, second, BEN]))
        await until_waits_for(pool, waiter, opener)
        await opening.commit()
        await until_waits_for(pool, waiter, second_opener)
        async with other.transaction():
            await ledger.lock(other, [first, BEN])  # at once: nobody holds either
        await second_opening.commit()
        await waiting


async def test_ids_are_drawn_under_the_locks(pool: Pool) -> None:
    """Who waits for an account comes after the one that has it, in statements as well."""
    await post(pool, move("open", ISSUE, ANN, 5))
    async with pool.acquire() as holder, pool.acquire() as waiter:
        transaction = holder.transaction()
        await transaction.start()
        await ledger.lock(holder, [ANN, ISSUE])

        async def wait_and_post() -> None:
            async with waiter.transaction():
                await ledger.post(waiter, [move("later", ISSUE, ANN, 7)], AT)

        waiting = asyncio.create_task(wait_and_post())
        await until_waits_for(pool, waiter, holder)
        await ledger.post(holder, [move("earlier", ANN, ISSUE, 5)], AT)
        await transaction.commit()
        await waiting
        lines = await ledger.statement(holder, ANN)
    assert [line.balance_minor for line in lines] == [7, 0, 5]
