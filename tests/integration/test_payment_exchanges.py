"""What providers were asked and said: kept whole, without what is secret, and never changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from functools import partial
from uuid import uuid4

import httpx
import pytest
import uvicorn

from integrations.payment_gateway import Order, Return
from integrations.payment_gateway_stripe import StripeGateway
from integrations.payment_recorder import Recorder, during
from integrations.stripe_client import StripeSettings
from messages.payments.exchanges import Exchange, Occasion, Outcome
from messages.payments.gateways import (
    CallDeclined,
    CallKind,
    CallOutcomeUnknown,
    GatewayName,
    Method,
)
from messages.payments.payments import Capture, Source
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator
from storage import payments_exchanges as storage
from storage.database import Pool
from tests.contracts.payment_rigs import free_port
from tests.integration.payments_support import clock

PAYMENT = "11111111-2222-4333-8444-555555555555"
ORDER = Order(PAYMENT, 10_000, "USD", Method.CARD, Capture.AUTOMATIC, "for ana@example.org",
              "pm_card_visa", "https://shop.example/back?token=abc")  # fmt: skip
TABLES = ("exchanges", "decisions", "webhooks", "movements", "provider_entries",
          "reconciliations", "differences", "difference_moves", "run_differences")  # fmt: skip


class Kept:
    """A recorder into PostgreSQL that may be made to fail."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.away = pool, 0
        self.recorder = Recorder(self.save, clock, lambda: str(uuid4()), b"k" * 32)

    async def save(self, exchanges: Sequence[Exchange]) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionError
        async with self.pool.acquire() as connection, connection.transaction():
            await storage.add(connection, exchanges)

    async def of_payment(self) -> list[Exchange]:
        await self.recorder.flush()
        return await storage.of_payment(self.pool, PAYMENT, 100)


@pytest.fixture
async def kept(pool: Pool) -> AsyncIterator[Kept]:
    made = Kept(pool)
    yield made
    await made.recorder.close()
    assert made.recorder.lost == 0


@pytest.fixture
async def stripe(kept: Kept) -> AsyncIterator[tuple[StripeGateway, StripeSimulator]]:
    port = free_port()
    simulator = StripeSimulator()
    config = uvicorn.Config(simulator.app(), "127.0.0.1", port, log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    settings = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, f"http://127.0.0.1:{port}", 2.0)
    gateway = StripeGateway(settings, partial(kept.recorder.client, GatewayName.STRIPE))
    yield gateway, simulator
    await gateway.close()
    server.should_exit = True
    await serving


def occasion(kind: CallKind, source: Source = Source.CALL) -> Occasion:
    return Occasion(source, PAYMENT, call_id=str(uuid4()), kind=kind.value)


async def test_every_request_is_kept_with_its_answer(
    kept: Kept, stripe: tuple[StripeGateway, StripeSimulator]
) -> None:
    gateway, _ = stripe
    with during(occasion(CallKind.CREATE)):
        taken = await gateway.create(ORDER, "key-1")
    with during(occasion(CallKind.REFUND)):
        await gateway.refund(Return(taken.ref, "r1", 4_000, "USD"), "key-2")
    created, refunded, looked = await kept.of_payment()
    assert (created.method, created.path, created.key) == ("POST", "/v1/payment_intents", "key-1")
    assert (created.status, created.outcome) == (200, Outcome.ANSWERED)
    assert created.occasion.kind == "create"
    asked, answered = json.loads(created.request or ""), json.loads(created.answer or "")
    assert (asked["amount"], asked["payment_id"]) == ("10000", PAYMENT)
    assert (answered["id"], answered["amount_received"]) == (taken.ref, 10_000)
    assert (refunded.key, refunded.occasion.kind) == ("key-2", "refund")
    assert (looked.method, looked.path.partition("?")[0]) == (
        "GET", f"/v1/payment_intents/{taken.ref}",
    )  # fmt: skip


async def test_nothing_secret_is_kept(
    kept: Kept, stripe: tuple[StripeGateway, StripeSimulator], pool: Pool
) -> None:
    gateway, simulator = stripe
    with during(occasion(CallKind.CREATE)):
        taken = await gateway.create(ORDER, "key-1")
    await kept.of_payment()
    rows = await pool.fetch("select row_to_json(e)::text as text from payments.exchanges e")
    secrets = (SECRET_KEY, WEBHOOK_SECRET, "pm_card_visa", "ana@example.org", "token=abc",
               simulator.intents[taken.ref]["client_secret"])  # fmt: skip
    assert len(rows) == 1
    for row in rows:
        for secret in secrets:
            assert secret not in row["text"]
    asked, answered = (json.loads(rows[0]["text"])[name] for name in ("request", "answer"))
    assert asked["payment_method"].startswith("<digest:")
    assert asked["payment_method"] == answered["payment_method"]
    assert answered["client_secret"] == "<string>"


async def test_how_a_request_ended(
    kept: Kept, stripe: tuple[StripeGateway, StripeSimulator]
) -> None:
    """No record claims an answer that was not there."""
    gateway, simulator = stripe
    plan = (
        ("pm_card_chargeDeclined", None, Outcome.DECLINED, 402),
        ("pm_card_visa", "500", Outcome.UNKNOWN, 500),
        ("pm_card_visa", "lose-answer", Outcome.UNKNOWN, None),
    )
    for source, fault, outcome, status in plan:
        simulator.faults.set([{"on": "create", "do": fault}] if fault else [])
        order = Order(PAYMENT, 1, "USD", Method.CARD, Capture.AUTOMATIC, "", source)
        failed = pytest.raises((CallDeclined, CallOutcomeUnknown))
        with during(occasion(CallKind.CREATE)), failed:
            await gateway.create(order, str(uuid4()))
        last = (await kept.of_payment())[-1]
        assert (last.outcome, last.status, last.answer is None) == (outcome, status, status is None)
    port = free_port()
    client = kept.recorder.client(GatewayName.STRIPE)
    with during(occasion(CallKind.FETCH)), pytest.raises(httpx.ConnectError):
        await client.get(f"http://127.0.0.1:{port}/v1/payment_intents/x")
    await client.aclose()
    last = (await kept.of_payment())[-1]
    assert (last.outcome, last.error) == (Outcome.NOT_SENT, "ConnectError")


async def test_what_cannot_be_written_waits_and_nobody_goes_on_without_room(pool: Pool) -> None:
    kept = Kept(pool)
    kept.away = 2
    kept.recorder._max_waiting = 2
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"id": "a"}))
    client = kept.recorder.client(GatewayName.STRIPE, transport=transport)
    with during(occasion(CallKind.FETCH)):
        await asyncio.gather(*(client.get("http://stripe.test/x") for _ in range(7)))
    await kept.recorder.close()
    await client.aclose()
    assert kept.recorder.lost == 0
    assert len(await storage.of_payment(pool, PAYMENT, 100)) == 7


@pytest.mark.parametrize("table", TABLES)
async def test_records_stay(pool: Pool, table: str) -> None:
    for change in (f"delete from payments.{table}", f"truncate payments.{table} cascade"):
        with pytest.raises(Exception, match="append-only"):
            await pool.execute(change)


async def test_every_statement_compiles(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for statement in (storage.ADD, storage.OF_PAYMENT):
            await connection.prepare(statement)
