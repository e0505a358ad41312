"""Each provider's adapter with a server that speaks the provider's protocol, over HTTP."""

from __future__ import annotations

import asyncio
import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from msgspec.structs import replace
from starlette.applications import Starlette

from integrations.payment_gateway import Order, PaymentGateway
from integrations.payment_gateway_paypal import PayPalGateway
from integrations.payment_gateway_stripe import StripeGateway
from integrations.paypal_client import PayPalAccount, PayPalClient
from integrations.stripe_client import StripeSettings
from messages.payments.gateways import Method, ProviderStatus, Snapshot
from messages.payments.payments import Capture
from simulators.payments import paypal, stripe
from simulators.payments.paypal_certificates import Identity, make_identity

TIMEOUT_S = 2.0
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
MANUAL = replace(ORDER, capture=Capture.MANUAL)


class Rig(ABC):
    """A stand-in on a port of its own, the adapter, and what payers do.

    behind_ms, ahead_ms: how old, and how far in the future, a webhook may be.
    """

    behind_ms = 300_000
    ahead_ms = 300_000
    simulator: Any
    gateway: PaymentGateway

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    @abstractmethod
    def adapter(self, url: str, *, secret: str = "") -> PaymentGateway:
        """Another adapter to `url`, with a wrong secret if one is given."""

    @abstractmethod
    def charges(self) -> int:
        """How many charges the provider knows."""

    @abstractmethod
    async def approve(self, seen: Snapshot) -> None:
        """The payer does what is left to do."""

    @abstractmethod
    def sign(self, body: bytes, wrong: bool = False) -> Mapping[str, str]:
        """The headers of a webhook."""

    def app(self) -> Starlette:
        found: Starlette = self.simulator.app()
        return found

    async def pay(self, order: Order = ORDER) -> Snapshot:
        """All of a payment, as far as it is to go: taken, or held if it is taken by hand."""
        seen = await self.gateway.create(order, key())
        if seen.status is ProviderStatus.REQUIRES_ACTION:
            await self.approve(seen)
            seen = await self.gateway.fetch(seen.ref)
        if seen.status is ProviderStatus.APPROVED and order.capture is Capture.MANUAL:
            seen = await self.gateway.authorize(seen.ref, key())
        if seen.status is ProviderStatus.APPROVED:
            amount = order.amount_minor
            seen = await self.gateway.capture(seen.ref, amount, order.currency, key())
        return seen

    async def post(self, path: str, **form: str) -> httpx.Response:
        """Something that happens at the provider."""
        async with httpx.AsyncClient(base_url=self.url) as client:
            return await client.post(path, data=form)

    def faults(self, *plan: dict[str, object]) -> None:
        self.simulator.faults.set(list(plan))

    def listen(self) -> list[bytes]:
        """The webhooks from now on, instead of sending them."""
        sent: list[bytes] = []
        self.simulator.sender.put = sent.append
        return sent


class StripeRig(Rig):
    """Stripe."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.simulator = stripe.StripeSimulator()
        self.gateway = self.adapter(self.url)

    def adapter(self, url: str, *, secret: str = "") -> PaymentGateway:
        key = secret or stripe.SECRET_KEY
        return StripeGateway(StripeSettings(key, stripe.WEBHOOK_SECRET, url, TIMEOUT_S))

    def charges(self) -> int:
        return len(self.simulator.intents)

    async def approve(self, seen: Snapshot) -> None:
        await self.post(f"/3ds/{seen.ref}", outcome="succeed")

    def sign(self, body: bytes, wrong: bool = False) -> Mapping[str, str]:
        signed: Mapping[str, str] = self.simulator._sign(body, wrong)
        return signed


class PayPalRig(Rig):
    """PayPal."""

    behind_ms = 3 * 86_400_000 + 300_000

    def __init__(self, port: int, identity: Identity) -> None:
        super().__init__(port)
        self.identity = identity
        self.simulator = paypal.PayPalSimulator(url=self.url, identity=identity)
        self.gateway = self.adapter(self.url)

    def account(self, url: str, *, secret: str = "") -> PayPalAccount:
        return PayPalAccount(
            client_id=paypal.CLIENT_ID,
            client_secret=secret or paypal.CLIENT_SECRET,
            webhook_id=paypal.WEBHOOK_ID,
            url=url,
            webhook_roots=self.identity.root_pem,
            timeout_s=TIMEOUT_S,
        )

    def adapter(self, url: str, *, secret: str = "") -> PaymentGateway:
        return PayPalGateway(PayPalClient(self.account(url, secret=secret)))

    def charges(self) -> int:
        return len(self.simulator.orders.orders)

    async def approve(self, seen: Snapshot, funding: str = "") -> None:
        await self.post(f"/checkoutnow?token={seen.ref}", outcome="approve", funding=funding)

    def sign(self, body: bytes, wrong: bool = False) -> Mapping[str, str]:
        signed: Mapping[str, str] = self.simulator.sign(body, wrong)
        return signed


@asynccontextmanager
async def open_rig(name: str) -> AsyncIterator[Any]:
    """A provider, served."""
    port = free_port()
    rig: Rig = StripeRig(port) if name == "stripe" else PayPalRig(port, _identity())
    config = uvicorn.Config(rig.app(), "127.0.0.1", port, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    yield rig
    await rig.gateway.close()
    server.should_exit = True
    await serving


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def key() -> str:
    return str(uuid.uuid4())


_identities: list[Identity] = []


def _identity() -> Identity:
    """Made once: keys take a while."""
    if not _identities:
        _identities.append(make_identity())
    return _identities[0]
