"""Ventures on the real runtime and ledger: escrow, lost owners between runs, what is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deployments.commands import goods_verified
from domain.ventures.policy import VenturePolicy
from messages.errors import InsufficientFunds
from messages.keys import derive_key
from messages.ventures.accounts import available, escrow, fees
from messages.ventures.errors import VentureFull
from messages.ventures.ventures import (
    CancelVenture,
    ConfirmBenefit,
    ContestBenefit,
    DeliverBenefit,
    GetInvestor,
    GetVenture,
    InvestmentStatus,
    OpenRound,
    VentureStatus,
)
from storage import ventures, ventures_audit
from storage.database import Pool
from storage.rows import FIRST_PAGE
from tests.integration.goods_support import GoodsWorld, open_goods
from tests.unit.goods_entities import ARTIST, user
from tests.unit.ventures_entities import (
    DEADLINE,
    TIERS,
    VENTURE,
    draft,
    invest,
    withdraw,
)

LOWEST = "00000000-0000-0000-0000-000000000000"
ESCROW = escrow(VENTURE, "USD")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[GoodsWorld]:
    async with open_goods(database_url) as opened:
        yield opened


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value
        for name, value in [*vars(ventures).items(), *vars(ventures_audit).items()]
        if name[0] != "_" and name.isupper() and isinstance(value, str)
    ]
    assert len(statements) >= 12
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_the_story_of_a_round_with_an_owner_lost_at_every_step(world: GoodsWorld) -> None:
    await world.open_round()
    await world.restart_host()
    await world.fund(user(1), user(2), user(3), amount_minor=3_000)
    for number in (1, 2, 3):
        made = await world.venture(invest(number, number, 2_500), key=derive_key("i", number))
        await world.restart_host()
        assert made == await world.venture(
            invest(number, number, 2_500), key=derive_key("i", number)
        )
        assert made == await world.venture(invest(number, number, 2_500))
    await world.venture(withdraw(3, investor=3))
    await world.restart_host()
    assert (await world.venture(withdraw(3, investor=3))).status is InvestmentStatus.WITHDRAWN
    assert await world.balances(ESCROW, available(user(3), "USD")) == [5_000, 3_000]
    await world.verify()
    world.transport.kill("host")
    await world.host.abandon()
    world.now_ms = DEADLINE
    await world.start()
    await world.until(lambda seen: seen.status == "funded", lambda: world.venture(GetVenture()))
    assert await world.balances(ESCROW, available(ARTIST, "USD"), fees("USD")) == [0, 4_875, 125]
    await world.restart_host()
    await world.venture(DeliverBenefit("name", (user(1), user(2))))
    await world.venture(ConfirmBenefit("name", user(1)))
    await world.venture(ContestBenefit("name", user(2), "misspelt"))
    await world.restart_host()
    view = await world.venture(GetInvestor(user(2)))
    assert [(one.benefit_id, one.status) for one in view.benefits] == [
        ("name", "contested"), ("signed-vinyl", "due"),
    ]  # fmt: skip
    await world.verify()


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_everybody_has_their_money_back_though_owners_are_lost_between_the_runs(
    world: GoodsWorld, how: str
) -> None:
    await world.open_round(goal_minor=20_000)
    people = range(1, 24)
    await world.fund(*(user(n) for n in people), amount_minor=1_000)
    await asyncio.gather(*(world.venture(invest(n, n, 100 + n)) for n in people))
    raised = sum(100 + n for n in people)
    if how == "cancelled":
        await world.venture(CancelVenture("no studio"))
    else:
        world.now_ms = DEADLINE
    seen_partly = 0
    for _ in range(200):
        (left,) = await world.balances(ESCROW)
        if not left:
            break
        seen_partly += 0 < left < raised
        await world.verify()
        await world.restart_host()  # in the middle of whatever it does
        for polls in range(1_000):  # no more than it takes: what is overdue runs at once
            if (await world.balances(ESCROW))[0] < left:
                break
            world.now_ms += polls % 50 == 0
            await asyncio.sleep(0.01)
    view = await world.until(
        lambda seen: not seen.escrow_minor, lambda: world.venture(GetVenture())
    )
    assert (view.status, view.raised_minor, view.investors) == (how, raised, 23)
    assert seen_partly > 0
    balances = await world.balances(*(available(user(n), "USD") for n in people))
    assert balances == [1_000] * 23
    told = [row["type"] for row, _ in await world.events()]
    assert told.count("InvestmentReturned") == 23
    assert told.count("EscrowReturned") == 1
    await world.verify()


async def test_a_thousand_investors_have_their_money_back(database_url: str) -> None:
    async with open_goods(database_url, VenturePolicy()) as world:
        await world.open_round(goal_minor=200_000, cap_minor=200_000)
        people = range(1, 1_001)
        await world.fund(*(user(n) for n in people), amount_minor=150)
        await asyncio.gather(*(world.venture(invest(n, n, 100 + n % 50)) for n in people))
        await world.verify()
        world.now_ms = DEADLINE
        await world.until(
            lambda seen: seen.status == "failed" and not seen.escrow_minor,
            lambda: world.venture(GetVenture()),
        )
        assert set(await world.balances(*(available(user(n), "USD") for n in people))) == {150}
        await world.verify()


async def test_investors_at_the_cap(world: GoodsWorld) -> None:
    await world.open_round(cap_minor=5_000)
    people = range(1, 31)
    await world.fund(*(user(n) for n in people if n % 3), amount_minor=700)
    answers = await asyncio.gather(
        *(world.venture(invest(n, n, 700)) for n in people), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in answers) == 7
    refused = {type(one) for one in answers if isinstance(one, BaseException)}
    assert refused == {VentureFull, InsufficientFunds}
    assert await world.balances(ESCROW) == [4_900]
    await world.verify()


async def test_commands_that_did_not_wait_for_each_other_put_in_what_was_paid(
    world: GoodsWorld,
) -> None:
    """Drafted, opened, invested and withdrawn in one batch: escrow is what stands invested."""
    people = range(1, 21)
    await world.fund(*(user(n) for n in people), amount_minor=1_000)
    asked: list[Any] = [draft(), OpenRound()]
    for n in people:
        asked += [invest(n, n, 500), invest(n, n, 500), invest(100 + n, n, 400), withdraw(n)]
    await asyncio.gather(*map(world.venture, asked), return_exceptions=True)
    await world.verify()
    await asyncio.gather(*map(world.venture, asked), return_exceptions=True)
    await world.verify()
    view = await world.venture(GetVenture())
    assert await world.balances(ESCROW) == [view.raised_minor]
    assert view.raised_minor == 8_000


async def test_investors_are_told_and_nobody_else(world: GoodsWorld) -> None:
    await world.open_round()
    await world.fund(user(1), user(2))
    await world.venture(invest(1, 1, 3_000))
    await world.venture(invest(2, 2, 3_000))
    world.now_ms = DEADLINE
    await world.until(lambda seen: seen.status == "funded", lambda: world.venture(GetVenture()))
    await world.venture(DeliverBenefit("name", (user(1),)))
    await world.venture(ContestBenefit("name", user(1), "misspelt"))
    for row, body in await world.events():
        assert row["stream"] == "ventures"
        channels = list(row["channels"])
        if row["type"] == "BenefitContested":
            assert channels == [f"user:{user(1)}", f"user:{ARTIST}"]
        elif "investor_id" in body:
            assert channels == [f"user:{body['investor_id']}"]
        else:
            assert channels == [f"venture:{VENTURE}"]
            assert user(1) not in row["body"]
            assert user(2) not in row["body"]


async def test_the_read_models_follow(world: GoodsWorld) -> None:
    await world.open_round()
    await world.fund(user(1), user(2))
    for number, investor, amount in ((1, 1, 500), (2, 1, 2_500), (3, 2, 2_500), (4, 2, 100)):
        await world.venture(invest(number, investor, amount))
        world.now_ms += 1
    await world.venture(withdraw(4))
    row = await ventures.get_venture(world.pool, VENTURE)
    assert row is not None
    assert (row.status, row.raised_minor, row.escrow_minor, row.investors) == (
        VentureStatus.OPEN, 5_500, 5_500, 2,
    )  # fmt: skip
    assert row.tiers == TIERS
    assert await ventures.newest(world.pool, FIRST_PAGE, 5, "open", ARTIST) == [row]
    world.now_ms = DEADLINE
    await world.until(lambda seen: seen.status == "funded", lambda: world.venture(GetVenture()))
    mine = await ventures.investments_of(world.pool, user(2), FIRST_PAGE, 9)
    assert [(one.amount_minor, one.status) for one in mine] == [
        (100, "withdrawn"), (2_500, "funded"),
    ]  # fmt: skip
    found = await ventures.investors(world.pool, VENTURE, LOWEST, 9)
    assert [(o.investor_id, o.invested_minor) for o in found] == [
        (user(1), 3_000),
        (user(2), 2_500),
    ]
    await world.venture(DeliverBenefit("name", (user(1), user(2))))
    await world.venture(ContestBenefit("name", user(2), "misspelt"))
    told = await ventures.deliveries(world.pool, VENTURE, [user(1), user(2)])
    assert told[user(1), "name"].status == "delivered"
    assert (told[user(2), "name"].status, told[user(2), "name"].reason) == ("contested", "misspelt")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("update ventures.investments set amount_minor = 301", "301 stand invested"),
        ("update ventures.investments set status = 'returned'", "0 stand invested"),
        ("update ventures.ventures set escrow_minor = 299", "the venture says 299"),
        ("update ventures.ventures set raised_minor = 301", "301 of 1 investors raised"),
        ("update ventures.ventures set currency = 'EUR'", "the account has 0"),
    ],
)
async def test_escrow_that_the_ledger_does_not_know_is_found(
    world: GoodsWorld, harm: str, says: str
) -> None:
    await world.open_round()
    await world.fund(user(1))
    await world.venture(invest(1, 1, 300))
    await world.verify()
    await world.pool.execute(harm)
    async with world.pool.acquire() as connection:
        found = await goods_verified.differences(connection)
    assert any(says in line for line in found), found
