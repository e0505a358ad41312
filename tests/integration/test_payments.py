"""Payments through the HTTP door: real owners, ledger and bus; a provider that loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis.asyncio as redis_asyncio

from messages.payments.gateways import (
    CallKind,
    DisputeStatus,
    ProviderDispute,
    ProviderStatus,
)
from messages.payments.webhooks import WebhookEvent
from messages.users import Role
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


async def test_paying_in(world: World) -> None:
    paid = await world.pay()
    assert paid.status_code == 201, paid.text
    payment = paid.json()
    assert (payment["status"], payment["received_minor"]) == ("completed", 10_000)
    assert await world.wallet() == 10_000
    shown = await world.get(f"payments/{payment['payment_id']}")
    assert shown.json() == payment
    (listed,) = (await world.get("users/me/payments")).json()["items"]
    assert (listed["payment_id"], listed["status"]) == (payment["payment_id"], "completed")


async def test_the_same_request_is_the_same_payment(world: World) -> None:
    answers = await asyncio.gather(*(world.pay(key="pay-once-1") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["payment_id"] for answer in answers}) == 1
    assert (world.charge().captures, await world.wallet()) == (1, 10_000)
    other = await world.pay(20_000, key="pay-once-1")
    assert_problem(other, 422, "idempotency-key-reused")


async def test_an_answer_that_got_lost_is_found_by_itself(world: World) -> None:
    world.gateway.lose = 2
    payment = (await world.pay()).json()
    assert payment["status"] == "processing"

    async def paid() -> bool:
        found = await world.get(f"payments/{payment['payment_id']}")
        return bool(found.json()["status"] == "completed")

    await until(paid)
    keys = {call.key for call in world.gateway.asked if call.kind is CallKind.CREATE}
    assert len(keys) == 1
    assert (world.charge().captures, await world.wallet()) == (1, 10_000)


async def test_a_refund(world: World) -> None:
    payment = (await world.pay()).json()
    path = f"payments/{payment['payment_id']}/refunds"
    refund = {"amount_minor": 4_000, "reason": "unhappy"}
    answers = [await world.post(path, refund, key="refund-1") for _ in range(2)]
    assert [a.json()["returned_minor"] for a in answers] == [4_000, 4_000]
    assert (await world.wallet(), world.charge().returned) == (6_000, 4_000)
    too_much = await world.post(path, {"amount_minor": 6_001})
    assert assert_problem(too_much, 409, "refund-too-large")["params"] == {"most": 6_000}


async def test_what_was_spent_cannot_be_refunded(world: World) -> None:
    payment = (await world.pay()).json()
    await spend(world, 8_000)
    answer = await world.post(f"payments/{payment['payment_id']}/refunds", {"amount_minor": 5_000})
    assert_problem(answer, 409, "insufficient-funds")
    assert world.charge().returned == 0
    assert await world.wallet() == 2_000


async def spend(world: World, amount: int) -> None:
    from messages.keys import derive_key
    from messages.ledger import transfer
    from storage import ledger

    moved = transfer(
        derive_key("test", amount),
        f"user:{world.user_id}:available/USD",
        "outside:shop:sales/USD",
        amount,
        cause="test",
        purpose="purchase",
    )
    async with world.api.pool.acquire() as connection, connection.transaction():
        await ledger.post(connection, [moved], 1)


async def test_other_peoples_payments_are_not_to_be_found(world: World) -> None:
    payment = (await world.pay()).json()
    await world.sign_in("bea", Role.USER)
    path = f"payments/{payment['payment_id']}"
    assert_problem(await world.get(path), 404, "payment-not-found")
    for what, body in (
        ("confirmation", None),
        ("cancellation", None),
        ("captures", {"amount_minor": 1}),
        ("refunds", {"amount_minor": 1}),
    ):
        assert_problem(await world.post(f"{path}/{what}", body), 404, "payment-not-found")
    assert (await world.get("users/me/payments")).json()["items"] == []
    assert_problem(await world.get("payments"), 403, "permission-missing")


async def test_a_large_payment_waits_for_a_person(world: World) -> None:
    payment = (await world.pay(1_000_001)).json()
    assert payment["status"] == "on_hold"
    assert world.gateway.asked == []
    await world.sign_in("root", Role.ADMIN)
    (waiting,) = (await world.get("payments?status=on_hold")).json()["items"]
    assert waiting["reasons"] == ["amount-large", "email-unverified"]
    allowed = await world.post(
        f"payments/{payment['payment_id']}/review", {"allow": True, "reason": "called her"}
    )
    assert allowed.json()["status"] == "completed"
    assert await world.wallet() == 1_000_001


async def test_cancelling(world: World) -> None:
    world.provider.first = ProviderStatus.REQUIRES_ACTION
    payment = (await world.pay()).json()
    assert payment["status"] == "requires_action"
    assert payment["action"]["url"] == "https://pay.example"
    ended = await world.post(f"payments/{payment['payment_id']}/cancellation")
    assert ended.json()["status"] == "cancelled"


async def test_what_is_refused_changes_nothing(world: World) -> None:
    for changes, code in (
        ({"amount_minor": 0}, "invalid-request"),
        ({"currency": "SOL"}, "payment-method-not-offered"),
        ({"method": "paypal"}, "payment-method-not-offered"),
        ({"amount_minor": 10**11}, "payment-amount-invalid"),
    ):
        body = {"amount_minor": 1, "currency": "USD", "method": "card", **changes}
        assert_problem(await world.post("payments", body), 422, code)
    assert_problem(await world.get(f"payments/{uuid4()}"), 404, "payment-not-found")
    assert await world.api.pool.fetchval("select count(*) from payments.payments") == 0


async def test_the_moves_of_a_payment_are_kept(world: World) -> None:
    payment = (await world.pay()).json()
    rows = await world.api.pool.fetch(
        "select status_before, status from payments.transitions where payment_id = $1"
        " order by number",
        payment["payment_id"],
    )
    assert [tuple(row) for row in rows] == [("pending", "processing"), ("processing", "completed")]
    with pytest.raises(Exception, match="append-only"):
        await world.api.pool.execute("delete from payments.transitions")


async def test_a_webhook_moves_a_payment_once(world: World) -> None:
    world.provider.first = ProviderStatus.PROCESSING
    payment = (await world.pay()).json()
    assert payment["status"] == "processing"
    world.provider.move(world.charge(), ProviderStatus.CAPTURED)
    event = WebhookEvent("evt_1", "payment.captured", 1, world.charge().ref)
    answers = await asyncio.gather(*(world.tell(event) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}

    async def paid() -> bool:
        return await world.wallet() == 10_000

    await until(paid)
    rows = await world.api.pool.fetch("select event_id, state from payments.webhooks")
    assert [row["event_id"] for row in rows] == ["evt_1"]
    fetched = [call for call in world.gateway.asked if call.kind is CallKind.FETCH]
    assert len(fetched) == 1


async def test_webhooks_that_are_not_ours_or_of_nothing_of_ours(world: World) -> None:
    event = WebhookEvent("evt_2", "payout.paid", 1, "ch_unknown")
    assert_problem(await world.tell(event, "bad"), 401, "webhook-signature-wrong")
    assert await world.api.pool.fetchval("select count(*) from payments.webhooks") == 0
    assert (await world.tell(event)).status_code == 200

    async def looked_at() -> bool:
        state = await world.api.pool.fetchval("select state from payments.webhooks")
        return bool(state == "unrelated")

    await until(looked_at)
    unknown = await world.api.client.post("/api/v1/webhooks/paypal", content=b"{}")
    assert_problem(unknown, 404, "payment-gateway-unknown")


async def test_a_dispute_is_owed_and_collected_from_the_balance(world: World) -> None:
    payment = (await world.pay()).json()
    charge = world.charge()
    charge.disputes["dp"] = ProviderDispute("dp", 10_000, DisputeStatus.OPEN, 1)
    await world.tell(WebhookEvent("evt_3", "dispute.created", 1, charge.ref))

    async def collected() -> bool:
        shown = (await world.get(f"payments/{payment['payment_id']}")).json()
        return bool(shown["status"] == "disputed" and shown["owed_minor"] == 0)

    await until(collected)
    assert await world.wallet() == 0
