"""Trading on the real runtime and ledger: settled with what caused it, also while owners die."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, ClassVar

import asyncpg
import msgspec
import pytest

from actors.market import MarketKind
from deployments.commands.books_verified import differences
from domain.market import gathering, orders
from domain.market.entries import link
from domain.market.rematch import Rematch
from domain.policy import MarketPolicy
from messages.errors import InsufficientFunds, Refusal, VibeStreamError
from messages.keys import derive_id, derive_key
from messages.market.accounts import available, fees, held
from messages.market.order_errors import BookHalted
from messages.market.orders import (
    BookView,
    CancelOrder,
    CloseTrading,
    GetBook,
    HaltTrading,
    OpenTrading,
    OrderKind,
    OrderStatus,
    OrderView,
    Phase,
    PlaceOrder,
    ReplaceOrder,
    ResumeTrading,
    SelfTrade,
    Side,
    TimeInForce,
)
from storage import ledger
from storage import market_orders as storage
from storage.database import Pool
from tests.integration.market_support import MarketWorld, open_market
from tests.integration.rewards_support import until
from tests.unit.market_entities import ARTIST, ISSUE, SHARES, user

ANNE, BOB, CYD = user(1), user(2), user(3)
POLICY = MarketPolicy()


class OftenKept(MarketKind):
    """A snapshot every few facts, so that recovery begins with one."""

    snapshot_every: ClassVar[int] = 40


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[MarketWorld]:
    async with open_market(database_url) as opened:
        opened.kind = OftenKept(POLICY)
        await opened.restart_host()
        await opened.issue(shares=10_000, retained=5_000, price_minor=250, cap_bps=5_000)
        await opened.fund(ANNE, BOB, CYD)
        yield opened


async def start(world: MarketWorld) -> BookView:
    """Opened, and through its first auction."""
    await world.ask(OpenTrading())
    world.now_ms += POLICY.auction_ms
    await until(lambda: is_in(world, Phase.CONTINUOUS))
    view: BookView = await world.ask(GetBook())
    return view


async def is_in(world: MarketWorld, phase: Phase) -> bool:
    return (await world.ask(GetBook())).phase is phase


def order(
    user_id: str, side: Side, shares: int, price: int, number: int = 0, **changes: Any
) -> PlaceOrder:
    fields: dict[str, Any] = {
        "user_id": user_id,
        "request_id": derive_id("request", user_id, number, random.getrandbits(60)),
        "side": side,
        "kind": OrderKind.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "shares": shares,
        "price_minor": price,
    }
    return PlaceOrder(**{**fields, **changes})


async def wrong(world: MarketWorld) -> list[str]:
    async with world.pool.acquire() as connection:
        return await differences(connection)


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value
        for name, value in vars(storage).items()
        if name[0] != "_" and name.isupper() and isinstance(value, str)
    ]
    assert len(statements) > 12
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_orders_meet_and_everything_moves_with_them(world: MarketWorld) -> None:
    assert (await start(world)).orders == 0
    resting: OrderView = await world.ask(order(ARTIST, Side.SELL, 100, 260))
    assert await world.balances(available(ARTIST, SHARES), held(ARTIST, SHARES)) == [4_900, 100]
    bought: OrderView = await world.ask(order(ANNE, Side.BUY, 150, 270))
    assert (bought.filled, bought.left, bought.paid_minor) == (100, 50, 26_000)
    assert await world.balances(
        available(ANNE, "EUR"), held(ANNE, "EUR"), available(ANNE, SHARES), held(ARTIST, SHARES)
    ) == [10**6 - 26_195 - 13_602, 13_602, 100, 0]
    assert await world.balances(available(ARTIST, "EUR"), fees("EUR")) == [25_935, 195 + 65]

    row = await storage.get_order(world.pool, ISSUE, resting.order_id, ARTIST)
    assert row is not None
    assert (row.status, row.filled, row.remaining) == (OrderStatus.FILLED, 100, 0)
    assert await storage.get_order(world.pool, ISSUE, resting.order_id, ANNE) is None
    [mine] = await storage.newest_orders(world.pool, ANNE, storage.FIRST_ORDERS, 9, only_open=True)
    assert (mine.order_id, mine.held_minor) == (bought.order_id, 13_602)
    [trade] = await storage.newest_trades(world.pool, ISSUE, storage.FIRST_TRADES, 9)
    assert (trade.price_minor, trade.shares, trade.maker_order_id) == (260, 100, resting.order_id)
    book = await storage.get_book(world.pool, ISSUE)
    assert book is not None
    assert (book.phase, book.last_minor, book.number) == (Phase.CONTINUOUS, 260, 4)

    await world.ask(CancelOrder(ANNE, bought.order_id))
    assert await world.balances(held(ANNE, "EUR")) == [0]
    await world.verify()
    assert await wrong(world) == []


async def test_each_is_told_what_is_his_and_everyone_what_is_not(world: MarketWorld) -> None:
    await start(world)
    await asyncio.gather(
        world.ask(order(ARTIST, Side.SELL, 5, 260)), world.ask(order(ANNE, Side.BUY, 5, 260))
    )
    for row, body in await world.events():
        if row["type"] == "BookChanged":
            assert row["channels"] == [f"book:{ISSUE}"]
            assert ANNE not in row["body"]
        elif row["type"] in {"OrderChanged", "HoldingChanged"}:
            assert row["channels"] == [f"user:{body['user_id']}"]
        assert row["type"] != "BookAdvanced"
    changes = [body for row, body in await world.events() if row["type"] == "BookChanged"]
    numbers = [(body["after"], body["depth_number"]) for body in changes]
    assert [after for after, _ in numbers] == [0, *(number for _, number in numbers[:-1])]


async def test_a_request_that_comes_again_is_the_same_order(world: MarketWorld) -> None:
    await start(world)
    command, key = order(ANNE, Side.BUY, 5, 240), derive_key("mine")
    first, second = await asyncio.gather(world.ask(command, key=key), world.ask(command, key=key))
    await world.restart_host()
    assert first == second == await world.ask(command, key=key)
    assert (await world.ask(GetBook())).orders == 1


async def test_who_cannot_pay_is_refused_alone(world: MarketWorld) -> None:
    await start(world)
    # Three of them are more than Anne has; two are not.
    found = await asyncio.gather(
        *(world.ask(order(ANNE, Side.BUY, 1_400, 250)) for _ in range(3)),
        world.ask(order(BOB, Side.BUY, 10, 250)),
        return_exceptions=True,
    )
    refused = [isinstance(answer, InsufficientFunds) for answer in found]
    assert refused == [False, False, True, False]
    paid = [answer for answer in found if isinstance(answer, OrderView)]
    assert (
        sum(view.held_minor for view in paid if view.user_id == ANNE)
        == (await world.balances(held(ANNE, "EUR")))[0]
    )
    assert found[-1] in paid
    assert await wrong(world) == []


async def test_shares_that_just_came_can_be_sold_in_the_same_batch(world: MarketWorld) -> None:
    """Holds of a batch are posted as sums ahead of its trades; what counts is what all leave."""
    await start(world)
    await world.ask(order(ARTIST, Side.SELL, 50, 250))
    bought, sold, again = await asyncio.gather(
        world.ask(order(ANNE, Side.BUY, 50, 250)),
        world.ask(order(ANNE, Side.SELL, 50, 260)),
        world.ask(order(BOB, Side.BUY, 20, 260)),
    )
    assert (bought.filled, sold.left, again.filled) == (50, 50, 20)
    assert await world.balances(held(ANNE, SHARES), available(BOB, SHARES)) == [30, 20]
    assert await wrong(world) == []
    await world.verify()


async def test_timers_end_orders_auctions_and_halts(world: MarketWorld) -> None:
    await world.ask(OpenTrading())
    dated = order(
        ANNE, Side.BUY, 5, 250, time_in_force=TimeInForce.GTD, expires_at_ms=world.now_ms + 500
    )
    view = await world.ask(dated)
    await world.restart_host()
    world.now_ms += 500

    async def is_over() -> bool:
        row = await storage.get_order(world.pool, ISSUE, view.order_id, ANNE)
        return row is not None and row.status is OrderStatus.CANCELLED

    await until(is_over)
    assert await world.balances(held(ANNE, "EUR")) == [0]
    world.now_ms += POLICY.auction_ms
    await until(lambda: is_in(world, Phase.CONTINUOUS))
    await world.ask(HaltTrading())
    with pytest.raises(BookHalted):
        await world.ask(order(ANNE, Side.BUY, 5, 250))
    world.now_ms += POLICY.halt_ms
    await until(lambda: is_in(world, Phase.AUCTION))
    world.now_ms += POLICY.auction_ms
    await until(lambda: is_in(world, Phase.CONTINUOUS))
    await world.ask(CloseTrading())
    assert await wrong(world) == []


async def test_a_defect_in_one_order_fails_that_one_alone(
    world: MarketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(world)
    told, asked = orders.tell_order, [order(ANNE, Side.BUY, n, 240, n) for n in range(1, 8)]

    def failing(policy: Any, market: Any, given: Any, advance: Any) -> Any:
        found = told(policy, market, given, advance)
        assert given.command != asked[4], "a defect, once the book was told"
        return found

    monkeypatch.setattr(gathering, "tell_order", failing)
    monkeypatch.setattr(orders, "tell_order", failing)
    answers = await asyncio.gather(*map(world.ask, asked), return_exceptions=True)
    assert [type(answer) for answer in answers] == [
        VibeStreamError if number == 4 else OrderView for number in range(7)
    ]
    view = await world.ask(GetBook())
    assert view.orders == 6
    await world.restart_host()
    assert await world.ask(GetBook()) == view
    assert await wrong(world) == []


async def test_what_was_decided_on_a_batch_that_cannot_be_written_is_decided_again(
    world: MarketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of few, so that some are decided while the one ahead is written, and that fails."""
    world.limits = replace(world.limits, batch_commands=6)
    await world.restart_host()
    await start(world)
    write, calls, chance = storage.write, itertools.count(1), random.Random(3)

    async def failing(connection: Any, events: Any) -> None:
        if next(calls) % 3 == 0:
            await asyncio.sleep(0.01)
            raise asyncpg.SerializationError
        await write(connection, events)

    monkeypatch.setattr(storage, "write", failing)
    placed = [order(ANNE, Side.BUY, 1, 200 + 10 * (n % 4), n) for n in range(60)]
    views = await asyncio.gather(*map(world.ask, placed))
    assert [view.order_id for view in views] == list(range(1, 61)), "in the order they came in"
    some_of = [some(chance) for _ in range(60)]
    await asyncio.gather(*(attempt(world, command) for command in some_of))
    assert next(calls) > 15
    view = await world.ask(GetBook())
    await world.restart_host()
    assert await world.ask(GetBook()) == view
    assert await wrong(world) == []
    await world.verify()


