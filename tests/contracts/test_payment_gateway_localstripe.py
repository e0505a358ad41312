"""Stripe's adapter before a second judge: localstripe, a fake of Stripe that others keep.

It ignores idempotency keys, takes a partial capture for a capture and a refund, and has no
disputes: these are judged by our own stand-in alone.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.payment_gateway import Return
from integrations.payment_gateway_stripe import StripeGateway
from integrations.stripe_client import StripeSettings
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)
from messages.payments.webhooks import WebhookSignatureWrong
from tests.contracts.payment_rigs import MANUAL, ORDER, free_port, key

SERVER = Path(__file__).with_name("localstripe_server.py")
SECRET = "whsec_second_judge"
VISA, WANTS_ITS_OWNER, DECLINED = "4242424242424242", "4000002500003155", "4000000000000341"
OWNER_THEN_DECLINED = "4000008400001629"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, str(SERVER), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            _await_port(child, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            child.kill()


def _await_port(child: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert child.poll() is None, "localstripe ended"
            assert time.monotonic() < deadline, "localstripe does not listen"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
async def gateway(url: str) -> AsyncIterator[StripeGateway]:
    made = StripeGateway(StripeSettings("sk_test_12345", SECRET, url, 5.0))
    yield made
    await made.close()


async def post(server: str, path: str, **body: Any) -> dict[str, Any]:
    headers = {"authorization": "Bearer sk_test_12345"}
    async with httpx.AsyncClient(base_url=server, headers=headers) as client:
        answer = await client.post(path, json=body)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found


async def card(url: str, number: str) -> str:
    details = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    made = await post(url, "/v1/payment_methods", type="card", card=details)
    return str(made["id"])


async def authenticate(url: str, asked: Snapshot, *, well: bool) -> httpx.Response:
    assert asked.action is not None
    body = {"client_secret": asked.action.client_secret, "success": well, "key": "pk_test_12345"}
    async with httpx.AsyncClient(base_url=url) as client:
        return await client.post(f"/v1/payment_intents/{asked.ref}/_authenticate", json=body)


async def test_a_card_is_charged(url: str, gateway: StripeGateway) -> None:
    order = replace(ORDER, source=await card(url, VISA))
    taken = await gateway.create(order, key())
    assert (taken.status, taken.captured_minor) == (ProviderStatus.CAPTURED, ORDER.amount_minor)
    assert (await gateway.fetch(taken.ref)).captured_minor == ORDER.amount_minor
    with pytest.raises(CallDeclined):
        await gateway.cancel(taken.ref, key())


async def test_a_card_that_wants_its_owner(url: str, gateway: StripeGateway) -> None:
    order = replace(ORDER, source=await card(url, WANTS_ITS_OWNER))
    asked = await gateway.create(order, key())
    assert asked.status is ProviderStatus.REQUIRES_ACTION
    assert (await authenticate(url, asked, well=True)).status_code == 200
    taken = await gateway.fetch(asked.ref)
    assert (taken.status, taken.captured_minor) == (ProviderStatus.CAPTURED, ORDER.amount_minor)


async def test_an_owner_who_says_no(url: str, gateway: StripeGateway) -> None:
    order = replace(ORDER, source=await card(url, WANTS_ITS_OWNER))
    asked = await gateway.create(order, key())
    await authenticate(url, asked, well=False)
    failed = await gateway.fetch(asked.ref)
    assert (failed.status, failed.failure, failed.captured_minor) == (
        ProviderStatus.FAILED, "payment_intent_authentication_failure", 0,
    )  # fmt: skip


async def test_a_bank_that_says_no_after_the_owner_said_yes(
    url: str, gateway: StripeGateway
) -> None:
    order = replace(ORDER, source=await card(url, OWNER_THEN_DECLINED))
    asked = await gateway.create(order, key())
    assert (await authenticate(url, asked, well=True)).status_code == 402
    failed = await gateway.fetch(asked.ref)
    assert (failed.status, failed.failure) == (ProviderStatus.FAILED, "card_declined")


async def test_a_declined_card(url: str, gateway: StripeGateway) -> None:
    order = replace(ORDER, source=await card(url, DECLINED))
    with pytest.raises(CallDeclined) as declined:
        await gateway.create(order, key())
    assert declined.value.params == {"reason": "card_declined"}


async def test_authorise_and_take_later(url: str, gateway: StripeGateway) -> None:
    held = await gateway.create(replace(MANUAL, source=await card(url, VISA)), key())
    assert (held.status, held.captured_minor) == (ProviderStatus.AUTHORIZED, 0)
    with pytest.raises(CallDeclined):
        await gateway.capture(held.ref, ORDER.amount_minor + 1, "USD", key())
    taken = await gateway.capture(held.ref, ORDER.amount_minor, "USD", key())
    assert (taken.status, taken.captured_minor) == (ProviderStatus.CAPTURED, ORDER.amount_minor)


async def test_authorise_and_let_go(url: str, gateway: StripeGateway) -> None:
    held = await gateway.create(replace(MANUAL, source=await card(url, VISA)), key())
    let_go = await gateway.cancel(held.ref, key())
    assert let_go.status is ProviderStatus.CANCELLED
    with pytest.raises(CallDeclined):
        await gateway.cancel(held.ref, key())


async def test_refunds(url: str, gateway: StripeGateway) -> None:
    taken = await gateway.create(replace(ORDER, source=await card(url, VISA)), key())
    await gateway.refund(Return(taken.ref, "r1", 4_000, "USD"), key())
    given = await gateway.refund(Return(taken.ref, "r2", 1_000, "USD"), key())
    assert sorted((one.refund_id, one.amount_minor, one.status) for one in given.refunds) == [
        ("r1", 4_000, ReturnStatus.SUCCEEDED),
        ("r2", 1_000, ReturnStatus.SUCCEEDED),
    ]


async def test_what_is_certain(url: str, gateway: StripeGateway) -> None:
    with pytest.raises(CallDeclined):
        await gateway.fetch("pi_unknown")
    with pytest.raises(CallDeclined):
        await gateway.create(replace(ORDER, source="pm_unknown"), key())
    stranger = StripeGateway(StripeSettings("nokey", SECRET, url, 5.0))
    with pytest.raises(CallNotSent):
        await stranger.create(ORDER, key())
    await stranger.close()


async def test_its_webhooks_are_read(url: str, gateway: StripeGateway) -> None:
    arrived: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(request: Request) -> Response:
        arrived.put_nowait((dict(request.headers), await request.body()))
        return Response()

    port = free_port()
    app = Starlette(routes=[Route("/", take, methods=["POST"])])
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    events = ["payment_intent.succeeded"]
    hook = f"http://127.0.0.1:{port}/"
    await post(url, "/_config/webhooks/ours", url=hook, secret=SECRET, events=events)
    taken = await gateway.create(replace(ORDER, source=await card(url, VISA)), key())
    event = None
    async with asyncio.timeout(30):
        while event is None or event.ref != taken.ref:  # those of tests before are on their way
            headers, body = await arrived.get()
            now_ms = int(time.time() * 1_000)
            event = await gateway.read_webhook(headers, body, now_ms)
    assert (event.type, event.payment_id) == ("payment_intent.succeeded", ORDER.payment_id)
    with pytest.raises(WebhookSignatureWrong):
        await gateway.read_webhook(headers, body + b" ", now_ms)
    server.should_exit = True
    await serving
