"""Money of users through the door: its parts, statements, whose they are; what can be paid with."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis.asyncio as redis_asyncio

from messages.payments.gateways import (
    DisputeStatus,
    ProviderDispute,
)
from messages.payments.webhooks import WebhookEvent
from messages.users import Role
from storage import wallets
from storage.database import Pool
from tests.api_services import assert_problem
from tests.integration.payments_support import World, open_world
from tests.integration.rewards_support import until


@pytest.fixture
async def world(
    pool: Pool,
    tmp_path: Path,
    database_url: str,
    redis_server: str,
    redis_client: redis_asyncio.Redis,
) -> AsyncIterator[World]:
    async with open_world(pool, tmp_path, database_url, redis_server) as opened:
        yield opened
        await opened.verify()


async def test_every_statement_compiles(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.prepare(wallets.OWED)


async def funds(world: World) -> dict[str, dict[str, int]]:
    found = (await world.get("users/me/funds")).json()["items"]
    return {each["currency"]: each for each in found}


async def test_where_ones_money_is(world: World) -> None:
    empty = {"available_minor": 0, "held_minor": 0, "refunding_minor": 0, "paying_out_minor": 0}
    assert await funds(world) == {"USD": {"currency": "USD", "digits": 2, "owed_minor": 0} | empty}
    payment = (await world.pay()).json()
    world.gateway.lose = 100  # the refund's answer: it stays on its way
    await world.post(f"payments/{payment['payment_id']}/refunds", {"amount_minor": 4_000})
    found = (await funds(world))["USD"]
    assert (found["available_minor"], found["refunding_minor"]) == (6_000, 4_000)


async def test_what_is_owed_is_shown(world: World) -> None:
    payment = (await world.pay()).json()
    charge = world.charge()
    await spend(world)
    charge.disputes["dp"] = ProviderDispute("dp", 10_000, DisputeStatus.OPEN, 1)
    await world.tell(WebhookEvent("evt_1", "dispute.created", 1, charge.ref))

    async def owed() -> bool:
        return (await funds(world))["USD"]["owed_minor"] == 10_000

    await until(owed)
    shown = (await world.get(f"payments/{payment['payment_id']}")).json()
    assert shown["owed_minor"] == 10_000


async def spend(world: World) -> None:
    from messages.keys import derive_key
    from messages.ledger import transfer
    from storage import ledger

    mine, shop = f"user:{world.user_id}:available/USD", "outside:shop:sales/USD"
    moved = transfer(
        derive_key("spent"), mine, shop, 10_000, cause="order:1", purpose="nft-purchase"
    )
    async with world.api.pool.acquire() as connection, connection.transaction():
        await ledger.post(connection, [moved], 1)


async def test_a_statement_in_pages_with_the_balance_after_each(world: World) -> None:
    for amount in (1_000, 2_000, 3_000):
        world.provider.charges.clear()
        assert (await world.pay(amount)).status_code == 201
    lines, cursor = [], ""
    for _ in range(3):
        path = f"users/me/funds/USD/statement?limit=1{cursor}"
        page = (await world.get(path)).json()
        assert (page["currency"], page["digits"], page["part"]) == ("USD", 2, "available")
        lines += page["items"]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert [(x["amount_minor"], x["balance_minor"]) for x in lines] == [
        (3_000, 6_000), (2_000, 3_000), (1_000, 1_000),
    ]  # fmt: skip
    assert {x["title"] for x in lines} == {"Paid in"}
    assert lines[0]["cause"].startswith("payment:")
    assert_problem(await world.get("users/me/funds/USD/statement?cursor=x"), 422, "cursor-invalid")
    unknown = await world.get("users/me/funds/DOGE/statement")
    assert_problem(unknown, 404, "funds-currency-unknown")


async def test_a_statement_as_csv_and_in_spanish(world: World) -> None:
    await world.pay(10_000)
    await spend(world)
    headers = world.api.headers() | {"accept": "text/csv", "accept-language": "es"}
    path = "/api/v1/users/me/funds/USD/statement?limit=1"
    answer = await world.api.client.get(path, headers=headers)
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["moment", "title", "cause", "currency", "amount", "balance"]
    assert rows[1][1:] == ["Compra de un coleccionable", "order:1", "USD", "-100.00", "0.00"]
    following = answer.headers["link"].removeprefix("<").partition(">")[0]
    rest = await world.api.client.get(following + "&format=csv", headers=world.api.headers())
    assert list(csv.reader(io.StringIO(rest.text)))[1][1] == "Paid in"
    assert "link" not in rest.headers
    asked = await world.api.client.get(path + "&format=json", headers=headers)
    assert asked.json()["items"][0]["amount_minor"] == -10_000


async def test_the_funds_of_others_are_for_those_who_look_after_payments(world: World) -> None:
    await world.pay()
    owner = world.user_id
    paths = [f"users/{owner}/funds", f"users/{owner}/funds/USD/statement"]
    await world.sign_in("bea", Role.USER)
    for path in paths:
        assert_problem(await world.get(path), 403, "permission-missing")
    assert (await funds(world))["USD"]["available_minor"] == 0
    await world.sign_in("root", Role.ADMIN)
    shown, statement = await asyncio.gather(*(world.get(path) for path in paths))
    assert shown.json()["items"][0]["available_minor"] == 10_000
    assert statement.json()["items"][0]["amount_minor"] == 10_000
    assert_problem(await world.get(f"users/{uuid4()}/funds"), 404, "user-not-found")


async def test_what_can_be_paid_with(world: World) -> None:
    (card,) = (await world.get("payment-methods?currency=USD&amount_minor=10000")).json()["items"]
    assert (card["method"], card["available"]) == ("card", True)
    (provider,) = card["providers"]
    assert (provider["gateway"], provider["healthy"], provider["authorises"]) == (
        "stripe", True, True,
    )  # fmt: skip
    assert provider["cost_minor"] == 320  # 2.9 % + 0.30
    dollars = next(one for one in provider["limits"] if one["currency"] == "USD")
    assert dollars == {
        "currency": "USD", "digits": 2, "least_minor": 1, "most_minor": 100_000_000,
        "step_minor": 1,
    }  # fmt: skip
    world.gateway.healthy = False
    (card,) = (await world.get("payment-methods")).json()["items"]
    assert (card["available"], card["providers"][0]["cost_minor"]) == (False, None)
    for nothing in ("currency=SOL", "currency=USD&amount_minor=100000001"):
        assert (await world.get(f"payment-methods?{nothing}")).json()["items"] == []