async def test_orders_are_paid_by_what_the_batch_ahead_left(world: MarketWorld) -> None:
    """Money that one batch sets aside is not there for the next, which is decided before."""
    world.limits = replace(world.limits, batch_commands=4)
    await world.restart_host()
    await start(world)
    placed = [order(CYD, Side.BUY, 200, 250, n) for n in range(32)]
    answers = await asyncio.gather(*map(world.ask, placed), return_exceptions=True)
    taken = sum(isinstance(answer, OrderView) for answer in answers)
    assert taken == 10**6 // (200 * 250 + 400), "a fee of 0.8 per cent is set aside as well"
    assert [type(answer) for answer in answers[taken:]] == [InsufficientFunds] * (32 - taken)
    assert await wrong(world) == []


@pytest.mark.parametrize(("seed", "size"), [(1, 250), (2, 7)])
async def test_a_market_under_load_whose_owner_dies_again_and_again(
    world: MarketWorld, seed: int, size: int
) -> None:
    """Nothing is lost or made, and the book that comes back is the one that died."""
    chance = random.Random(seed)
    world.limits = replace(world.limits, batch_commands=size)
    await start(world)
    async with world.pool.acquire() as connection:
        before = await sums(connection)
    for _ in range(6):
        commands = [some(chance) for _ in range(80)]
        asking = [asyncio.create_task(attempt(world, command)) for command in commands]
        if chance.random() < 0.6:
            await asyncio.sleep(chance.random() * 0.03)
            await world.restart_host()
        await asyncio.gather(*asking)
        await reopened(world)
        view = await world.ask(GetBook())
        await world.restart_host()
        assert await world.ask(GetBook()) == view
        assert await wrong(world) == []
        await world.verify()
    async with world.pool.acquire() as connection:
        assert await sums(connection) == before
    assert view.number > 10
    assert await storage_orders(world) > 60


