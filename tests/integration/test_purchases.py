"""Purchases through the HTTP door: real owners of goods, ledger and bus; a provider in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis.asyncio as redis_asyncio

from messages.drops.drops import CancelDrop, GetDrop, PauseDrop
from messages.market import PauseIssue
from messages.payments.gateways import DisputeStatus, ProviderDispute, ProviderStatus
from messages.payments.webhooks import WebhookEvent
from messages.rewards import ClosePool
from messages.users import Role
from messages.ventures.ventures import CancelVenture
from storage.database import Pool
from tests.api_services import assert_problem
from tests.integration.purchases_support import (
    BOUGHT,
    CARD,
    ORDERS,
    POOL,
    PRICES,
    World,
    open_purchases,
)
from tests.unit.drops_entities import DROP
from tests.unit.market_entities import ISSUE
from tests.unit.ventures_entities import VENTURE

BOUGHT_GOODS = sorted(BOUGHT)
RETURNABLE = ["campaign-sponsorship", "nft-purchase", "venture-investment"]
REFUSALS = {
    "share-purchase": (("market", ISSUE, PauseIssue()), "issue-paused"),
    "venture-investment": (("ventures", VENTURE, CancelVenture()), "venture-state-forbids"),
    "campaign-sponsorship": (
        ("pools", POOL, ClosePool("outside:treasury:issue/VIBES")),
        "reward-pool-closed",
    ),
}


@pytest.fixture
async def world(
    pool: Pool,
    tmp_path: Path,
    database_url: str,
    redis_server: str,
    redis_client: redis_asyncio.Redis,
) -> AsyncIterator[World]:
    async with open_purchases(pool, tmp_path, database_url, redis_server) as opened:
        yield opened
        await opened.verify()


async def test_each_purpose_is_bought_by_card_once(world: World) -> None:
    for purpose in ORDERS:
        await world.another_buyer()
        answers = [await world.buy(purpose, key=f"buy-{purpose}") for _ in range(2)]
        assert [a.status_code for a in answers] == [201, 201], answers[0].text
        first, again = (a.json() for a in answers)
        assert first["purchase_id"] == again["purchase_id"]
        assert (first["status"], first["failure"]) == ("completed", ""), first
        assert first["amount_minor"] == PRICES[purpose] == first["payment"]["received_minor"]
        assert first["payment"]["purpose"] == purpose
        assert await world.goods(purpose) == BOUGHT.get(purpose, 0)
        assert await world.wallet() == (PRICES[purpose] if purpose == "wallet-topup" else 0)
        (listed,) = (await world.get("users/me/paid-purchases")).json()["items"]
        assert (listed["purchase_id"], listed["status"]) == (first["purchase_id"], "completed")
    assert len(world.provider.charges) == len(ORDERS)


@pytest.mark.parametrize("purpose", BOUGHT_GOODS)
async def test_from_the_balance(world: World, purpose: str) -> None:
    poor = (await world.buy(purpose, card=False)).json()
    assert (poor["status"], poor["failure"]) == ("cancelled", "insufficient-funds")
    await world.credit(PRICES[purpose])
    bought = (await world.buy(purpose, card=False)).json()
    assert (bought["status"], bought["payment"]) == ("completed", None)
    assert (await world.goods(purpose), await world.wallet()) == (BOUGHT[purpose], 0)
    assert world.gateway.asked == []


@pytest.mark.parametrize("money_back", ["refund", "balance"])
@pytest.mark.parametrize("purpose", sorted(REFUSALS))
async def test_goods_that_are_refused_after_the_payment(
    world: World, purpose: str, money_back: str
) -> None:
    world.provider.first = ProviderStatus.PROCESSING
    begun = (await world.buy(purpose, money_back=money_back)).json()
    assert begun["status"] == "paying"
    where, code = REFUSALS[purpose]
    await world.ask(*where)
    world.provider.move(world.charge(), ProviderStatus.CAPTURED)
    await world.tell(WebhookEvent("evt_1", "payment.captured", 1, world.charge().ref))
    ended = await world.reaches(begun["purchase_id"], "compensated", "in_balance")
    assert ended["failure"] == code
    assert ended["status"] == ("compensated" if money_back == "refund" else "in_balance")
    kept = PRICES[purpose] if money_back == "balance" else 0
    assert (await world.wallet(), world.charge().returned) == (kept, PRICES[purpose] - kept)


async def test_a_payment_that_fails_lets_the_tokens_go(world: World) -> None:
    world.provider.first = ProviderStatus.PROCESSING
    begun = (await world.buy("nft-purchase")).json()
    assert (await world.ask("drops", DROP, GetDrop())).reserved == 2
    world.provider.move(world.charge(), ProviderStatus.FAILED)
    await world.tell(WebhookEvent("evt_2", "payment.failed", 1, world.charge().ref))
    ended = await world.reaches(begun["purchase_id"], "cancelled")
    assert ended["payment"]["status"] == "failed"
    drop = await world.ask("drops", DROP, GetDrop())
    assert (drop.reserved, drop.minted, drop.left) == (0, 0, drop.supply)


async def test_tokens_that_cannot_be_kept_are_not_paid_for(world: World) -> None:
    await world.ask("drops", DROP, PauseDrop())
    ended = (await world.buy("nft-purchase")).json()
    assert (ended["status"], ended["failure"]) == ("cancelled", "drop-state-forbids")
    assert ended["payment"] is None
    assert world.gateway.asked == []


async def test_a_drop_that_ends_while_the_buyer_pays(world: World) -> None:
    world.provider.first = ProviderStatus.PROCESSING
    begun = (await world.buy("nft-purchase")).json()
    await world.ask("drops", DROP, CancelDrop())
    world.provider.move(world.charge(), ProviderStatus.CAPTURED)
    await world.tell(WebhookEvent("evt_3", "payment.captured", 1, world.charge().ref))
    ended = await world.reaches(begun["purchase_id"], "compensated")
    assert (ended["failure"], world.charge().returned) == ("reservation-not-found", 2_000)


async def test_cancelling_while_the_payer_is_away(world: World) -> None:
    world.provider.first = ProviderStatus.REQUIRES_ACTION
    begun = (await world.buy("nft-purchase")).json()
    assert begun["payment"]["action"]["url"] == "https://pay.example"
    path = f"purchases/{begun['purchase_id']}/cancellation"
    ended = (await world.post(path)).json()
    assert (ended["status"], ended["payment"]["status"]) == ("cancelled", "cancelled")
    assert (await world.ask("drops", DROP, GetDrop())).reserved == 0


@pytest.mark.parametrize("purpose", RETURNABLE)
async def test_taking_it_back(world: World, purpose: str) -> None:
    bought = (await world.buy(purpose)).json()
    artist = await world.balance("user:0197a000-0000-7000-8000-0000000000ff:available/USD")
    path = f"purchases/{bought['purchase_id']}/refunds"
    asked = await world.post(path, {"reason": "unhappy"}, key="refund-1")
    assert asked.status_code == 201, asked.text
    ended = await world.reaches(bought["purchase_id"], "refunded")
    assert ended["returned_minor"] == PRICES[purpose] == world.charge().returned
    assert (await world.goods(purpose), await world.wallet()) == (0, 0)
    assert artist >= await world.balance("user:0197a000-0000-7000-8000-0000000000ff:available/USD")
    assert_problem(await world.post(path, {}), 409, "purchase-state-forbids")


async def test_what_cannot_be_taken_back_says_why(world: World) -> None:
    bought = (await world.buy("share-purchase")).json()
    path = f"purchases/{bought['purchase_id']}/refunds"
    kept = (await world.post(path, {})).json()
    assert (kept["status"], kept["failure"]) == ("completed", "shares-are-sold-on-the-market")
    assert (await world.goods("share-purchase"), world.charge().returned) == (40, 0)
    payment = f"payments/{bought['payment']['payment_id']}/refunds"
    refused = await world.post(payment, {"amount_minor": 1})
    assert_problem(refused, 409, "payment-of-purchase")


async def test_a_top_up_goes_back_as_far_as_it_is_there(world: World) -> None:
    bought = (await world.buy("wallet-topup")).json()
    await world.spend(1)
    path = f"purchases/{bought['purchase_id']}/refunds"
    kept = (await world.post(path, {})).json()
    assert (kept["status"], kept["failure"]) == ("completed", "insufficient-funds")
    await world.credit(1)
    ended = (await world.post(path, {})).json()
    assert (ended["status"], ended["failure"]) == ("refunded", "")
    assert (await world.wallet(), world.charge().returned) == (0, 10_000)


@pytest.mark.parametrize("purpose", RETURNABLE)
async def test_a_dispute_takes_the_goods_back(world: World, purpose: str) -> None:
    bought = (await world.buy(purpose)).json()
    charge, price = world.charge(), PRICES[purpose]
    charge.disputes["dp"] = ProviderDispute("dp", price, DisputeStatus.OPEN, 1)
    await world.tell(WebhookEvent("evt_4", "dispute.created", 1, charge.ref))
    ended = await world.reaches(bought["purchase_id"], "refunded")
    assert ended["returned_minor"] == price
    assert (await world.goods(purpose), charge.returned) == (0, 0)


async def test_a_round_that_fails_gives_the_payment_back(world: World) -> None:
    bought = (await world.buy("venture-investment")).json()
    await world.ask("ventures", VENTURE, CancelVenture())
    ended = await world.reaches(bought["purchase_id"], "refunded")
    assert ended["failure"] == "venture-not-funded"
    assert (await world.wallet(), world.charge().returned) == (0, 2_000)


async def test_a_pool_gives_back_what_it_has_left(world: World) -> None:
    bought = (await world.buy("campaign-sponsorship")).json()
    await world.buy("campaign-sponsorship", card=False)  # nothing there: it changes nothing
    async with world.api.pool.acquire() as connection:
        assert await connection.fetchval("select count(*) from purchases.purchases") == 2
    path = f"purchases/{bought['purchase_id']}/refunds"
    await world.post(path, {"money_back": "balance"})
    ended = await world.reaches(bought["purchase_id"], "in_balance")
    assert (ended["returned_minor"], await world.wallet()) == (500, 500)


async def test_other_peoples_purchases_are_not_to_be_found(world: World) -> None:
    bought = (await world.buy("nft-purchase")).json()
    path = f"purchases/{bought['purchase_id']}"
    await world.sign_in("bea", Role.USER)
    assert_problem(await world.get(path), 404, "purchase-not-found")
    for what in ("cancellation", "refunds"):
        body: dict[str, str] | None = None if what == "cancellation" else {}
        assert_problem(await world.post(f"{path}/{what}", body), 404, "purchase-not-found")
    assert (await world.get("users/me/paid-purchases")).json()["items"] == []
    assert_problem(await world.get("purchases"), 403, "permission-missing")


async def test_staff_look_and_take_back(world: World) -> None:
    bought = (await world.buy("nft-purchase")).json()
    await world.sign_in("root", Role.ADMIN)
    (found,) = (await world.get(f"purchases?status=completed&subject_id={DROP}")).json()["items"]
    assert (found["buyer_id"], found["is_paid_in"]) == (world.user_id, True)
    shown = (await world.get(f"purchases/{bought['purchase_id']}/steps")).json()["items"]
    assert [(s["step"], s["outcome"]) for s in shown] == [
        (step, outcome) for step in ("reserve", "pay", "take") for outcome in ("wanted", "done")
    ]
    path = f"purchases/{bought['purchase_id']}/reversal"
    assert (await world.post(path, {"reason": "stolen card"})).json()["status"] == "refunded"
    audited = await world.api.pool.fetch(
        "select action from audit.entries where action = 'purchase.reversed'"
    )
    assert len(audited) == 1
    assert_problem(await world.get(f"purchases/{uuid4()}/steps"), 404, "purchase-not-found")


async def test_orders_that_are_none(world: World) -> None:
    for purpose, changes, field in (
        ("wallet-topup", {"currency": "XXX"}, "currency"),
        ("wallet-topup", {"amount_minor": 0}, "amount_minor"),
        ("wallet-topup", {"payment": None}, "payment"),
        ("wallet-topup", {"subject_id": DROP}, "subject_id"),
        ("nft-purchase", {"quantity": 0}, "quantity"),
        ("share-purchase", {"subject_id": None}, "subject_id"),
        ("campaign-sponsorship", {"currency": "SOL"}, "currency"),
    ):
        refused = await world.buy(purpose, **changes)
        problem = assert_problem(refused, 422, "purchase-order-invalid")
        assert problem["params"] == {"field": field}, (purpose, changes)
    unknown = await world.buy("nft-purchase", subject_id=str(uuid4()))
    assert_problem(unknown, 404, "drop-not-found")
    assert await world.api.pool.fetchval("select count(*) from purchases.purchases") == 0


async def test_the_same_order_at_once_is_one_purchase(world: World) -> None:
    answers = await asyncio.gather(
        *(world.buy("nft-purchase", key="nft-once-1", payment=CARD) for _ in range(4))
    )
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["purchase_id"] for a in answers}) == 1
    await world.reaches(answers[0].json()["purchase_id"], "completed")
    drop = await world.ask("drops", DROP, GetDrop())
    assert (drop.minted, len(world.provider.charges)) == (2, 1)
