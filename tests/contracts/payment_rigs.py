"""Each provider's adapter with a server that speaks the provider's protocol, over HTTP."""

from __future__ import annotations

import asyncio
import base64
import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from msgspec.structs import replace
from starlette.applications import Starlette

from integrations.coinbase_client import CoinbaseAccount
from integrations.payment_gateway import Order, PaymentGateway
from integrations.payment_gateway_coinbase import CoinbaseGateway
from integrations.payment_gateway_paypal import PayPalGateway
from integrations.payment_gateway_stripe import StripeGateway
from integrations.paypal_client import PayPalAccount, PayPalClient
from integrations.stripe_client import StripeSettings
from messages.payments.gateways import Method, ProviderStatus, Snapshot
from messages.payments.payments import Capture
from simulators.payments import coinbase, paypal, stripe
from simulators.payments.paypal_certificates import Identity, make_identity

TIMEOUT_S = 2.0
COMMERCE_SECRET = "shared-of-old"
MakeKey = Callable[[], tuple[str, str]]
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

    behind_ms, ahead_ms: how old, and how far in the future, a webhook may be.  cent: a hundredth
    of the order's currency, in minor units.
    """

    behind_ms = 300_000
    ahead_ms = 300_000
    order = ORDER
    cent = 1
    nonsense: tuple[bytes, ...] = (
        b"[]",
        b"{}",
        b"nonsense",
        b'{"id":1,"data":{"object":null},"resource":7}',
    )
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

    async def pay(self, order: Order | None = None) -> Snapshot:
        """All of a payment, as far as it is to go: taken, or held if it is taken by hand."""
        order = order or self.order
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

    async def returns(self, ref: str) -> None:
        """What is on its way back arrives; with most it did at once."""
        await self.gateway.fetch(ref)

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


class CoinbaseRig(Rig):
    """Coinbase. `secret`, `public`: of its API key, as Coinbase gives them out."""

    order = replace(
        ORDER,
        amount_minor=100_000_000,
        currency="USDC",
        method=Method.CRYPTO,
        source="",
        return_url="https://vibestream.example/back",
    )
    cent = 10_000
    nonsense = ()  # whatever is an object may be an event

    def __init__(self, port: int, secret: str, public: str) -> None:
        super().__init__(port)
        self.secret = secret
        self.simulator = coinbase.CoinbaseSimulator(public, url=self.url, refund_s=None)
        self.gateway = self.adapter(self.url)

    def account(self, url: str, *, secret: str = "") -> CoinbaseAccount:
        return CoinbaseAccount(
            key_id=coinbase.KEY_ID,
            key_secret=secret or self.secret,
            webhook_secret=coinbase.WEBHOOK_SECRET,
            commerce_webhook_secret=COMMERCE_SECRET,
            url=url,
            timeout_s=TIMEOUT_S,
        )

    def adapter(self, url: str, *, secret: str = "") -> PaymentGateway:
        stranger = ed25519()[0] if secret else ""
        return CoinbaseGateway(self.account(url, secret=stranger))

    @property
    def checkouts(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.simulator.account.checkouts
        return found

    def charges(self) -> int:
        return len(self.checkouts)

    async def approve(self, seen: Snapshot) -> None:
        await self.page(seen.ref, "pay")

    async def page(self, ref: str, outcome: str, **more: str) -> httpx.Response:
        return await self.post(f"/payment-links/pl_{ref}", outcome=outcome, **more)

    async def returns(self, ref: str) -> None:
        await self.post(f"/_simulator/{ref}/end-refunds")

    def sign(self, body: bytes, wrong: bool = False) -> Mapping[str, str]:
        signed: Mapping[str, str] = self.simulator._sign(body, wrong)
        return signed


def ed25519() -> tuple[str, str]:
    """An API key's secret as Coinbase gives it out, and the public key in PEM."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    raw = private.private_bytes_raw() + public.public_bytes_raw()
    return base64.b64encode(raw).decode(), pem(public)


def p256() -> tuple[str, str]:
    """As above, of the other kind, on one line as variables of an environment have it."""
    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return secret.decode().replace("\n", "\\n"), pem(private.public_key())


def pem(public: Any) -> str:
    encoded: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


@asynccontextmanager
async def open_rig(name: str, make_key: MakeKey = ed25519) -> AsyncIterator[Any]:
    """A provider, served."""
    rig = _rig(name, free_port(), make_key)
    port = int(rig.url.rpartition(":")[2])
    config = uvicorn.Config(rig.app(), "127.0.0.1", port, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event to await
        await asyncio.sleep(0.01)
    yield rig
    await rig.gateway.close()
    server.should_exit = True
    await serving


def _rig(name: str, port: int, make_key: MakeKey) -> Rig:
    match name:
        case "stripe":
            return StripeRig(port)
        case "paypal":
            return PayPalRig(port, _identity())
    return CoinbaseRig(port, *make_key())


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
