"""Payments on the real runtime, ledger, bus and gateway; providers in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
from prometheus_client import CollectorRegistry

from actors.payment_calls import PaymentCallsHandler
from actors.payment_webhooks import PaymentWebhooksHandler
from actors.payments import PaymentsKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.limits import Limits
from actors.runtime.metrics import HandleMetrics
from actors.runtime.placement import assign
from actors.runtime.transport_local import LocalTransport
from api.webhook_inbox import WebhookInbox
from bus.stream_redis import RedisStream
from bus.worker import Worker
from domain.payments.policy import PaymentPolicy
from integrations.payment_courier import Courier
from integrations.payment_gateway import Order, PaymentGateway, Return
from integrations.tokens import Grant
from messages.payments.gateways import (
    Call,
    CallDeclined,
    CallKind,
    CallOutcomeUnknown,
    GatewayName,
    Snapshot,
)
from messages.payments.webhooks import WebhookEvent, WebhookSignatureWrong
from messages.users import Role
from storage import ledger, placement
from storage.bus import BusStore
from storage.database import Pool
from tests.api_services import Api, make_services, open_api
from tests.integration.bus_support import QUICK
from tests.unit.payments_provider import Charge, DeclinedError, Provider

QUICKLY = PaymentPolicy(answer_ms=100, retry_first_ms=50, retry_most_ms=200)
_USER = """
insert into users.users
    (user_id, username, username_key, email, email_key, password_hash, role, time_zone, locale,
     created_at_ms)
values ($1, $2, $2, $2 || '@example.org', $2 || '@example.org', 'x', $3, 'UTC', 'en', 1)"""


@dataclass
class MemoryGateway:
    """The port over a provider in memory. `lose`: how many answers get lost from now on."""

    provider: Provider
    lose: int = 0
    healthy: bool = True
    asked: list[Call] = field(default_factory=list)

    @property
    def name(self) -> GatewayName:
        return self.provider.name

    async def create(self, order: Order, key: str) -> Snapshot:
        return self._do(CallKind.CREATE, key, amount=order.amount_minor)

    async def authorize(self, ref: str, key: str) -> Snapshot:
        return self._do(CallKind.AUTHORIZE, key, ref)

    async def capture(self, ref: str, amount_minor: int, currency: str, key: str) -> Snapshot:
        return self._do(CallKind.CAPTURE, key, ref, amount_minor)

    async def cancel(self, ref: str, key: str) -> Snapshot:
        return self._do(CallKind.CANCEL, key, ref)

    async def refund(self, refund: Return, key: str) -> Snapshot:
        return self._do(CallKind.REFUND, key, refund.ref, refund.amount_minor, refund.refund_id)

    async def fetch(self, ref: str) -> Snapshot:
        return self._do(CallKind.FETCH, "", ref)

    async def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> WebhookEvent:
        if headers.get("x-signature") != "good":
            raise WebhookSignatureWrong
        return msgspec.json.decode(body, type=WebhookEvent)

    async def close(self) -> None: ...

    def _do(
        self, kind: CallKind, key: str, ref: str = "", amount: int = 0, refund_id: str = ""
    ) -> Snapshot:
        call = Call("", kind, self.name, 0, key, ref, amount, refund_id)
        self.asked.append(call)
        self.provider.now = clock()
        try:
            found = self.provider.perform(call)
        except DeclinedError:
            raise CallDeclined(reason="declined") from None
        if self.lose:
            self.lose -= 1
            raise CallOutcomeUnknown(reason="timeout")
        return found


class Steady(Random):
    """Chance that always takes the first."""

    def random(self) -> float:
        return 0.5

    def choice(self, seq: Any) -> Any:
        return seq[-1]


@dataclass
class World:
    """A gateway of ours, payments' owners, the worker of overdue calls, one provider."""

    api: Api
    gateway: MemoryGateway
    host: Host
    user_id: str

    @property
    def provider(self) -> Provider:
        return self.gateway.provider

    def charge(self) -> Charge:
        (charge,) = self.provider.charges.values()
        return charge

    async def post(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        return await self.api.client.post(
            f"/api/v1/{path}", json=body, headers=self.api.headers(key)
        )

    async def get(self, path: str) -> httpx.Response:
        return await self.api.client.get(f"/api/v1/{path}", headers=self.api.headers())

    async def pay(
        self, amount: int = 10_000, key: str | None = None, **more: Any
    ) -> httpx.Response:
        body = {"amount_minor": amount, "currency": "USD", "method": "card", **more}
        return await self.post("payments", body, key)

    async def tell(self, event: WebhookEvent, signature: str = "good") -> httpx.Response:
        return await self.api.client.post(
            "/api/v1/webhooks/stripe",
            content=msgspec.json.encode(event),
            headers={"x-signature": signature},
        )

    async def wallet(self) -> int:
        code = f"user:{self.user_id}:available/USD"
        async with self.api.pool.acquire() as connection:
            return (await ledger.balances(connection, [code]))[code]

    async def verify(self) -> None:
        async with self.api.pool.acquire() as connection:
            assert await ledger.verify(connection) == []

    async def sign_in(self, name: str, role: Role) -> str:
        user_id = str(uuid4())
        await self.api.pool.execute(_USER, UUID(user_id), name, role.value)
        now = self.api.services.clock()
        grant = Grant(user_id, str(uuid4()), (role,), (), now)
        self.api.token = self.api.services.tokens.issue(grant, str(uuid4()), now)
        return user_id


@asynccontextmanager
async def open_world(
    pool: Pool,
    folder: Path,
    database_url: str,
    redis_url: str,
    more: Mapping[GatewayName, PaymentGateway] | None = None,
    policy: PaymentPolicy = QUICKLY,
) -> AsyncIterator[World]:
    """Everything started; a user signed in. `more`: other providers than the one in memory."""
    kind = PaymentsKind(policy)
    await placement.ensure(pool, kind.name, assign(kind.name, kind.partitions, ["host"]))
    transport = LocalTransport()
    handle = Handle(kind, transport, partial(placement.read, pool), metrics=HandleMetrics())
    host = Host("host", [kind], pool, clock, Limits(reminder_poll_ms=20))
    await host.start()
    transport.add("host", host)
    gateway = MemoryGateway(Provider(GatewayName.STRIPE, Steady()))
    courier = Courier(handle, {GatewayName.STRIPE: gateway, **(more or {})})
    store, broker = await BusStore.open(database_url, max_size=4), RedisStream(redis_url)
    worker = Worker(
        "bus", store, broker, [
            PaymentCallsHandler(handle, courier),
            PaymentWebhooksHandler(handle, courier, clock),
        ], (), clock,
        registry=CollectorRegistry(), limits=QUICK,
    )  # fmt: skip
    await worker.start()
    services = make_services(
        folder,
        pool,
        handles={"payments": handle},
        courier=courier,
        clock=clock,
        inbox=WebhookInbox(pool),
    )
    async with open_api(services) as api:
        world = World(api, gateway, host, "")
        world.user_id = await world.sign_in("ana", Role.USER)
        yield world
    await worker.stop()
    await broker.close()
    await handle.close()
    await host.stop()
    await store.close()


def clock() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
