"""Each provider's adapter against a server that speaks the provider's protocol, over HTTP."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn

from integrations.payment_gateway import Order, Return
from integrations.payment_gateway_stripe import StripeGateway
from integrations.stripe_client import StripeSettings
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    CallOutcomeUnknown,
    DisputeStatus,
    Method,
    ProviderStatus,
    ReturnStatus,
)
from messages.payments.payments import Capture
from messages.payments.webhooks import WebhookMalformed, WebhookSignatureWrong
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator

ORDER = Order(
    payment_id="0197a000-0000-7000-8000-000000000009",
    amount_minor=10_000,
    currency="USD",
    method=Method.CARD,
    capture=Capture.AUTOMATIC,
    description="test",
    source="pm_card_visa",
    return_url="http://localhost/back",
)


class Stripe:
    """The stand-in on a port of its own, and the adapter."""

    def __init__(self, port: int, webhook_url: str = "") -> None:
        self.simulator = StripeSimulator(webhook_url)
        self.url = f"http://127.0.0.1:{port}"
        self.gateway = StripeGateway(StripeSettings(SECRET_KEY, WEBHOOK_SECRET, self.url, 2.0))
        config = uvicorn.Config(
            self.simulator.app(), "127.0.0.1", port, log_level="critical", lifespan="on"
        )
        self.server = uvicorn.Server(config)

    async def faults(self, *plan: dict[str, object]) -> None:
        self.simulator.faults.set(list(plan))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def stripe() -> AsyncIterator[Stripe]:
    made = Stripe(free_port())
    serving = asyncio.create_task(made.server.serve())
    while not made.server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    yield made
    await made.gateway.close()
    made.server.should_exit = True
    await serving


def key() -> str:
    return str(uuid.uuid4())


async def test_a_card_is_charged(stripe: Stripe) -> None:
    taken = await stripe.gateway.create(ORDER, key())
    assert (taken.status, taken.captured_minor) == (ProviderStatus.CAPTURED, 10_000)
    (intent,) = stripe.simulator.intents.values()
    assert intent["metadata"] == {"payment_id": ORDER.payment_id}
    assert (intent["amount"], intent["currency"]) == (10_000, "usd")


async def test_the_same_key_charges_once_and_tells_the_present_state(stripe: Stripe) -> None:
    same = key()
    order = replace_source("pm_card_authenticationRequired")
    first = await stripe.gateway.create(order, same)
    assert first.status is ProviderStatus.REQUIRES_ACTION
    await authenticate(stripe, first.ref, "succeed")
    again = await stripe.gateway.create(order, same)
    assert (again.ref, again.status) == (first.ref, ProviderStatus.CAPTURED)
    assert len(stripe.simulator.intents) == 1


def replace_source(source: str, capture: Capture = Capture.AUTOMATIC) -> Order:
    import msgspec

    return msgspec.structs.replace(ORDER, source=source, capture=capture)


async def authenticate(stripe: Stripe, ref: str, outcome: str) -> None:
    async with httpx.AsyncClient(base_url=stripe.url) as client:
        await client.post(f"/3ds/{ref}", data={"outcome": outcome})


async def test_a_card_that_wants_its_owner(stripe: Stripe) -> None:
    asked = await stripe.gateway.create(replace_source("pm_card_authenticationRequired"), key())
    assert asked.action is not None
    assert asked.action.url.endswith(asked.ref)
    assert asked.action.client_secret
    await authenticate(stripe, asked.ref, "fail")
    failed = await stripe.gateway.fetch(asked.ref)
    assert (failed.status, failed.failure) == (ProviderStatus.FAILED, "card_declined")


async def test_a_declined_card(stripe: Stripe) -> None:
    with pytest.raises(CallDeclined) as error:
        await stripe.gateway.create(replace_source("pm_card_chargeDeclined"), key())
    assert error.value.params == {"reason": "generic_decline"}


async def test_authorise_then_take_a_part(stripe: Stripe) -> None:
    held = await stripe.gateway.create(replace_source("pm_card_visa", Capture.MANUAL), key())
    assert (held.status, held.captured_minor) == (ProviderStatus.AUTHORIZED, 0)
    taken = await stripe.gateway.capture(held.ref, 6_000, "USD", key())
    assert (taken.status, taken.captured_minor) == (ProviderStatus.CAPTURED, 6_000)
    with pytest.raises(CallDeclined):
        await stripe.gateway.capture(held.ref, 1, "USD", key())
    with pytest.raises(CallDeclined):
        await stripe.gateway.cancel(held.ref, key())


async def test_cancel(stripe: Stripe) -> None:
    held = await stripe.gateway.create(replace_source("pm_card_visa", Capture.MANUAL), key())
    let_go = await stripe.gateway.cancel(held.ref, key())
    assert let_go.status is ProviderStatus.CANCELLED


async def test_refunds(stripe: Stripe) -> None:
    taken = await stripe.gateway.create(ORDER, key())
    same = key()
    for _ in range(2):
        given = await stripe.gateway.refund(Return(taken.ref, "r1", 4_000, "USD"), same)
        (refund,) = given.refunds
        assert (refund.refund_id, refund.amount_minor, refund.status) == (
            "r1", 4_000, ReturnStatus.SUCCEEDED,
        )  # fmt: skip
    with pytest.raises(CallDeclined):
        await stripe.gateway.refund(Return(taken.ref, "r2", 6_001, "USD"), key())


async def test_disputes(stripe: Stripe) -> None:
    taken = await stripe.gateway.create(replace_source("pm_card_createDispute"), key())
    (dispute,) = (await stripe.gateway.fetch(taken.ref)).disputes
    assert (dispute.amount_minor, dispute.status) == (10_000, DisputeStatus.OPEN)
    async with httpx.AsyncClient(base_url=stripe.url) as client:
        await client.post(f"/_simulator/{taken.ref}/win")
    (won,) = (await stripe.gateway.fetch(taken.ref)).disputes
    assert won.status is DisputeStatus.WON


async def test_what_is_certain_and_what_is_not(stripe: Stripe) -> None:
    """Only what certainly did not happen may be asked of another provider."""
    same = key()
    await stripe.faults({"on": "create", "do": "lose-answer"})
    with pytest.raises(CallOutcomeUnknown):
        await stripe.gateway.create(ORDER, same)
    assert len(stripe.simulator.intents) == 1
    taken = await stripe.gateway.create(ORDER, same)
    assert (taken.captured_minor, len(stripe.simulator.intents)) == (10_000, 1)
    await stripe.faults({"on": "create", "do": "500"})
    with pytest.raises(CallOutcomeUnknown):
        await stripe.gateway.create(ORDER, key())
    await stripe.faults({"on": "create", "do": "delay", "ms": 3_000})
    with pytest.raises(CallOutcomeUnknown):
        await stripe.gateway.create(ORDER, key())
    with pytest.raises(CallDeclined):
        await stripe.gateway.fetch("pi_unknown")


async def test_a_server_that_is_not_there_did_nothing() -> None:
    settings = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, f"http://127.0.0.1:{free_port()}", 2.0)
    gateway = StripeGateway(settings)
    with pytest.raises(CallNotSent):
        await gateway.create(ORDER, key())
    await gateway.close()


async def test_a_wrong_key_did_nothing(stripe: Stripe) -> None:
    gateway = StripeGateway(StripeSettings("sk_test_wrong", WEBHOOK_SECRET, stripe.url))
    with pytest.raises(CallNotSent):
        await gateway.create(ORDER, key())
    await gateway.close()


async def test_webhooks_are_read_if_their_signature_is_good(stripe: Stripe) -> None:
    sent: list[bytes] = []
    stripe.simulator.sender.put = sent.append  # type: ignore[union-attr,method-assign]
    taken = await stripe.gateway.create(ORDER, key())
    await stripe.gateway.refund(Return(taken.ref, "r1", 1_000, "USD"), key())
    now_ms = int(stripe.simulator.now()) * 1_000
    kinds = []
    for body in sent:
        headers = stripe.simulator._sign(body, False)
        event = await stripe.gateway.read_webhook(headers, body, now_ms)
        kinds.append((event.type, event.ref))
        wrong = [
            ({}, body, now_ms),
            (stripe.simulator._sign(body, True), body, now_ms),
            (headers, body + b" ", now_ms),
            (headers, body, now_ms + 301_000),
            (headers, body, now_ms - 301_000),
            ({"stripe-signature": "t=x,v1=y"}, body, now_ms),
        ]
        for bad_headers, bad_body, at_ms in wrong:
            with pytest.raises(WebhookSignatureWrong):
                await stripe.gateway.read_webhook(bad_headers, bad_body, at_ms)
    assert kinds == [("payment_intent.succeeded", taken.ref), ("refund.created", taken.ref)]
    for nonsense in (b"[]", b"{}", b"nonsense", b'{"id":1,"data":{"object":null}}'):
        headers = stripe.simulator._sign(nonsense, False)
        with pytest.raises(WebhookMalformed):
            await stripe.gateway.read_webhook(headers, nonsense, now_ms)
