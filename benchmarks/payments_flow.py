"""What benchmarks of payments share: an owner of payments on a database, and providers to ask."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from actors.payments import PaymentsKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.limits import HandleLimits, Limits
from actors.runtime.transport_local import LocalTransport
from benchmarks.harness import Figures, percentile
from integrations.payment_courier import Courier
from integrations.payment_gateway import Order, PaymentGateway, Return
from integrations.payment_gateway_stripe import StripeGateway
from integrations.payment_recorder import Recorder
from integrations.stripe_client import StripeSettings
from messages.keys import derive_id
from messages.payments.exchanges import Exchange
from messages.payments.gateways import GatewayName, Method, ProviderStatus, Snapshot
from messages.payments.payments import (
    Assessment,
    PaymentStatus,
    PaymentView,
    Purpose,
    StartPayment,
    Verdict,
)
from messages.payments.webhooks import WebhookEvent
from simulators.payments.stripe import SECRET_KEY, WEBHOOK_SECRET
from storage import ledger, payments_exchanges, placement
from storage.database import KEYED, Pool, open_pool
from storage.migrate import migrate

HOST = "bench-0"
AMOUNT_MINOR = 1_234
PAYERS = [derive_id("bench-payer", number) for number in range(1_000)]
ALLOWED = Assessment(Verdict.ALLOW)
OpenGateway = Callable[[Recorder], PaymentGateway]


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class InstantGateway:
    """A provider that takes everything at once, in this process: what is left is ours."""

    name = GatewayName.STRIPE
    healthy = True

    def __init__(self) -> None:
        self._taken: dict[str, Snapshot] = {}
        self._by_key: dict[str, str] = {}

    async def create(self, order: Order, key: str) -> Snapshot:
        """Taken, once a key."""
        ref = self._by_key.setdefault(key, f"in_{len(self._by_key)}")
        status = ProviderStatus.CAPTURED
        found = Snapshot(ref, status, now_ms(), captured_minor=order.amount_minor)
        return self._taken.setdefault(ref, found)

    async def authorize(self, ref: str, key: str) -> Snapshot:
        """It is taken already."""
        return self._taken[ref]

    async def capture(self, ref: str, amount_minor: int, currency: str, key: str) -> Snapshot:
        """It is taken already."""
        return self._taken[ref]

    async def cancel(self, ref: str, key: str) -> Snapshot:
        """It is taken already."""
        return self._taken[ref]

    async def refund(self, refund: Return, key: str) -> Snapshot:
        """Nobody asks for it here."""
        return self._taken[refund.ref]

    async def fetch(self, ref: str) -> Snapshot:
        """As it is."""
        return self._taken[ref]

    async def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> WebhookEvent:
        """It sends none."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to let go of."""


def open_stripe(url: str, recorder: Recorder) -> PaymentGateway:
    """Stripe's stand-in, through Stripe's library."""
    account = StripeSettings(SECRET_KEY, WEBHOOK_SECRET, url)
    return StripeGateway(account, partial(recorder.client, GatewayName.STRIPE))


def open_recorder(pool: Pool) -> Recorder:
    """What keeps the exchanges with providers."""

    async def save(exchanges: Sequence[Exchange]) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await payments_exchanges.add(connection, exchanges)

    return Recorder(save, now_ms, lambda: str(uuid.uuid4()), b"b" * 32)


class Orchestrator:
    """The owner of payments, a caller's handle, and the courier to one provider."""

    def __init__(self, url: str, gateway: OpenGateway, limits: Limits) -> None:
        self._url, self._open_gateway, self._limits = url, gateway, limits
        self._transport = LocalTransport()
        self._kind = PaymentsKind()
        self.pool: Pool
        self.courier: Courier

    async def open(self) -> None:
        """Start the owner."""
        await migrate(self._url)
        self.pool = await open_pool(self._url, settings=KEYED)
        wanted = dict.fromkeys(range(self._kind.partitions), HOST)
        await placement.ensure(self.pool, self._kind.name, wanted)
        self._host = Host(HOST, [self._kind], self.pool, now_ms, self._limits)
        await self._host.start()
        self._transport.add(HOST, self._host)

        async def placed(kind: str) -> dict[int, str]:
            return await placement.read(self.pool, kind)

        self._handle = Handle(
            self._kind, self._transport, placed, HandleLimits(commands_a_call=1_000)
        )
        self._recorder = open_recorder(self.pool)
        self._gateway = self._open_gateway(self._recorder)
        self.courier = Courier(self._handle, {GatewayName.STRIPE: self._gateway})

    async def close(self) -> None:
        """Prove the ledger, then let go."""
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []
        await self._handle.close()
        await self._host.stop()
        await self._gateway.close()
        await self._recorder.close()
        await self.pool.close()

    async def pay(self, number: int) -> None:
        """A whole payment: asked for, taken by the provider, in the payer's balance."""
        asked = StartPayment(
            payer_id=PAYERS[number % len(PAYERS)],
            purpose=Purpose.TOP_UP,
            amount_minor=AMOUNT_MINOR,
            currency="USD",
            method=Method.CARD,
            gateways=(GatewayName.STRIPE,),
            assessment=ALLOWED,
            source="pm_card_visa",
        )
        key = os.urandom(16)
        payment_id = derive_id("bench-payment", key)
        view = await self._handle.ask(payment_id, asked, key=key)
        assert isinstance(view, PaymentView)
        paid = await self.courier.run(view)
        assert paid.status is PaymentStatus.COMPLETED, paid.status

    async def flat_out(self, callers: int, seconds: float) -> Figures:
        """As many as so many callers get done."""
        latencies_ms: list[float] = []
        end = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            while (began := time.perf_counter()) < end:
                await self.pay(number + len(latencies_ms))
                latencies_ms.append((time.perf_counter() - began) * 1e3)

        began = time.perf_counter()
        await asyncio.gather(*map(caller, range(callers)))
        return _figures(latencies_ms, time.perf_counter() - began)

    async def paced(self, per_second: float, seconds: float) -> Figures:
        """So many a second, whether or not they get done; latencies from when one was due."""
        latencies_ms: list[float] = []
        began = time.perf_counter()

        async def one(number: int, due: float) -> None:
            await self.pay(number)
            latencies_ms.append((time.perf_counter() - due) * 1e3)

        async with asyncio.TaskGroup() as group:
            for number in range(round(per_second * seconds)):
                due = began + number / per_second
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(one(number, due))
        return _figures(latencies_ms, time.perf_counter() - began)


def _figures(latencies_ms: list[float], took_s: float) -> Figures:
    ordered = sorted(latencies_ms)
    return {
        "payments/s": len(ordered) / took_s,
        "p50 ms": percentile(ordered, 50),
        "p99 ms": percentile(ordered, 99),
    }
