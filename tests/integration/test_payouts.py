"""Payouts through the HTTP door: real owners, ledger and bus; Stripe's stand-in over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import redis.asyncio as redis_asyncio

from messages.keys import derive_key
from messages.payments.payout_errors import PayoutLimitReached
from messages.payments.payouts import RequestPayout
from messages.users import Role
from storage import audit
from storage.database import Pool
from tests.api_services import assert_problem
from tests.integration.payouts_support import World, open_world
from tests.integration.rewards_support import until

METHODS = "users/me/payout-methods"


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


async def test_a_payout(world: World) -> None:
    method_id = await world.stripe_method()
    asked = await world.pay_out()
    assert asked.status_code == 201, asked.text
    payout = asked.json()
    assert (payout["status"], payout["method_id"]) == ("requested", method_id)
    await world.reaches(payout["payout_id"], "paid")
    (sent,) = world.stripe.connect.transfers.values()
    assert (sent["amount"], sent["currency"]) == (5_000, "usd")
    assert sent["metadata"] == {"payout_id": payout["payout_id"]}
    assert (await world.wallet(), await world.on_its_way()) == (5_000, 0)
    (listed,) = (await world.get("users/me/payouts")).json()["items"]
    assert (listed["payout_id"], listed["status"]) == (payout["payout_id"], "paid")


async def test_the_same_request_is_the_same_payout(world: World) -> None:
    await world.stripe_method()
    answers = await asyncio.gather(*(world.pay_out(key="payout-once") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    (payout_id,) = {answer.json()["payout_id"] for answer in answers}
    await world.reaches(payout_id, "paid")
    assert len(world.stripe.connect.transfers) == 1
    other = await world.pay_out(6_000, key="payout-once")
    assert_problem(other, 422, "idempotency-key-reused")


async def test_more_than_there_is_cannot_be_paid_out(world: World) -> None:
    await world.stripe_method()
    assert_problem(await world.pay_out(10_001), 409, "insufficient-funds")
    assert (await world.get("users/me/payouts")).json()["items"] == []
    assert await world.wallet() == 10_000


async def test_a_transfer_whose_answer_got_lost_takes_place_once(world: World) -> None:
    await world.stripe_method()
    world.stripe.faults.set(
        [
            {"on": "transfer", "do": "500"},
            {"on": "transfer", "do": "lose-answer"},
            {"on": "webhook", "do": "drop", "times": 99},
        ]
    )
    payout_id = (await world.pay_out()).json()["payout_id"]
    await world.reaches(payout_id, "paid")
    assert len(world.stripe.connect.transfers) == 1
    assert {key for kind, key in world.gateway.asked if kind == "pay"} == {f"{payout_id}:pay"}


async def test_a_transfer_that_is_reversed_is_the_balance_again(world: World) -> None:
    await world.stripe_method()
    world.stripe.faults.set([{"on": "webhook", "do": "duplicate", "times": 9}])
    payout_id = (await world.pay_out()).json()["payout_id"]
    await world.reaches(payout_id, "paid")
    world.stripe.connect.reverse(next(iter(world.stripe.connect.transfers)))

    async def returned() -> bool:
        return await world.status(payout_id) == "returned"

    await until(returned)
    assert await world.wallet() == 10_000


async def test_a_transfer_that_stripe_refuses_fails(world: World) -> None:
    await world.stripe_method()
    world.stripe.connect.funds = {"usd": 100}
    payout_id = (await world.pay_out()).json()["payout_id"]

    async def failed() -> bool:
        return await world.status(payout_id) == "failed"

    await until(failed)
    shown = (await world.get(f"payouts/{payout_id}")).json()
    assert shown["failure"] == "balance_insufficient"
    assert (await world.wallet(), await world.on_its_way()) == (10_000, 0)


async def test_a_large_one_waits_for_a_person(world: World) -> None:
    await world.stripe_method()
    await world.fund(500_000)
    ana = world.user_id
    held = (await world.pay_out(200_000)).json()
    assert held["status"] == "on_hold"
    review = f"payouts/{held['payout_id']}/review"
    decision = {"allow": True, "reason": "known artist"}
    assert_problem(await world.post(review, decision), 403, "permission-missing")
    await world.sign_in("mod", Role.ADMIN)
    (listed,) = (await world.get(f"payouts?status=on_hold&user_id={ana}")).json()["items"]
    assert (listed["payout_id"], listed["reasons"]) == (held["payout_id"], ["amount-large"])
    assert (await world.post(review, decision)).json()["status"] == "sending"
    admin = world.user_id
    (entry,) = await world.api.pool.fetch(
        "select actor, detail from audit.entries where subject = $1", f"payout:{held['payout_id']}"
    )
    assert entry["actor"] == admin
    world.user_id = ana
    world.sign_in_again()
    await world.reaches(held["payout_id"], "paid")


async def test_a_payout_on_hold_is_taken_back(world: World) -> None:
    await world.stripe_method()
    await world.fund(500_000)
    held = (await world.pay_out(200_000)).json()
    path = f"payouts/{held['payout_id']}/cancellation"
    assert (await world.post(path)).json()["status"] == "cancelled"
    assert await world.wallet() == 510_000
    assert not world.stripe.connect.transfers


async def test_many_at_once_keep_to_the_limit_of_a_day(world: World) -> None:
    """Asked of their owners in one call, so that they are decided in one batch."""
    method_id = await world.stripe_method()
    await world.fund(3_000_000)
    asked = RequestPayout(world.user_id, method_id, 600_000, "USD")
    answers = await asyncio.gather(
        *(
            world.engine.handle.ask(str(uuid4()), asked, key=derive_key("at-once", number))
            for number in range(6)
        ),
        return_exceptions=True,
    )
    refused = [one for one in answers if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [PayoutLimitReached] * 5
    assert await world.on_its_way() == 600_000
    over = assert_problem(await world.pay_out(400_001), 429, "payout-limit-reached")
    assert over["params"] == {"most": 1_000_000, "left": 400_000}


async def test_a_password_that_was_just_changed_rests(world: World) -> None:
    await world.stripe_method()
    at_ms = world.api.services.clock()
    async with world.api.pool.acquire() as connection, connection.transaction():
        await audit.record(
            connection,
            "password.changed",
            actor=world.user_id,
            subject=f"user:{world.user_id}",
            at_ms=at_ms,
        )
    params = assert_problem(await world.pay_out(), 409, "payout-cooling-off")["params"]
    assert params == {"reason": "credentials-changed", "until_ms": at_ms + 86_400_000}


async def test_a_large_one_wants_a_recent_proof(world: World) -> None:
    await world.stripe_method()
    await world.fund(100_000)
    world.sign_in_again(lately=False)
    assert_problem(await world.pay_out(10_001), 403, "step-up-required")
    assert (await world.pay_out(10_000)).status_code == 201


async def test_an_account_is_onboarded_before_it_is_paid(world: World) -> None:
    method_id = await world.stripe_method(onboarded=False)
    (method,) = (await world.get(METHODS)).json()["items"]
    assert (method["state"], method["is_default"]) == ("pending", True)
    assert_problem(await world.pay_out(), 409, "payout-method-not-ready")
    back = {"return_url": "http://localhost/back"}
    page = (await world.post(f"{METHODS}/{method_id}/onboarding", back)).json()["url"]
    async with httpx.AsyncClient() as browser:
        assert "Where shall the money go?" in (await browser.get(page)).text
        answer = await browser.post(page, data={"outcome": "complete"})
    assert answer.headers["location"] == "http://localhost/back"

    async def ready() -> bool:
        (found,) = (await world.get(METHODS)).json()["items"]
        return bool(found["state"] == "ready")

    await until(ready)  # by the webhook
    assert (await world.pay_out()).status_code == 201


async def test_an_address_is_sealed_and_masked(world: World) -> None:
    body = {"provider": "paypal", "address": "ana.maria@example.org"}
    added = await world.post(METHODS, body, key="add-paypal-1")
    assert added.status_code == 201, added.text
    assert added.json()["label"] == "a…@example.org"
    assert (await world.post(METHODS, body, key="add-paypal-1")).json() == added.json()
    assert_problem(await world.post(METHODS, body), 409, "payout-method-exists")
    for table in ("payments.payout_methods", "api.idempotency", "bus.outbox", "audit.entries"):
        rows = await world.api.pool.fetch(f"select t::text from {table} t")
        assert not any("ana.maria" in row["t"] for row in rows), table
    method_id = added.json()["method_id"]
    assert [name for name, _ in await world.api.letters("ana@example.org")] == [
        "payout-method-added"
    ]
    assert (await world.delete(f"{METHODS}/{method_id}")).status_code == 204
    assert (await world.get(METHODS)).json()["items"] == []
    assert len(await world.api.letters("ana@example.org")) == 2


async def test_methods_are_changed_with_a_recent_proof(world: World) -> None:
    method_id = await world.stripe_method()
    world.sign_in_again(lately=False)
    body = {"provider": "paypal", "address": "ana@example.org"}
    for answer in (
        await world.post(METHODS, body),
        await world.delete(f"{METHODS}/{method_id}"),
        await world.post(f"{METHODS}/{method_id}/onboarding", {"return_url": "http://a/b"}),
    ):
        assert_problem(answer, 403, "step-up-required")


async def test_a_method_in_use_stays(world: World) -> None:
    method_id = await world.stripe_method()
    await world.fund(500_000)
    held = (await world.pay_out(200_000)).json()
    assert_problem(await world.delete(f"{METHODS}/{method_id}"), 409, "payout-method-in-use")
    await world.post(f"payouts/{held['payout_id']}/cancellation")
    assert (await world.delete(f"{METHODS}/{method_id}")).status_code == 204
    assert_problem(await world.pay_out(), 404, "payout-method-not-found")


async def test_the_default_is_chosen(world: World) -> None:
    first = await world.stripe_method()
    body = {"provider": "paypal", "address": "ana@example.org"}
    second = (await world.post(METHODS, body)).json()["method_id"]
    path = f"/api/v1/{METHODS}/{second}/default"
    chosen = await world.api.client.put(path, headers=world.api.headers())
    assert [(m["method_id"], m["is_default"]) for m in chosen.json()["items"]] == [
        (first, False),
        (second, True),
    ]


async def test_other_peoples_payouts_and_methods_are_not_to_be_found(world: World) -> None:
    method_id = await world.stripe_method()
    payout_id = (await world.pay_out()).json()["payout_id"]
    await world.reaches(payout_id, "paid")
    ana, _ = world.user_id, await world.sign_in("bea")
    await world.fund(10_000)
    for thing in (payout_id, str(uuid4())):
        assert_problem(await world.get(f"payouts/{thing}"), 404, "payout-not-found")
        answer = await world.post(f"payouts/{thing}/cancellation")
        assert_problem(answer, 404, "payout-not-found")
    for method in (method_id, str(uuid4())):
        for answer in (
            await world.delete(f"{METHODS}/{method}"),
            await world.post(f"{METHODS}/{method}/refresh"),
            await world.post(f"{METHODS}/{method}/onboarding", {"return_url": "http://a/b"}),
            await world.api.client.put(
                f"/api/v1/{METHODS}/{method}/default", headers=world.api.headers()
            ),
            await world.pay_out(method_id=method),
        ):
            assert_problem(answer, 404, "payout-method-not-found")
    assert await world.api.pool.fetchval(
        "select is_default from payments.payout_methods where user_id = $1", UUID(ana)
    )


async def test_webhooks_of_nothing_of_ours_are_kept(world: World) -> None:
    world.stripe.connect.onboard((await world.engine.accounts.open("US", "elsewhere")).ref)

    async def kept() -> bool:
        state = await world.api.pool.fetchval("select state from payments.webhooks")
        return bool(state == "unrelated")

    await until(kept)
