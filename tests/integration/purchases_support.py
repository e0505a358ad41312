"""Purchases with all that they touch: owners of goods and payments, ledger, bus, gateway."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from prometheus_client import CollectorRegistry

from actors.drops import DropsKind
from actors.market import MarketKind
from actors.payment_calls import PaymentCallsHandler
from actors.payment_webhooks import PaymentWebhooksHandler
from actors.payments import PaymentsKind
from actors.purchases import PurchasesKind
from actors.purchases_worker import PurchasesHandler
from actors.rewards import PoolsKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.kind import EntityKind
from actors.runtime.limits import Limits
from actors.runtime.metrics import HandleMetrics
from actors.runtime.placement import assign
from actors.runtime.transport_local import LocalTransport
from actors.ventures import VenturesKind
from api.webhook_inbox import WebhookInbox
from bus.stream_redis import RedisStream
from bus.worker import Worker
from domain.drops.policy import DropPolicy
from domain.policy import MarketPolicy, RewardPolicy
from domain.purchases.policy import PurchasePolicy
from integrations.payment_courier import Courier
from integrations.purchase_courier import PurchaseCourier
from messages.drops.drops import ActivateDrop
from messages.keys import derive_key
from messages.ledger import transfer
from messages.market import ActivateIssue
from messages.payments.gateways import GatewayName
from messages.rewards import OpenPool
from messages.users import Role
from messages.ventures.ventures import OpenRound
from storage import ledger, placement
from storage.bus import BusStore
from storage.database import Pool
from tests.api_services import make_services, open_api
from tests.integration.bus_support import QUICK
from tests.integration.payments_support import QUICKLY, MemoryGateway, Steady, clock
from tests.integration.payments_support import World as PaymentsWorld
from tests.unit import drops_entities, market_entities, ventures_entities
from tests.unit.drops_entities import DROP
from tests.unit.market_entities import ISSUE
from tests.unit.payments_provider import Provider
from tests.unit.ventures_entities import VENTURE

POOL = "0197f000-0000-7000-8000-000000000001"
DAY_MS = 86_400_000
POLICY = PurchasePolicy(answer_ms=60, retry_first_ms=40, retry_most_ms=100, look_ms=100)
SHARE_PRICE, SHARES = 250, 40
TOKEN_PRICE, TOKENS = 1_000, 2
CARD = {"method": "card"}
ORDERS: dict[str, dict[str, Any]] = {
    "wallet-topup": {"amount_minor": 10_000, "currency": "USD"},
    "share-purchase": {"subject_id": ISSUE, "quantity": SHARES},
    "nft-purchase": {"subject_id": DROP, "quantity": TOKENS},
    "venture-investment": {"subject_id": VENTURE, "amount_minor": 2_000},
    "campaign-sponsorship": {"subject_id": POOL, "amount_minor": 500, "currency": "USD"},
}
PRICES = {
    "wallet-topup": 10_000,
    "share-purchase": SHARES * SHARE_PRICE,
    "nft-purchase": TOKENS * TOKEN_PRICE,
    "venture-investment": 2_000,
    "campaign-sponsorship": 500,
}
# What the buyer has of each, by account.
GOODS = {
    "share-purchase": f"user:{{}}:available/SHARE:{ISSUE}",
    "nft-purchase": f"user:{{}}:available/NFT:{DROP}",
    "venture-investment": f"venture:{VENTURE}:escrow/USD",
    "campaign-sponsorship": f"pool:{POOL}:balance/VIBES",
}
BOUGHT = {
    "share-purchase": SHARES,
    "nft-purchase": TOKENS,
    "venture-investment": 2_000,
    "campaign-sponsorship": 500 * 10**6,
}


def kinds() -> list[EntityKind[Any, Any, Any]]:
    return [
        PaymentsKind(QUICKLY),
        PurchasesKind(POLICY),
        MarketKind(MarketPolicy()),
        DropsKind(DropPolicy()),
        VenturesKind(ventures_entities.POLICY),
        PoolsKind(RewardPolicy()),
    ]


@dataclass
class World(PaymentsWorld):
    """What payments have, and the owners of goods; hosts and workers that die without a word."""

    transport: LocalTransport = field(default_factory=LocalTransport)
    handles: Mapping[str, Handle] = field(default_factory=dict)
    worker: Worker | None = None
    new_worker: Any = None
    counter: Any = field(default_factory=itertools.count)

    async def ask(self, kind: str, entity_id: str, command: Any) -> Any:
        key = derive_key("test", next(self.counter))
        return await self.handles[kind].ask(entity_id, command, key=key)

    async def kill_host(self) -> None:
        """The owners of everything die with all their memory; others take over."""
        self.transport.kill("host")
        await self.host.abandon()
        self.host = await start_host(self.api.pool, self.transport)

    async def replace_worker(self, handles: Mapping[str, Any] | None = None) -> None:
        """Another worker goes on where the one before got to; what that had begun is begun anew."""
        assert self.worker is not None
        await self.worker.stop()
        asked = handles or self.handles
        self.worker = self.new_worker(asked, Courier(asked["payments"], self.gateways))
        await self.worker.start()

    @property
    def gateways(self) -> dict[GatewayName, MemoryGateway]:
        return {GatewayName.STRIPE: self.gateway}

    async def open_goods(self) -> None:
        """An issue, a drop, a venture, a pool."""
        draft = market_entities.draft(currency="USD", price_minor=SHARE_PRICE, cap_bps=2_000)
        await self.ask("market", ISSUE, draft)
        await self.ask("market", ISSUE, ActivateIssue())
        await self.ask("drops", DROP, drops_entities.draft(price_minor=TOKEN_PRICE))
        await self.ask("drops", DROP, ActivateDrop())
        deadline = clock() + 30 * DAY_MS
        venture = ventures_entities.draft(deadline_ms=deadline, song_id="", cap_minor=200_000)
        await self.ask("ventures", VENTURE, venture)
        await self.ask("ventures", VENTURE, OpenRound())
        await self.ask("pools", POOL, OpenPool(POOL, "Summer", DAY_MS))

    async def buy(self, purpose: str, *, card: bool = True, key: str | None = None,
                  **more: Any) -> Any:  # fmt: skip
        body = {"purpose": purpose, **ORDERS[purpose], **({"payment": CARD} if card else {})}
        return await self.post("purchases", {**body, **more}, key)

    async def purchase(self, purchase_id: str) -> Any:
        return (await self.get(f"purchases/{purchase_id}")).json()

    async def reaches(self, purchase_id: str, *statuses: str) -> Any:
        """The purchase, once it has one of the statuses."""
        found: Any = None
        for _ in range(1_000):
            found = await self.purchase(purchase_id)
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(found)

    async def credit(self, amount_minor: int, currency: str = "USD") -> None:
        """Money in the buyer's balance."""
        moved = transfer(
            derive_key("credit", next(self.counter)),
            f"outside:treasury:issue/{currency}",
            f"user:{self.user_id}:available/{currency}",
            amount_minor,
            cause="test",
            purpose="test",
        )
        async with self.api.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, [moved], clock())

    async def balance(self, code: str) -> int:
        async with self.api.pool.acquire() as connection:
            return (await ledger.balances(connection, [code]))[code]

    async def goods(self, purpose: str) -> int:
        code = GOODS.get(purpose)
        return await self.balance(code.format(self.user_id)) if code else 0

    async def spend(self, amount_minor: int) -> None:
        """The buyer spends some of the balance elsewhere."""
        moved = transfer(
            derive_key("spend", next(self.counter)),
            f"user:{self.user_id}:available/USD",
            "outside:shop:sales/USD",
            amount_minor,
            cause="test",
            purpose="test",
        )
        async with self.api.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, [moved], clock())

    async def another_buyer(self) -> None:
        self.user_id = await self.sign_in(f"buyer{next(self.counter)}", Role.USER)