async def storage_orders(world: MarketWorld) -> int:
    return int(await world.pool.fetchval("select count(*) from market.orders"))


async def attempt(world: MarketWorld, command: Any) -> None:
    """A refusal is an answer too."""
    with contextlib.suppress(Refusal):
        await world.ask(command)


async def reopened(world: MarketWorld) -> None:
    """Trading goes on, if a halt stopped it."""
    if await is_in(world, Phase.HALTED):
        await world.ask(ResumeTrading())
        world.now_ms += POLICY.auction_ms
        await until(lambda: is_in(world, Phase.CONTINUOUS))


def some(chance: random.Random) -> Any:
    """An order, a replacement or a cancel."""
    who, dice = chance.choice((ARTIST, ANNE, BOB, CYD)), chance.random()
    price = 250 + 10 * chance.choice((-1, 0, 1) * 15 + (-2, 2))
    if dice < 0.15:
        return CancelOrder(who, chance.randint(1, 200))
    if dice < 0.3:
        request = derive_id("request", chance.getrandbits(60))
        given = (chance.randint(1, 200), chance.randint(1, 90), price)
        return ReplaceOrder(who, request, *given, self_trade=SelfTrade.DECREMENT)
    return order(
        who,
        chance.choice((Side.BUY, Side.SELL)),
        chance.randint(1, 60),
        price,
        time_in_force=chance.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC)),
        self_trade=chance.choice(tuple(SelfTrade)),
    )


