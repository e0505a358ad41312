"""Drops on the real runtime and ledger: the last token, lost owners, returns, what is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from deployments.commands import goods_verified
from messages.drops.accounts import available, fees, minted, token_currency
from messages.drops.drops import (
    CancelDrop,
    DropStatus,
    GetDrop,
    GetReservation,
    ReservationStatus,
    ReturnTokens,
)
from messages.drops.errors import (
    DropSoldOut,
    NotEnoughTokens,
    ReservationNotFound,
    ReservationNotPurchased,
)
from messages.errors import InsufficientFunds, Refusal
from messages.keys import derive_key
from storage import drops, drops_audit
from storage.database import Pool
from storage.rows import FIRST_PAGE
from tests.integration.goods_support import GoodsWorld, open_goods
from tests.unit.drops_entities import DROP, HOUR_MS, keep, pay
from tests.unit.goods_entities import ARTIST, some_id, user
from tests.unit.rewards_entities import DAY_MS, T0

TOKENS = token_currency(DROP)
ABOVE_ALL = (*FIRST_PAGE, 2**31 - 1)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[GoodsWorld]:
    async with open_goods(database_url) as opened:
        yield opened


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value
        for name, value in [*vars(drops).items(), *vars(drops_audit).items()]
        if name[0] != "_" and name.isupper() and isinstance(value, str)
    ]
    assert len(statements) >= 10
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_the_story_of_a_drop_with_an_owner_lost_at_every_step(world: GoodsWorld) -> None:
    await world.open_drop()
    await world.restart_host()
    await world.fund(user(1), user(2))
    kept = await world.drop(keep(1, 1, 3))
    await world.restart_host()
    assert kept == await world.drop(GetReservation(some_id(1)))
    await world.drop(keep(2, 2, 2))
    bought = await world.drop(pay(2), key=derive_key("pay", 2))
    await world.restart_host()
    assert bought == await world.drop(pay(2), key=derive_key("pay", 2))
    assert bought == await world.drop(pay(2))  # nor under another key
    assert (await world.drop(pay(1))).first_token == 3
    await world.restart_host()
    await world.drop(ReturnTokens(some_id(2), "unwanted"))
    await world.restart_host()
    assert (await world.drop(ReturnTokens(some_id(2), "unwanted"))).status == "returned"
    view = await world.drop(GetDrop())
    assert (view.reserved, view.minted, view.burned, view.left) == (0, 5, 2, 95)
    assert await world.balances(
        available(user(1), "USD"), available(user(2), "USD"), available(ARTIST, "USD"),
        fees("USD"), available(user(1), TOKENS), available(user(2), TOKENS), minted(DROP),
    ) == [997_000, 1_000_000, 2_925, 75, 3, 0, -3]  # fmt: skip
    await world.verify()


async def test_buyers_at_the_last_tokens(world: GoodsWorld) -> None:
    """All reserve and pay at once, twice each; a third cannot pay, and holds tokens meanwhile."""
    await world.open_drop(supply=20)
    await world.fund(*(user(n) for n in range(1, 41) if n % 3), amount_minor=2_000)

    async def buys(number: int) -> str:
        try:
            await world.drop(keep(number, number, 1 + number % 2, until_ms=world.now_ms + HOUR_MS))
            twice = await asyncio.gather(world.drop(pay(number)), world.drop(pay(number)))
        except Refusal as refused:
            return refused.code
        assert twice[0] == twice[1]
        return "bought"

    ends = Counter(await asyncio.gather(*(buys(n) for n in range(1, 41))))
    assert set(ends) == {"bought", InsufficientFunds.code, NotEnoughTokens.code}
    view = await world.drop(GetDrop())
    assert view.left == 0
    assert view.reserved > 0
    await world.verify()
    world.now_ms += 2 * HOUR_MS
    await world.until(lambda seen: not seen.reserved, lambda: world.drop(GetDrop()))
    for number in range(41, 61):
        await world.fund(user(number))
        ends[await buys(number)] += 1
    view = await world.drop(GetDrop())
    assert (view.status, view.minted) == (DropStatus.COMPLETED, 20)
    assert ends[DropSoldOut.code] > 0
    await world.verify()


async def test_a_hundred_at_once_for_the_last_token(world: GoodsWorld) -> None:
    await world.open_drop(supply=1)
    people = [user(n) for n in range(1, 101)]
    await world.fund(*people, amount_minor=1_000)
    answers = await asyncio.gather(
        *(world.drop(keep(n, n)) for n in range(1, 101)), return_exceptions=True
    )
    won = [one for one in answers if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert {type(one) for one in answers if isinstance(one, BaseException)} == {NotEnoughTokens}
    bought = await world.drop(pay(int(won[0].reservation_id[-3:])))
    assert (bought.first_token, bought.last_token) == (1, 1)
    assert (await world.drop(GetDrop())).status is DropStatus.COMPLETED
    await world.verify()


async def test_commands_that_did_not_wait_for_each_other_sell_nothing_for_nothing(
    world: GoodsWorld,
) -> None:
    """Reserving, paying and returning come in one batch: what is sold was paid for, or is not."""
    await world.open_drop(supply=400)
    people = range(1, 41)
    await world.fund(*(user(n) for n in people), amount_minor=1_000)
    asked = [
        command
        for n in people
        for command in (keep(n, n), pay(n), ReturnTokens(some_id(n), "at once"))
    ]
    answers = await asyncio.gather(*map(world.drop, asked), return_exceptions=True)
    refused = {type(one) for one in answers if isinstance(one, BaseException)}
    assert refused <= {ReservationNotFound, ReservationNotPurchased, InsufficientFunds}
    await world.verify()
    rest = [command for n in people for command in (pay(n), ReturnTokens(some_id(n), "at once"))]
    for _ in range(2):
        await asyncio.gather(*map(world.drop, rest), return_exceptions=True)
        await world.verify()
    view = await world.drop(GetDrop())
    assert view.minted == 40
    (artist, fee) = await world.balances(available(ARTIST, "USD"), fees("USD"))
    assert artist + fee == (view.minted - view.burned) * 1_000
    await world.verify()


async def test_what_is_not_paid_for_comes_free_though_its_owner_was_lost(
    world: GoodsWorld,
) -> None:
    await world.open_drop(supply=10)
    await world.drop(keep(1, 1))
    await world.drop(keep(2, 2, until_ms=T0 + 3 * HOUR_MS))
    world.transport.kill("host")
    await world.host.abandon()
    world.now_ms += 2 * HOUR_MS
    await world.start()
    await world.until(lambda seen: seen.reserved == 1, lambda: world.drop(GetDrop()))
    with pytest.raises(ReservationNotFound):
        await world.drop(pay(1))
    with pytest.raises(InsufficientFunds):
        await world.drop(pay(2))
    assert (await world.drop(GetReservation(some_id(2)))).status is ReservationStatus.RESERVED
    world.now_ms += 31 * DAY_MS
    await world.until(lambda seen: seen.status == "completed", lambda: world.drop(GetDrop()))
    await world.verify()


async def test_money_that_the_artist_spent_is_not_given_back(world: GoodsWorld) -> None:
    await world.open_drop()
    await world.fund(user(1))
    await world.drop(keep(1, 1, 2))
    await world.drop(pay(1))
    await world.take(ARTIST, 1_000)
    with pytest.raises(InsufficientFunds):
        await world.drop(ReturnTokens(some_id(1), "dispute"))
    assert await world.balances(available(user(1), TOKENS)) == [2]
    await world.fund(ARTIST, amount_minor=1_000)
    assert (await world.drop(ReturnTokens(some_id(1), "dispute"))).status == "returned"
    assert await world.balances(
        available(user(1), "USD"), available(ARTIST, "USD"), fees("USD"), minted(DROP)
    ) == [1_000_000, 0, 0, 0]
    await world.verify()


async def test_buyers_and_prices_are_told_to_whom_they_concern(world: GoodsWorld) -> None:
    await world.open_drop(supply=10)
    await world.fund(user(1))
    await world.drop(keep(1, 1))
    await world.drop(pay(1))
    await world.drop(ReturnTokens(some_id(1), "unwanted"))
    await world.drop(CancelDrop("no more"))
    for row, body in await world.events():
        assert row["stream"] == "drops"
        if "buyer_id" in body:
            assert list(row["channels"]) == [f"user:{user(1)}"]
        else:
            assert list(row["channels"]) == [f"drop:{DROP}"]
            assert user(1) not in row["body"]
    kinds = [row["type"] for row, _ in await world.events()]
    assert {"TokensPurchased", "TokensReturned", "DropCancelled", "SupplyChanged"} <= set(kinds)


async def test_the_read_models_follow(world: GoodsWorld) -> None:
    await world.open_drop(supply=50)
    await world.fund(user(1), user(2))
    await world.drop(keep(1, 1, 3))
    await world.drop(keep(2, 2, 5))
    for number in (2, 1):
        await world.drop(pay(number))
        world.now_ms += 1
    await world.drop(ReturnTokens(some_id(2), "unwanted"))
    await world.drop(keep(3, 2, 1))
    row = await drops.get_drop(world.pool, DROP)
    assert row is not None
    assert (row.status, row.reserved, row.minted, row.burned, row.left) == ("active", 1, 8, 5, 41)
    assert await drops.newest(world.pool, FIRST_PAGE, 5, "active", row.song_id, ARTIST) == [row]
    assert await drops.newest(world.pool, FIRST_PAGE, 5, "paused") == []
    first = await drops.tokens_of(world.pool, user(1), ABOVE_ALL, 2)
    assert [one.token for one in first] == [8, 7]
    place = (first[-1].minted_at_ms, DROP, first[-1].token)
    assert [o.token for o in await drops.tokens_of(world.pool, user(1), place, 9)] == [6]
    assert await drops.tokens_of(world.pool, user(2), ABOVE_ALL, 9) == []
    await world.verify()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("update drops.tokens set burned_at_ms = 1 where token = 2", "2 of them burned"),
        ("update drops.tokens set token = 9 where token = 2", "up to number 9"),
        ("update drops.drops set minted = 5", "-4 tokens are listed, the account has -3"),
        (f"update drops.tokens set owner_id = '{user(7)}' where token = 1", user(7)),
    ],
)
async def test_a_token_that_the_ledger_does_not_know_is_found(
    world: GoodsWorld, harm: str, says: str
) -> None:
    await world.open_drop()
    await world.fund(user(1))
    await world.drop(keep(1, 1, 3))
    await world.drop(pay(1))
    await world.drop(keep(2, 1, 1))
    await world.drop(pay(2))
    await world.drop(ReturnTokens(some_id(2), "x"))
    await world.verify()
    await world.pool.execute(harm)
    async with world.pool.acquire() as connection:
        found = await goods_verified.differences(connection)
    assert any(says in line for line in found), found
