"""Payments in USDC through our doors and Coinbase's protocol: paid, refunded, paid too late."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio as redis_asyncio

from deployments.launcher.coinbase import EmbeddedCoinbase
from integrations.coinbase_client import CoinbaseAccount
from integrations.payment_gateway import Order
from integrations.payment_gateway_coinbase import CoinbaseGateway
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import Capture
from storage import ledger
from storage.database import Pool
from tests.api_services import assert_problem
from tests.contracts.payment_rigs import COMMERCE_SECRET, CoinbaseRig, open_rig
from tests.integration.payments_support import World, open_world
from tests.integration.rewards_support import until

PRICE = 12_340_000


@dataclass
class Desk:
    """Our doors, and Coinbase on the other side."""

    world: World
    coinbase: CoinbaseRig

    async def pay(self, key: str | None = None, **more: Any) -> httpx.Response:
        body = {"currency": "USDC", "method": "crypto", **more}
        return await self.world.pay(body.pop("amount", PRICE), key, **body)

    async def begin(self) -> tuple[str, str]:
        """A payment and its checkout."""
        payment = (await self.pay()).json()
        assert payment["status"] == "requires_action", payment
        return payment["payment_id"], payment["action"]["url"].rpartition("pl_")[2]

    async def payment(self, payment_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.world.get(f"payments/{payment_id}")).json()
        return found

    async def becomes(self, payment_id: str, status: str) -> None:
        async def there() -> bool:
            return bool((await self.payment(payment_id))["status"] == status)

        await until(there)

    async def balance(self, code: str) -> int:
        async with self.world.api.pool.acquire() as connection:
            return (await ledger.balances(connection, [code]))[code]

    async def wallet(self) -> int:
        return await self.balance(f"user:{self.world.user_id}:available/USDC")

    async def returned(self, ref: str) -> bool:
        await self.coinbase.post(f"/_simulator/{ref}/end-refunds")
        if self.coinbase.checkouts[ref]["status"] != "REFUNDED":
            return False
        return await self.balance("outside:coinbase:clearing/USDC") == 0


@pytest.fixture
async def desk(
    pool: Pool,
    tmp_path: Path,
    database_url: str,
    redis_server: str,
    redis_client: redis_asyncio.Redis,
) -> AsyncIterator[Desk]:
    async with open_rig("coinbase") as coinbase:
        gateways = {GatewayName.COINBASE: coinbase.gateway}
        async with open_world(pool, tmp_path, database_url, redis_server, gateways) as world:
            hear(coinbase, world)
            yield Desk(world, coinbase)
            await world.verify()


def hear(coinbase: CoinbaseRig, world: World) -> None:
    """Have its webhooks come to our door."""
    sender = coinbase.simulator.sender
    sender.url = "http://gateway/api/v1/webhooks/coinbase"
    sender._client = httpx.AsyncClient(transport=httpx.ASGITransport(world.api.app))


async def test_paying_in_usdc(desk: Desk) -> None:
    payment_id, ref = await desk.begin()
    await desk.coinbase.page(ref, "pay")
    await desk.becomes(payment_id, "completed")
    paid = await desk.payment(payment_id)
    assert (paid["received_minor"], paid["gateway"]) == (PRICE, "coinbase")
    assert await desk.wallet() == PRICE


@pytest.mark.parametrize(("outcome", "taken"), [("underpay", 6_170_000), ("overpay", 24_680_000)])
async def test_the_payer_has_what_they_sent(desk: Desk, outcome: str, taken: int) -> None:
    payment_id, ref = await desk.begin()
    await desk.coinbase.page(ref, outcome)
    await desk.becomes(payment_id, "completed")
    assert (await desk.payment(payment_id))["received_minor"] == taken
    assert await desk.wallet() == taken


async def test_a_refund_is_there_when_the_chain_has_it(desk: Desk) -> None:
    payment_id, ref = await desk.begin()
    await desk.coinbase.page(ref, "pay")
    await desk.becomes(payment_id, "completed")
    fine = await desk.world.post(f"payments/{payment_id}/refunds", {"amount_minor": 1})
    assert assert_problem(fine, 422, "payment-amount-too-fine")["params"] == {"step": 10_000}
    asked = await desk.world.post(f"payments/{payment_id}/refunds", {"amount_minor": 4_000_000})
    assert asked.json()["refunds"][0]["status"] == "pending"
    assert await desk.wallet() == PRICE - 4_000_000
    await desk.coinbase.post(f"/_simulator/{ref}/end-refunds")
    await desk.becomes(payment_id, "partially_refunded")
    assert (await desk.payment(payment_id))["refunds"][0]["status"] == "succeeded"


async def test_a_refund_that_fails_is_the_payers_balance_again(desk: Desk) -> None:
    payment_id, ref = await desk.begin()
    await desk.coinbase.page(ref, "pay")
    await desk.becomes(payment_id, "completed")
    await desk.world.post(f"payments/{payment_id}/refunds", {"amount_minor": PRICE})
    assert await desk.wallet() == 0
    await desk.coinbase.post(f"/_simulator/{ref}/fail-refunds")

    async def back() -> bool:
        return await desk.wallet() == PRICE

    await until(back)


async def test_what_comes_after_the_checkout_expired_goes_back(desk: Desk) -> None:
    payment_id, ref = await desk.begin()
    await desk.coinbase.page(ref, "expire")
    await desk.becomes(payment_id, "failed")
    await desk.coinbase.post(f"/_simulator/{ref}/pay-late")
    await until(lambda: desk.returned(ref))
    assert await desk.wallet() == 0
    assert (await desk.payment(payment_id))["status"] == "failed"


async def test_what_comes_after_the_payer_cancelled_goes_back(desk: Desk) -> None:
    payment_id, ref = await desk.begin()
    ended = await desk.world.post(f"payments/{payment_id}/cancellation")
    assert ended.json()["status"] == "cancelled"
    assert desk.coinbase.checkouts[ref]["status"] == "DEACTIVATED"
    await desk.coinbase.post(f"/_simulator/{ref}/pay-late")
    await until(lambda: desk.returned(ref))
    assert await desk.wallet() == 0


async def test_a_transfer_that_was_under_way_when_the_payer_cancelled(desk: Desk) -> None:
    payment_id, ref = await desk.begin()
    await desk.coinbase.post(f"/_simulator/{ref}/detect")
    answer = await desk.world.post(f"payments/{payment_id}/cancellation")
    assert answer.status_code == 200
    assert desk.coinbase.checkouts[ref]["status"] == "PROCESSING"
    await desk.coinbase.post(f"/_simulator/{ref}/pay-late")
    await until(lambda: desk.returned(ref))
    await desk.becomes(payment_id, "cancelled")
    assert await desk.wallet() == 0


async def test_webhooks_that_come_twice_late_and_wrongly_signed(desk: Desk) -> None:
    payment_id, ref = await desk.begin()
    desk.coinbase.faults(
        {"on": "webhook", "do": "wrong-signature"}, {"on": "webhook", "do": "duplicate"}
    )
    await desk.coinbase.page(ref, "pay")
    await desk.becomes(payment_id, "completed")
    assert await desk.wallet() == PRICE
    count = "select count(*) from payments.webhooks"
    assert await desk.world.api.pool.fetchval(count) == 1


async def test_an_answer_that_got_lost_is_one_checkout(desk: Desk) -> None:
    desk.coinbase.faults({"on": "create", "do": "lose-answer"})
    payment = (await desk.pay()).json()
    await desk.becomes(payment["payment_id"], "requires_action")
    assert len(desk.coinbase.checkouts) == 1


async def test_what_is_not_offered_is_refused_before_anything_begins(desk: Desk) -> None:
    for changes, code in (
        ({"capture": "manual"}, "payment-capture-not-offered"),
        ({"amount": PRICE + 1}, "payment-amount-too-fine"),
        ({"currency": "USD"}, "payment-method-not-offered"),
    ):
        assert_problem(await desk.pay(**changes), 422, code)
    assert desk.coinbase.checkouts == {}
    assert await desk.world.api.pool.fetchval("select count(*) from payments.payments") == 0


async def test_a_late_webhook_of_commerce_reaches_its_payment(desk: Desk) -> None:
    """The charge is one that was begun at Commerce: nobody can be asked about it any more."""
    desk.coinbase.faults({"on": "create", "do": "500", "times": 1_000})
    payment_id = (await desk.pay()).json()["payment_id"]
    charge: dict[str, Any] = {
        "id": "2aee9dd1-67b8-43ef-8dfe-977959850f27",
        "metadata": {"payment_id": payment_id},
        "timeline": [
            {"status": "NEW", "time": "2026-03-30T10:00:00Z"},
            {"status": "COMPLETED", "time": "2026-03-30T10:05:00Z"},
        ],
        "payments": [
            {"status": "confirmed", "value": {"crypto": {"amount": "12.34", "currency": "USDC"}}}
        ],
    }
    await tell_of(desk, charge, "e1")
    await desk.becomes(payment_id, "completed")
    assert await desk.wallet() == PRICE
    older = {**charge, "timeline": charge["timeline"][:1], "payments": []}
    await tell_of(desk, older, "e2")
    await tell_of(desk, {**charge, "id": "stranger", "metadata": {}}, "e3")

    async def looked_at() -> bool:
        rows = await desk.world.api.pool.fetch("select event_id, state from payments.webhooks")
        return {row["event_id"]: row["state"] for row in rows} == {
            "commerce-e1": "handled", "commerce-e2": "handled", "commerce-e3": "unrelated",
        }  # fmt: skip

    await until(looked_at)
    assert (await desk.payment(payment_id))["status"] == "completed"


async def tell_of(desk: Desk, charge: dict[str, Any], event_id: str) -> None:
    event = {"id": event_id, "type": "charge:confirmed", "created_at": "2026-03-30T10:05:01Z"}
    body = json.dumps({"attempt_number": 1, "event": {**event, "data": charge}}).encode()
    made = hmac.new(COMMERCE_SECRET.encode(), body, hashlib.sha256).hexdigest()
    answer = await desk.world.api.client.post(
        "/api/v1/webhooks/coinbase", content=body, headers={"x-cc-webhook-signature": made}
    )
    assert answer.status_code == 200, answer.text


async def test_the_stand_in_of_make_run(tmp_path: Path) -> None:
    with EmbeddedCoinbase(tmp_path / "coinbase", "") as server:
        settings = server.settings()
        gateway = CoinbaseGateway(
            CoinbaseAccount(
                settings["coinbase_key_id"],
                settings["coinbase_key_secret"],
                settings["coinbase_webhook_secret"],
                url=settings["coinbase_url"],
            )
        )
        order = Order(
            "0197a000-0000-7000-8000-000000000009", PRICE, "USDC", Method.CRYPTO,
            Capture.AUTOMATIC, "test",
        )  # fmt: skip
        made = await gateway.create(order, "once")
        assert made.action is not None
        assert made.action.url.startswith(server.url)
        assert gateway.name is GatewayName.COINBASE
        await gateway.close()
