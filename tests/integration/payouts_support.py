"""Payouts on the real runtime, ledger, bus and gateway; Stripe's stand-in over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import uvicorn
from prometheus_client import CollectorRegistry

from actors.payment_webhooks import Looks, PaymentWebhooksHandler
from actors.payout_calls import PayoutCallsHandler, destinations
from actors.payout_webhooks import AccountLooks, PayoutLooks
from actors.payouts import PayoutsKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.limits import Limits
from actors.runtime.metrics import HandleMetrics
from actors.runtime.placement import assign
from actors.runtime.transport_local import LocalTransport
from api.webhook_inbox import WebhookInbox
from bus.stream_redis import RedisStream
from bus.worker import Worker
from domain.payouts.policy import Change, CoolingOff, PayoutPolicy
from integrations.payment_courier import Courier
from integrations.payment_gateway_stripe import StripeGateway
from integrations.payout_courier import PayoutCourier
from integrations.payout_gateway import PayoutGateway
from integrations.payout_gateway_stripe import StripeAccounts, StripePayouts
from integrations.stripe_client import StripeSettings
from integrations.tokens import Grant
from messages.keys import derive_key
from messages.ledger import transfer
from messages.payments.gateways import GatewayName
from messages.payments.payments import Verdict
from messages.payments.payout_orders import PayoutOrder, PayoutProvider, PayoutSnapshot
from messages.payments.webhooks import About
from messages.users import Role
from messages.users_sessions import Method
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator
from storage import ledger, placement
from storage.bus import BusStore
from storage.database import Pool
from tests.api_services import Api, make_services, open_api
from tests.contracts.payment_rigs import free_port
from tests.integration.bus_support import QUICK

# A minute takes a moment, and a new destination may be paid at once: a test waits for it elsewhere.
QUICKLY = PayoutPolicy(
    grace_ms=1,
    answer_ms=150,
    retry_first_ms=50,
    retry_most_ms=200,
    look_ms=200,
    cooling=(CoolingOff(Change.CREDENTIALS, 86_400_000, Verdict.DENY),),
)
_USER = """
insert into users.users
    (user_id, username, username_key, email, email_key, password_hash, role, time_zone, locale,
     created_at_ms)
values ($1, $2, $2, $2 || '@example.org', $2 || '@example.org', 'x', $3, 'UTC', 'en', 1)"""


@dataclass
class Hooked:
    """The port, with something that happens before or after a call of it."""

    gateway: PayoutGateway
    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def name(self) -> PayoutProvider:
        return self.gateway.name

    async def pay(self, order: PayoutOrder, key: str) -> PayoutSnapshot:
        self.asked.append(("pay", key))
        if self.before is not None:
            await self.before()
        found = await self.gateway.pay(order, key)
        if self.after is not None:
            await self.after()
        return found

    async def find(self, order: PayoutOrder, ref: str) -> PayoutSnapshot:
        self.asked.append(("find", ref))
        return await self.gateway.find(order, ref)

    async def close(self) -> None:
        await self.gateway.close()


@dataclass
class World:
    """A gateway of ours, payouts' owners, the bus's worker, Stripe."""

    api: Api
    stripe: StripeSimulator
    engine: Engine
    user_id: str = ""

    @property
    def gateway(self) -> Hooked:
        return self.engine.gateway

    async def post(self, path: str, body: Any = None, key: str | None = None) -> httpx.Response:
        return await self.api.client.post(
            f"/api/v1/{path}", json=body, headers=self.api.headers(key)
        )

    async def get(self, path: str) -> httpx.Response:
        return await self.api.client.get(f"/api/v1/{path}", headers=self.api.headers())

    async def delete(self, path: str) -> httpx.Response:
        return await self.api.client.delete(f"/api/v1/{path}", headers=self.api.headers())

    async def sign_in(self, name: str, role: Role = Role.USER, *, lately: bool = True) -> str:
        user_id = str(uuid4())
        await self.api.pool.execute(_USER, UUID(user_id), name, role.value)
        self.user_id = user_id
        self.sign_in_again(role, lately=lately)
        return user_id

    def sign_in_again(self, role: Role = Role.USER, *, lately: bool = True) -> None:
        now = self.api.services.clock()
        at_ms = now if lately else now - 3_600_000
        grant = Grant(self.user_id, str(uuid4()), (role,), (Method.PASSWORD,), at_ms)
        self.api.token = self.api.services.tokens.issue(grant, str(uuid4()), now)

    async def fund(self, amount: int, user_id: str | None = None) -> None:
        """Money that is the user's."""
        moved = transfer(
            derive_key("test", str(uuid4())),
            "outside:shop:sales/USD",
            f"user:{user_id or self.user_id}:available/USD",
            amount,
            cause="test",
            purpose="test",
        )
        async with self.api.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, [moved], 1)

    async def balance(self, code: str) -> int:
        async with self.api.pool.acquire() as connection:
            return (await ledger.balances(connection, [code]))[code]

    async def wallet(self) -> int:
        return await self.balance(f"user:{self.user_id}:available/USD")

    async def on_its_way(self) -> int:
        return await self.balance(f"user:{self.user_id}:paying-out/USD")

    async def verify(self) -> None:
        """The ledger sums up, and says what Stripe says."""
        async with self.api.pool.acquire() as connection:
            assert await ledger.verify(connection) == []
        gone = sum(
            one["amount"] - one["amount_reversed"] for one in self.stripe.connect.transfers.values()
        )
        assert await self.balance("outside:stripe:clearing/USD") == gone

    async def stripe_method(self, *, onboarded: bool = True) -> str:
        """A connected account of the user's."""
        added = await self.post("users/me/payout-methods", {"provider": "stripe", "country": "US"})
        assert added.status_code == 201, added.text
        method_id = str(added.json()["method_id"])
        if onboarded:
            self.stripe.connect.onboard(list(self.stripe.connect.accounts)[-1])
            await self.post(f"users/me/payout-methods/{method_id}/refresh")
        return method_id

    async def pay_out(
        self, amount: int = 5_000, key: str | None = None, **more: Any
    ) -> httpx.Response:
        return await self.post("payouts", {"amount_minor": amount, "currency": "USD", **more}, key)

    async def status(self, payout_id: str) -> str:
        shown = await self.get(f"payouts/{payout_id}")
        return str(shown.json()["status"])

    async def reaches(self, payout_id: str, status: str) -> None:
        async with asyncio.timeout(30):
            while (found := await self.status(payout_id)) != status:
                assert found not in {"failed", "cancelled", "returned"}, found
                await asyncio.sleep(0.02)


