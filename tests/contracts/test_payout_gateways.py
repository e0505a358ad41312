"""What every provider that pays out does alike, against servers that speak their protocols."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette

from integrations.payout_gateway import PayoutGateway
from integrations.payout_gateway_paypal import PayPalPayouts
from integrations.payout_gateway_stripe import StripeAccounts, StripePayouts
from integrations.paypal_client import PayPalAccount, PayPalClient
from integrations.stripe_client import StripeSettings
from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown
from messages.payments.payout_methods import PayoutMethodState
from messages.payments.payout_orders import PayoutOrder, PayoutProgress
from simulators.payments.faults import Faults
from simulators.payments.paypal import CLIENT_ID, CLIENT_SECRET, PayPalSimulator
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator
from tests.contracts.payment_rigs import free_port


@dataclass
class Rig:
    """A provider's stand-in, the adapter to it, and one to where nobody is.

    operation: what the plan of faults calls paying out.  unclaimed: whom it may come back from.
    give_back: have the last payout come back.
    """

    gateway: PayoutGateway
    nowhere: PayoutGateway
    faults: Faults
    operation: str
    destination: str
    unclaimed: str
    sent: Callable[[], int]
    give_back: Callable[[], Any]

    def order(self, amount: int = 5_000) -> PayoutOrder:
        return PayoutOrder(str(uuid.uuid4()), amount, "USD", self.destination, "test")


@contextlib.asynccontextmanager
async def served(app: Starlette, port: int) -> AsyncIterator[None]:
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    yield
    server.should_exit = True
    await serving


@contextlib.asynccontextmanager
async def open_stripe() -> AsyncIterator[Rig]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    simulator = StripeSimulator("", url)
    settings = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, url, 2.0)
    nowhere = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, f"http://127.0.0.1:{free_port()}", 2.0)
    async with served(simulator.app(), port):
        accounts = StripeAccounts(settings)
        account = await accounts.open("US", "rig")
        simulator.connect.onboard(account.ref)
        await accounts.close()
        transfers = simulator.connect.transfers
        yield Rig(
            StripePayouts(settings),
            StripePayouts(nowhere),
            simulator.faults,
            "transfer",
            account.ref,
            account.ref,
            lambda: len(transfers),
            lambda: simulator.connect.reverse(list(transfers)[-1]),
        )


@contextlib.asynccontextmanager
async def open_paypal() -> AsyncIterator[Rig]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    simulator = PayPalSimulator("", url)

    def adapter(address: str) -> PayPalPayouts:
        account = PayPalAccount(CLIENT_ID, CLIENT_SECRET, "webhook", address, timeout_s=2.0)
        return PayPalPayouts(PayPalClient(account))

    batches = simulator.payouts.batches
    async with served(simulator.app(), port):
        yield Rig(
            adapter(url),
            adapter(f"http://127.0.0.1:{free_port()}"),
            simulator.faults,
            "pay",
            "ana@example.org",
            "unclaimed@example.org",
            lambda: len(batches),
            lambda: simulator.payouts.give_back(list(batches)[-1]),
        )


@pytest.fixture(params=["stripe", "paypal"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with {"stripe": open_stripe, "paypal": open_paypal}[request.param]() as opened:
        yield opened
        await opened.gateway.close()
        await opened.nowhere.close()


async def test_money_is_sent(rig: Rig) -> None:
    order = rig.order()
    paid = await rig.gateway.pay(order, f"{order.payout_id}:pay")
    assert paid.progress is PayoutProgress.PAID
    assert paid.at_ms > 1_700_000_000_000
    assert await rig.gateway.find(order, paid.ref) == paid


async def test_the_same_key_sends_once(rig: Rig) -> None:
    order = rig.order()
    found = [await rig.gateway.pay(order, f"{order.payout_id}:pay") for _ in range(3)]
    assert (len({one.ref for one in found}), rig.sent()) == (1, 1)


async def test_an_answer_that_got_lost_is_found_by_our_own_id(rig: Rig) -> None:
    order = rig.order()
    rig.faults.set([{"on": rig.operation, "do": "lose-answer"}])
    with pytest.raises(CallOutcomeUnknown):
        await rig.gateway.pay(order, f"{order.payout_id}:pay")
    found = await rig.gateway.find(order, "")
    again = await rig.gateway.pay(order, f"{order.payout_id}:pay")
    assert (found.progress, found.ref, rig.sent()) == (PayoutProgress.PAID, again.ref, 1)


async def test_what_comes_back(rig: Rig) -> None:
    order = msgspec.structs.replace(rig.order(), destination=rig.unclaimed)
    paid = await rig.gateway.pay(order, f"{order.payout_id}:pay")
    rig.give_back()
    found = await rig.gateway.find(order, paid.ref)
    assert found.progress is PayoutProgress.RETURNED
    again = await rig.gateway.pay(order, f"{order.payout_id}:pay")
    assert again.progress is PayoutProgress.RETURNED


async def test_what_is_unknown_and_what_certainly_did_not_happen(rig: Rig) -> None:
    order = rig.order()
    rig.faults.set([{"on": rig.operation, "do": "500"}])
    with pytest.raises(CallOutcomeUnknown):
        await rig.gateway.pay(order, f"{order.payout_id}:pay")
    with pytest.raises(CallNotSent):
        await rig.nowhere.pay(order, f"{order.payout_id}:pay")
    with pytest.raises(CallDeclined):
        await rig.gateway.find(order, "unknown")
    assert rig.sent() == 0


async def test_a_connected_account_from_its_opening_to_its_restriction() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    simulator = StripeSimulator("", url)
    accounts = StripeAccounts(StripeSettings(SECRET_KEY, WEBHOOK_SECRET, url, 2.0))
    async with served(simulator.app(), port):
        opened = await accounts.open("ES", "once")
        assert (await accounts.open("ES", "once")).ref == opened.ref
        assert opened.state is PayoutMethodState.PENDING
        assert (await accounts.onboarding(opened.ref, "http://a/b")).endswith(opened.ref)
        simulator.connect.onboard(opened.ref)
        assert (await accounts.fetch(opened.ref)).state is PayoutMethodState.READY
        simulator.connect.onboard(opened.ref, payouts=False)
        assert (await accounts.fetch(opened.ref)).state is PayoutMethodState.RESTRICTED
        with pytest.raises(CallDeclined):
            await accounts.fetch("acct_unknown")
        payouts = StripePayouts(StripeSettings(SECRET_KEY, WEBHOOK_SECRET, url, 2.0))
        for nobody in (opened.ref, "acct_unknown"):
            with pytest.raises(CallDeclined):
                await payouts.pay(PayoutOrder(str(uuid.uuid4()), 5_000, "USD", nobody), "key")
        await payouts.close()
    await accounts.close()
