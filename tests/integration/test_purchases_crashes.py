"""Whoever asks dies at every question of every purchase, and the owners with them: the same end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_asyncio

from integrations.payment_courier import Courier
from integrations.purchase_courier import PurchaseCourier
from messages.keys import derive_id, derive_key
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import Assessment, Purpose, StartPayment, Verdict
from messages.purchases.accounts import subject_of
from messages.purchases.purchases import RefundPurchase, StartPurchase
from storage.database import Pool
from tests.integration.purchases_support import (
    BOUGHT,
    ORDERS,
    PRICES,
    World,
    open_purchases,
)

MOST = 40  # questions of one purchase
REFUNDED = {
    "wallet-topup": "refunded",
    "share-purchase": "completed",
    "nft-purchase": "refunded",
    "venture-investment": "refunded",
    "campaign-sponsorship": "refunded",
}


class Deadly:
    """A handle of a process that dies at the answer to its question of a number."""

    def __init__(self, handle: Any, process: Process) -> None:
        self._handle, self._process = handle, process

    async def ask(self, entity_id: str, command: Any, *, key: bytes) -> Any:
        answer = await self._handle.ask(entity_id, command, key=key)
        await self._process.perhaps_die()
        return answer


class Process:
    """Asks as the gateway does. `at`: the number of the question that it dies at."""

    def __init__(self, world: World, at: int) -> None:
        self.at, self.asked = at, 0
        self.died = asyncio.Event()
        self.handles = {name: Deadly(handle, self) for name, handle in world.handles.items()}
        payments = Courier(self.handles["payments"], world.gateways)
        self.courier = PurchaseCourier(self.handles, payments)

    async def perhaps_die(self) -> None:
        self.asked += 1
        if self.asked == self.at:
            self.died.set()
            await asyncio.Event().wait()

    async def lives_through(self, world: World, purchase_id: str, command: Any) -> bool:
        """Whether it lived to the end. If it died, the owners died with it, and nobody asks again
        but their timers and the worker of the bus.
        """
        key = derive_key("crash", purchase_id, type(command).__name__)
        task = asyncio.create_task(self.courier.ask(purchase_id, command, key))
        died = asyncio.create_task(self.died.wait())
        await asyncio.wait({task, died}, return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if task.done():
            await task
            return True
        task.cancel()
        await world.kill_host()
        return False


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


@pytest.mark.parametrize("purpose", sorted(ORDERS))
async def test_dying_at_every_question(world: World, purpose: str) -> None:
    """Bought and taken back, with a death at each question of either."""
    for at in range(1, MOST):
        await world.another_buyer()
        purchase_id = derive_id("crash", purpose, at)
        order = order_of(world, purpose, purchase_id)
        lived = await Process(world, at).lives_through(world, purchase_id, order)
        await world.reaches(purchase_id, "completed")
        returned = await world.wallet()
        assert returned == (PRICES[purpose] if purpose == "wallet-topup" else 0)
        if purpose in {"share-purchase", "nft-purchase"}:
            assert await world.goods(purpose) == BOUGHT[purpose]
        if purpose == "share-purchase":
            if lived:
                break
            continue  # they stay bought
        refund = RefundPurchase(derive_id("back", purchase_id), world.user_id, "crash")
        lived &= await Process(world, at).lives_through(world, purchase_id, refund)
        await world.reaches(purchase_id, REFUNDED[purpose])
        assert await world.wallet() == 0
        assert await world.goods(purpose) == 0
        if lived:
            break
    else:
        raise AssertionError("it asks without an end")
    charges = world.provider.charges.values()
    assert all(charge.captures == 1 for charge in charges)
    if purpose != "share-purchase":
        assert all(charge.returned == charge.captured for charge in charges)


@pytest.mark.parametrize("purpose", sorted(BOUGHT))
async def test_the_worker_dies_at_every_question(world: World, purpose: str) -> None:
    """The gateway dies as soon as the purchase exists; the worker, and the owners, a bit later."""
    for at in range(1, MOST):
        await world.another_buyer()
        purchase_id = derive_id("worker", purpose, at)
        worker = Process(world, at)
        await world.replace_worker(worker.handles)
        order = order_of(world, purpose, purchase_id)
        assert not await Process(world, 1).lives_through(world, purchase_id, order)
        died = asyncio.create_task(worker.died.wait())
        completed = asyncio.create_task(world.reaches(purchase_id, "completed"))
        await asyncio.wait({died, completed}, return_when=asyncio.FIRST_COMPLETED)
        lived = not worker.died.is_set()
        if not lived:
            await world.kill_host()
            await world.replace_worker()
        died.cancel()
        await completed
        assert await world.wallet() == 0
        if lived:
            break
    else:
        raise AssertionError("it asks without an end")
    assert at > 3, "it dies in the middle"
    charges = world.provider.charges.values()
    assert all((c.captures, c.returned) == (1, 0) for c in charges)
    assert len(charges) == at


def order_of(world: World, purpose: str, purchase_id: str) -> StartPurchase:
    body, price = ORDERS[purpose], PRICES[purpose]
    quantity = body.get("quantity", 0)
    payment = StartPayment(
        world.user_id,
        Purpose(purpose),
        price,
        "USD",
        Method.CARD,
        (GatewayName.STRIPE,),
        Assessment(Verdict.ALLOW),
        subject=subject_of(purchase_id),
    )
    return StartPurchase(
        buyer_id=world.user_id,
        purpose=Purpose(purpose),
        amount_minor=price,
        currency="USD",
        subject_id=body.get("subject_id", ""),
        quantity=quantity,
        price_minor=price // quantity if quantity else 0,
        tokens_minor=price * 10**6 if purpose == "campaign-sponsorship" else 0,
        payment=payment,
    )