class Engine:
    """A host of payouts and a worker of the bus, each of which may stop without a goodbye."""

    def __init__(self, pool: Pool, urls: tuple[str, str], stripe: StripeSettings) -> None:
        self.pool, self.urls = pool, urls
        self.kind = PayoutsKind(QUICKLY)
        self.transport = LocalTransport()
        self.handle = Handle(
            self.kind, self.transport, partial(placement.read, pool), metrics=HandleMetrics()
        )
        self.charges = StripeGateway(stripe)
        self.accounts = StripeAccounts(stripe)
        self.gateway = Hooked(StripePayouts(stripe))
        self.host: Host | None = None
        self.worker: Worker | None = None
        self.store: BusStore | None = None
        self.broker: RedisStream | None = None
        self.vault: Any = None
        self._dead: list[Host] = []

    async def start(self, vault: Any) -> None:
        self.vault = vault
        where = assign(self.kind.name, self.kind.partitions, ["host"])
        await placement.ensure(self.pool, self.kind.name, where)
        await self.start_host()
        await self.start_worker()

    async def start_host(self) -> None:
        self.host = Host("host", [self.kind], self.pool, clock, Limits(reminder_poll_ms=20))
        await self.host.start()
        self.transport.add("host", self.host)

    async def kill_host(self) -> None:
        assert self.host is not None
        self.transport.kill("host")
        await self.host.abandon()

    async def start_worker(self) -> None:
        self.store = await BusStore.open(self.urls[0], max_size=4)
        self.broker = RedisStream(self.urls[1])
        courier = PayoutCourier(
            self.handle, {PayoutProvider.STRIPE: self.gateway}, destinations(self.pool, self.vault)
        )
        looks: dict[About, Looks] = {
            About.PAYOUT: PayoutLooks(self.handle, courier, self.pool),
            About.ACCOUNT: AccountLooks({PayoutProvider.STRIPE: self.accounts}, self.pool, clock),
        }
        payments = Courier(self.handle, {GatewayName.STRIPE: self.charges})
        self.worker = Worker(
            "bus", self.store, self.broker, [
                PayoutCallsHandler(self.handle, courier, clock),
                PaymentWebhooksHandler(self.handle, payments, clock, looks),
            ], (), clock,
            registry=CollectorRegistry(), limits=QUICK,
        )  # fmt: skip
        await self.worker.start()

    async def kill_worker(self) -> None:
        """Its tasks end where they are; nothing is acknowledged or recorded any more."""
        assert self.worker is not None
        assert self.store is not None
        assert self.broker is not None
        await self.worker.stop()
        await self.broker.close()
        await self.store.close()

    async def stop(self) -> None:
        await self.kill_worker()
        await self.handle.close()
        assert self.host is not None
        await self.host.stop()
        for one in (self.charges, self.accounts, self.gateway):
            await one.close()


@asynccontextmanager
async def open_world(
    pool: Pool, folder: Path, database_url: str, redis_url: str
) -> AsyncIterator[World]:
    """Everything started; a user signed in with 100.00 USD."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    stripe = StripeSimulator("http://api.test/api/v1/webhooks/stripe", url)
    config = uvicorn.Config(stripe.app(), "127.0.0.1", port, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    settings = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, url, 2.0)
    engine = Engine(pool, (database_url, redis_url), settings)
    services = make_services(
        folder,
        pool,
        handles={"payouts": engine.handle, "payments": engine.handle},
        courier=Courier(engine.handle, {GatewayName.STRIPE: engine.charges}),
        clock=clock,
        inbox=WebhookInbox(pool),
        payout_accounts={PayoutProvider.STRIPE: engine.accounts},
        payout_providers=frozenset(PayoutProvider),
        payout_policy=QUICKLY,
    )
    await engine.start(services.vault)
    async with open_api(services) as api:
        assert stripe.sender is not None
        await stripe.sender._client.aclose()
        stripe.sender._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=api.app))
        world = World(api, stripe, engine)
        await world.sign_in("ana")
        await world.fund(10_000)
        yield world
        await stripe.sender.close()
    await engine.stop()
    server.should_exit = True
    await serving


def clock() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000
