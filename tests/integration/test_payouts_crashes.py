"""Whoever stops without a goodbye, at whatever step of a payout: it is paid, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio as redis_asyncio

from messages.users import Role
from storage.database import Pool
from tests.integration.payouts_support import World, open_world

STEPS = ("requested", "on-hold", "asking", "answered", "paid")


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


class Gate:
    """Where the first call of the provider stops until it is opened; whoever dies never goes on."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        if not self.reached.is_set():
            self.reached.set()
            await self.opened.wait()


async def crash(world: World, *who: str) -> None:
    """They stop where they are; others take their places."""
    if "worker" in who:
        await world.engine.kill_worker()
    if "owner" in who:
        await world.engine.kill_host()
        await world.engine.start_host()
    if "worker" in who:
        await world.engine.start_worker()


async def ask(world: World, step: str, amount: int, gate: Gate) -> str:
    """Have the payout reach a step."""
    if step == "asking":
        world.gateway.before = gate
    if step == "answered":
        world.gateway.after = gate
    asked = await world.pay_out(amount, key="crash-payout-1")
    assert asked.status_code == 201, asked.text
    payout_id = str(asked.json()["payout_id"])
    if step in {"asking", "answered"}:
        await asyncio.wait_for(gate.reached.wait(), 30)
    elif step == "paid":
        await world.reaches(payout_id, "paid")
    return payout_id


@pytest.mark.parametrize("who", ["owner", "worker", "owner worker"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_every_step(world: World, step: str, who: str) -> None:
    await world.stripe_method()
    await world.fund(500_000)
    amount = 200_000 if step == "on-hold" else 5_000
    world.stripe.faults.set([{"on": "webhook", "do": "drop", "times": 99}])
    gate = Gate()
    payout_id = await ask(world, step, amount, gate)
    await crash(world, *who.split())
    gate.opened.set()
    again = await world.pay_out(amount, key="crash-payout-1")
    assert (again.status_code, again.json()["payout_id"]) == (201, payout_id)
    if step == "on-hold":
        ana = world.user_id
        await world.sign_in("mod", Role.ADMIN)
        decision = {"allow": True, "reason": "looked"}
        await world.post(f"payouts/{payout_id}/review", decision, key="crash-review-1")
        await crash(world, *who.split())
        await world.post(f"payouts/{payout_id}/review", decision, key="crash-review-1")
        world.user_id = ana
        world.sign_in_again()
    await world.reaches(payout_id, "paid")
    (sent,) = world.stripe.connect.transfers.values()
    assert sent["amount"] == amount
    assert (await world.wallet(), await world.on_its_way()) == (510_000 - amount, 0)
