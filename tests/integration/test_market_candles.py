"""The candles that the database makes are those of the pure rule."""

from __future__ import annotations

import random

from domain.market.candles import Candle, Print, Step, aggregate
from domain.policy import DAY_MS, MINUTE_MS
from messages.market.orders import BookChanged, Phase, Side, Trade
from storage.database import Pool
from storage.market_candles import MOST_CANDLES, add_trades, get_candles, write

BOOKS = ("0197c000-0000-7000-8000-000000000001", "0197c000-0000-7000-8000-000000000002")


def some_trades(seed: int, count: int) -> list[Print]:
    dice, at_ms, found = random.Random(seed), 20_000 * DAY_MS, []
    for number in range(1, count + 1):
        at_ms += dice.choice((0, 0, 700, 40_000, 3_000_000)) - dice.choice((0, 0, 0, 5_000))
        price = dice.choice((dice.randint(1, 200), 10**15))
        found.append(Print(dice.choice(BOOKS), number, price, dice.randint(1, 10_000), at_ms))
    return found


async def of_books(pool: Pool) -> dict[tuple[str, Step, int], Candle]:
    found = {}
    for book in BOOKS:
        for step in Step:
            for candle in await get_candles(pool, book, step, 0, 2**62):
                found[book, step, candle.start_ms] = candle
    return found


async def test_equal_the_pure_rule_whatever_the_batches(pool: Pool) -> None:
    trades = some_trades(7, 400)
    dice, rest = random.Random(8), trades.copy()
    dice.shuffle(rest)
    while rest:
        size = dice.randint(1, 60)
        batch, rest = rest[:size], rest[size:]
        async with pool.acquire() as connection:
            await add_trades(connection, batch)
    assert await of_books(pool) == aggregate({}, trades)


async def test_the_trades_of_a_batch_of_facts(pool: Pool) -> None:
    def changed(book: str, at_ms: int, *trades: Trade) -> BookChanged:
        return BookChanged(book, 1, 0, 0, (), trades, Phase.CONTINUOUS, 0, at_ms)

    first, second = Trade(1, 500, 3, Side.BUY), Trade(2, 490, 5, Side.SELL)
    async with pool.acquire() as connection:
        await write(connection, [])
        await write(connection, [changed(BOOKS[0], 5), changed(BOOKS[0], 61_000, first, second)])
    expected = aggregate(
        {}, [Print(BOOKS[0], 1, 500, 3, 61_000), Print(BOOKS[0], 2, 490, 5, 61_000)]
    )
    assert await of_books(pool) == expected
    assert expected[BOOKS[0], Step.MINUTE, MINUTE_MS].open_minor == 500
    assert expected[BOOKS[0], Step.MINUTE, MINUTE_MS].close_minor == 490


async def test_a_range_is_oldest_first_and_of_too_many_the_newest(pool: Pool) -> None:
    trades = [Print(BOOKS[0], n, 100 + n, 1, n * MINUTE_MS) for n in range(1, 8)]
    async with pool.acquire() as connection:
        await add_trades(connection, trades)

    async def starts(from_ms: int, until_ms: int, limit: int = MOST_CANDLES) -> list[int]:
        found = await get_candles(pool, BOOKS[0], Step.MINUTE, from_ms, until_ms, limit)
        return [candle.start_ms // MINUTE_MS for candle in found]

    assert await starts(2 * MINUTE_MS, 5 * MINUTE_MS) == [2, 3, 4]
    assert await starts(0, 2**62, limit=3) == [5, 6, 7]
    assert await starts(8 * MINUTE_MS, 2**62) == []
    assert await get_candles(pool, BOOKS[1], Step.MINUTE, 0, 2**62) == []


async def test_what_is_rolled_back_is_not_counted(pool: Pool) -> None:
    trade = Print(BOOKS[0], 1, 100, 1, 0)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await add_trades(connection, [trade])
        await transaction.rollback()
        await add_trades(connection, [trade])
    [candle] = await get_candles(pool, BOOKS[0], Step.DAY, 0, 1)
    assert candle.trades == 1