async def start_host(pool: Pool, transport: LocalTransport) -> Host:
    host = Host("host", kinds(), pool, clock, Limits(reminder_poll_ms=20))
    await host.start()
    transport.add("host", host)
    return host


def make_worker(
    store: BusStore, broker: RedisStream, handles: Mapping[str, Any], courier: Courier
) -> Worker:
    """A worker of the bus that asks through those handles."""
    return Worker(
        "bus", store, broker, [
            PaymentCallsHandler(handles["payments"], courier),
            PaymentWebhooksHandler(handles["payments"], courier, clock),
            PurchasesHandler(PurchaseCourier(handles, courier)),
        ], (), clock,
        registry=CollectorRegistry(), limits=QUICK,
    )  # fmt: skip


@asynccontextmanager
async def open_purchases(
    pool: Pool, folder: Path, database_url: str, redis_url: str
) -> AsyncIterator[World]:
    """Everything started, goods for sale, a user signed in."""
    transport = LocalTransport()
    handles = {}
    for kind in kinds():
        await placement.ensure(pool, kind.name, assign(kind.name, kind.partitions, ["host"]))
        reader = partial(placement.read, pool)
        handles[kind.name] = Handle(kind, transport, reader, metrics=HandleMetrics())
    host = await start_host(pool, transport)
    gateway = MemoryGateway(Provider(GatewayName.STRIPE, Steady()))
    courier = Courier(handles["payments"], {GatewayName.STRIPE: gateway})
    store, broker = await BusStore.open(database_url, max_size=4), RedisStream(redis_url)
    worker = make_worker(store, broker, handles, courier)
    await worker.start()
    services = make_services(
        folder, pool, handles=handles, courier=courier, clock=clock, inbox=WebhookInbox(pool)
    )
    async with open_api(services) as api:
        new_worker = partial(make_worker, store, broker)
        world = World(api, gateway, host, "", transport, handles, worker, new_worker)
        world.user_id = await world.sign_in(f"ana{uuid4().hex[:6]}", Role.USER)
        await world.open_goods()
        yield world
        assert world.worker is not None
        await world.worker.stop()
        await broker.close()
        for handle in handles.values():
            await handle.close()
        await world.host.stop()
        await store.close()