async def sums(connection: Any) -> dict[str, int]:
    """All balances but the outside world's, by currency."""
    rows = await connection.fetch(
        "select currency, sum(balance)::text from ledger.accounts group by currency"
    )
    assert await ledger.verify(connection) == []
    return {currency: int(total) for currency, total in rows}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("update market.orders set remaining = remaining - 1 where order_id = 1", "orders differ"),
        ("update market.orders set held_minor = 1 where order_id = 2", "open orders hold"),
        ("delete from market.trades", "trades are stored"),
        ("update market.book_entries set entry = replace(entry, '26', '25') where number = 3",
         "hash"),
        ("delete from market.book_entries where number = 3", "entry 4 follows"),
        ("delete from market.book_entries where number = 5", "the journal ends"),
    ],
)  # fmt: skip
async def test_what_is_not_as_it_was_made_is_found(
    world: MarketWorld, change: str, told: str
) -> None:
    await start(world)
    await world.ask(order(ARTIST, Side.SELL, 10, 260))
    await world.ask(order(ANNE, Side.BUY, 5, 240))
    await world.ask(order(ANNE, Side.BUY, 5, 260))
    assert await wrong(world) == []
    await world.pool.execute(change)
    assert any(told in line for line in await wrong(world)), await wrong(world)


async def test_answers_that_the_book_did_not_give_are_found(
    world: MarketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even with a chain that fits them."""
    await start(world)
    await world.ask(order(ARTIST, Side.SELL, 10, 260))
    again = Rematch(4_096, POLICY.max_book_orders)
    monkeypatch.setattr(storage, "PAGE_BYTES", 1)
    assert len(await storage.entries(world.pool, ISSUE, 0, 100)) == 1, "a page ends by its size"
    monkeypatch.undo()
    for row in await storage.entries(world.pool, ISSUE, 0, 100):
        number, at_ms, instructions, outputs = msgspec.json.decode(row.entry)
        if outputs:
            outputs[0][4] += 1
        text = msgspec.json.encode((number, at_ms, instructions, outputs))
        again.take(text, link(again.chain, text))
    assert "answers otherwise" in again.wrong
