"""Saved cards through the doors, with the stand-in for Stripe over HTTP behind them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis.asyncio as redis_asyncio
import uvicorn

from actors.saved_methods import AGAIN_MS, GIVEN_UP_MS, SavedMethodsKeeper
from api import saved_methods as routes
from integrations.payment_gateway import Order
from integrations.payment_gateway_stripe import StripeGateway
from integrations.saved_methods_stripe import StripeSavedMethods
from integrations.stripe_client import StripeSettings
from messages.payments.gateways import CallDeclined, CallNotSent, Method, ProviderStatus
from messages.payments.payments import Capture
from messages.payments.saved_methods import SetupStatus
from messages.users import Role
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator
from storage import saved_methods, users_erasure, users_export
from storage import users as users_storage
from storage.database import Pool
from tests.api_services import assert_problem
from tests.integration.payments_support import World, clock, open_world

VISA, ASKS = "pm_card_visa", "pm_card_authenticationRequired"


class Stripe:
    def __init__(self, url: str, simulator: StripeSimulator) -> None:
        self.url, self.simulator = url, simulator
        self.settings = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, url, 2.0)
        self.cards = StripeSavedMethods(self.settings)

    @property
    def attached(self) -> list[str]:
        return [m for m, owner in self.simulator.saved.owners.items() if owner is not None]

    async def authenticate(self, url: str, outcome: str = "succeed") -> None:
        async with httpx.AsyncClient() as client:
            await client.post(url, data={"outcome": outcome})


@pytest.fixture
async def stripe() -> AsyncIterator[Stripe]:
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    simulator = StripeSimulator("", url)
    config = uvicorn.Config(simulator.app(), log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    made = Stripe(url, simulator)
    yield made
    await made.cards.close()
    server.should_exit = True
    await serving


@pytest.fixture
async def world(
    pool: Pool,
    tmp_path: Path,
    database_url: str,
    redis_server: str,
    redis_client: redis_asyncio.Redis,
    stripe: Stripe,
) -> AsyncIterator[World]:
    async with open_world(pool, tmp_path, database_url, redis_server) as opened:
        services = replace(opened.api.services, card_keeper=stripe.cards)
        opened.api.services = opened.api.app.state.services = services
        yield opened
        await opened.verify()


async def save(world: World, source: str = VISA, key: str | None = None) -> httpx.Response:
    return await world.post("users/me/payment-methods", {"source": source}, key)


async def listed(world: World) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.get("users/me/payment-methods")).json()["items"]
    return items


async def delete(world: World, path: str) -> httpx.Response:
    return await world.api.client.delete(f"/api/v1/{path}", headers=world.api.headers())


def keeper(world: World, later_ms: int = 0) -> SavedMethodsKeeper:
    provider = world.api.services.saved_methods
    return SavedMethodsKeeper(provider, world.api.pool, lambda: clock() + later_ms)


async def test_every_statement_compiles(pool: Pool) -> None:
    texts = [
        v
        for n, v in vars(saved_methods).items()
        if isinstance(v, str) and n.isupper() and n[0] != "_"
    ]
    statements = [t for t in (*texts, *saved_methods.ERASE) if "payments." in t]
    assert len(statements) >= 15
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_a_card_is_saved_once_and_shown_without_its_number(
    world: World, stripe: Stripe
) -> None:
    answers = [await save(world, key="save-once-1") for _ in range(3)]
    assert {a.status_code for a in answers} == {201}, answers[0].text
    assert len({a.text for a in answers}) == 1
    card = answers[0].json()["saved"]
    assert {k: card[k] for k in ("brand", "last4", "expires_month", "expires_year")} == {
        "brand": "visa", "last4": "4242", "expires_month": 12, "expires_year": 2034,
    }  # fmt: skip
    assert card["is_default"]
    assert await listed(world) == [card]
    assert len(stripe.attached) == len(stripe.simulator.saved.customers) == 1
    facts = await world.api.pool.fetch("select type from bus.outbox where stream = 'users'")
    assert [f["type"] for f in facts] == ["PaymentMethodSaved"]
    audited = await world.api.pool.fetch("select action from audit.entries")
    assert [a["action"] for a in audited] == ["payment-method.saved"]


async def test_a_card_whose_bank_asks(world: World, stripe: Stripe) -> None:
    begun = (await save(world, ASKS)).json()
    assert begun["saved"] is None
    assert begun["client_secret"]
    assert await listed(world) == []
    paid = await world.pay(source=begun["method_id"])
    assert_problem(paid, 409, "saved-method-pending")
    path = f"users/me/payment-methods/{begun['method_id']}"
    preferred = await world.api.client.put(f"/api/v1/{path}/default", headers=world.api.headers())
    assert_problem(preferred, 409, "saved-method-pending")
    assert (await world.post(f"{path}/confirmation")).json()["saved"] is None
    await stripe.authenticate(begun["url"])
    for _ in range(2):
        done = (await world.post(f"{path}/confirmation")).json()
        assert done["saved"]["last4"] == "4242"
        assert (done["client_secret"], done["url"]) == ("", "")


async def test_whose_owner_never_comes_back_is_found_or_given_up(
    world: World, stripe: Stripe
) -> None:
    found, lost = [(await save(world, ASKS)).json() for _ in range(2)]
    await stripe.authenticate(found["url"])
    assert await keeper(world).run() == 0  # not yet
    assert await keeper(world, AGAIN_MS + 1_000).run() == 1
    assert [one["method_id"] for one in await listed(world)] == [found["method_id"]]
    assert await keeper(world, GIVEN_UP_MS + 2 * AGAIN_MS).run() == 1
    gone = await world.post(f"users/me/payment-methods/{lost['method_id']}/confirmation")
    assert_problem(gone, 404, "saved-method-not-found")
    statuses = sorted(one["status"] for one in stripe.simulator.saved.setups.values())
    assert statuses == ["canceled", "succeeded"]


async def test_paying_with_a_saved_card(world: World) -> None:
    card = (await save(world)).json()["saved"]
    orders: list[Order] = []
    create = world.gateway.create

    async def watched(order: Order, key: str) -> Any:
        orders.append(order)
        return await create(order, key)

    world.gateway.create = watched  # type: ignore[method-assign]
    paid = await world.pay(source=card["method_id"])
    assert paid.json()["status"] == "completed", paid.text
    customer, method = orders[0].source.split("/")
    assert customer.startswith("cus_")
    assert method.startswith("pm_card_visa_")
    assert_problem(await world.pay(source=str(uuid4())), 404, "saved-method-not-found")
    forged = await world.pay(source=orders[0].source)  # as if it were ours to say
    assert_problem(forged, 422, "invalid-request")


async def test_stripe_takes_a_saved_card_from_its_customer_alone(
    world: World, stripe: Stripe
) -> None:
    await save(world)
    (method,) = stripe.attached
    (customer,) = stripe.simulator.saved.customers
    gateway = StripeGateway(stripe.settings)
    order = Order(
        str(uuid4()), 5_000, "USD", Method.CARD, Capture.AUTOMATIC, "test", f"{customer}/{method}"
    )
    assert (await gateway.create(order, "k1")).status is ProviderStatus.CAPTURED
    for other in (method, f"cus_other/{method}"):
        with pytest.raises(CallDeclined):
            await gateway.create(replace_source(order, other), f"k-{other}")
    await stripe.cards.forget_method(method)
    with pytest.raises(CallDeclined):
        await gateway.create(order, "k2")
    await gateway.close()


def replace_source(order: Order, source: str) -> Order:
    import msgspec

    return msgspec.structs.replace(order, source=source)


async def test_the_default_and_removing(world: World, stripe: Stripe) -> None:
    first, second = [(await save(world)).json()["saved"] for _ in range(2)]
    assert [one["is_default"] for one in await listed(world)] == [True, False]
    path = f"users/me/payment-methods/{second['method_id']}"
    await world.api.client.put(f"/api/v1/{path}/default", headers=world.api.headers())
    assert [one["is_default"] for one in await listed(world)] == [False, True]
    assert (await delete(world, path)).status_code == 204
    assert_problem(await delete(world, path), 404, "saved-method-not-found")
    assert [one["method_id"] for one in await listed(world)] == [first["method_id"]]
    assert_problem(await world.pay(source=second["method_id"]), 404, "saved-method-not-found")
    await stripe_forgets_later(world, stripe)
    assert len(stripe.attached) == 1


async def stripe_forgets_later(world: World, stripe: Stripe) -> None:
    """Not while it is away; and once it has, nothing is left to forget."""
    stripe.simulator.faults.set([{"on": "forget", "do": "500"}])
    assert await keeper(world).run() == 0
    assert len(stripe.attached) == 2
    assert await keeper(world, AGAIN_MS + 1_000).run() == 1
    assert await world.api.pool.fetchval("select count(*) from payments.to_forget") == 0


async def test_removing_a_card_that_is_being_saved(world: World, stripe: Stripe) -> None:
    begun, late = [(await save(world, ASKS)).json() for _ in range(2)]
    await stripe.authenticate(late["url"])  # saved after all, which we were not told
    for one in (begun, late):
        done = await delete(world, f"users/me/payment-methods/{one['method_id']}")
        assert done.status_code == 204
    assert len(stripe.attached) == 1
    await keeper(world).run()
    assert stripe.attached == []
    statuses = sorted(one["status"] for one in stripe.simulator.saved.setups.values())
    assert statuses == ["canceled", "succeeded"]


async def test_another_users_card_is_not_there(world: World, stripe: Stripe) -> None:
    card = (await save(world)).json()["saved"]
    await world.sign_in("bea", Role.USER)
    assert await listed(world) == []
    for method_id in (card["method_id"], str(uuid4())):
        path = f"users/me/payment-methods/{method_id}"
        answers = [
            await world.post(f"{path}/confirmation"),
            await world.api.client.put(f"/api/v1/{path}/default", headers=world.api.headers()),
            await delete(world, path),
            await world.pay(source=method_id),
        ]
        for answer in answers:
            assert_problem(answer, 404, "saved-method-not-found")
    assert len(stripe.attached) == 1
    assert world.gateway.asked == []


async def test_saving_and_removing_want_a_recent_proof(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (await save(world)).json()["saved"]
    services = world.api.services
    later = replace(services, clock=lambda: clock() + 6 * 60_000)
    world.api.app.state.services = later
    assert_problem(await save(world), 403, "step-up-required")
    refused = await delete(world, f"users/me/payment-methods/{card['method_id']}")
    assert_problem(refused, 403, "step-up-required")
    assert len(await listed(world)) == 1


async def test_what_is_refused_saves_nothing(
    world: World, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_problem(await save(world, "pm_card_chargeDeclined"), 409, "payment-declined")
    assert_problem(await save(world, "4242 4242 4242 4242"), 422, "invalid-request")
    stripe.simulator.faults.set([{"on": "setup", "do": "lose-answer"}])
    assert (await save(world, key="lost-answer")).status_code == 503
    assert (await save(world, key="lost-answer")).json()["saved"]["last4"] == "4242"
    assert len(stripe.attached) == 1
    monkeypatch.setattr(routes, "MOST", 1)
    assert_problem(await save(world), 429, "saved-method-limit")


async def test_a_deleted_account_leaves_no_card_anywhere(world: World, stripe: Stripe) -> None:
    await save(world)
    async with world.api.pool.acquire() as connection, connection.transaction():
        exported = b"".join([part async for part in users_export.export(connection, world.user_id)])
        assert b'"last4":"4242"' in exported
        assert b"pm_card" not in exported
        user = await users_storage.get_user(connection, world.user_id)
        assert user is not None
        await users_erasure.erase(connection, user, 1, 2)
    for table in ("customers", "saved_methods"):
        assert await world.api.pool.fetchval(f"select count(*) from payments.{table}") == 0
    assert len(stripe.attached) == 1
    assert await keeper(world).run() == 1
    assert (stripe.attached, stripe.simulator.saved.customers) == ([], {})


async def test_the_port(stripe: Stripe) -> None:
    """What the adapter makes of each answer."""
    cards = stripe.cards
    customer = await cards.create_customer("user", "c")
    assert await cards.create_customer("user", "c") == customer
    begun = await cards.begin(customer, "", "", "s1")
    assert (begun.status, begun.card, begun.url) == (SetupStatus.PENDING, None, "")
    asks = await cards.begin(customer, ASKS, "http://localhost/back", "s2")
    await stripe.authenticate(asks.url, "fail")
    assert (await cards.read(asks.ref)).status is SetupStatus.PENDING  # another card may do
    await cards.cancel(asks.ref)
    assert (await cards.read(asks.ref)).status is SetupStatus.ENDED
    asks = await cards.begin(customer, ASKS, "", "s3")
    await stripe.authenticate(asks.url)
    again = await cards.begin(customer, ASKS, "", "s3")  # the old answer is looked at again
    assert (again.ref, again.status) == (asks.ref, SetupStatus.SUCCEEDED)
    assert again.card is not None
    for call in (
        cards.cancel(asks.ref), cards.read("seti_none"), cards.forget_method("pm_none"),
        cards.forget_customer("cus_none"), cards.begin("cus_none", VISA, "", "s4"),
    ):  # fmt: skip
        with pytest.raises(CallDeclined):
            await call
    wrong = StripeSavedMethods(StripeSettings("sk_wrong", WEBHOOK_SECRET, stripe.url))
    with pytest.raises(CallNotSent):
        await wrong.create_customer("user", "c2")
    await wrong.close()
