"""A circuit breaker around a provider: who does not answer is not asked to begin payments.

While it is open, new payments are refused at once as certainly not sent, so that another provider
can be asked; everything else still goes through, because what was begun has to be ended here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from integrations.breaker import CircuitBreaker
from integrations.payment_gateway import Order, PaymentGateway, Return
from messages.errors import Unavailable
from messages.payments.gateways import CallNotSent, CallOutcomeUnknown, GatewayName, Snapshot
from messages.payments.webhooks import WebhookEvent

FAILURES = 5
PAUSE_MS = 30_000


class Breaker:
    """A provider that is left alone while it fails."""

    def __init__(
        self,
        gateway: PaymentGateway,
        clock_ms: Callable[[], int],
        *,
        failures: int = FAILURES,
        pause_ms: int = PAUSE_MS,
    ) -> None:
        self._gateway = gateway
        self._circuit = CircuitBreaker(failures, pause_ms / 1_000, lambda: clock_ms() / 1_000)

    @property
    def name(self) -> GatewayName:
        """Which."""
        return self._gateway.name

    @property
    def healthy(self) -> bool:
        """Whether it answered lately, or was left alone long enough to be tried again."""
        return self._circuit.lets_through

    async def create(self, order: Order, key: str) -> Snapshot:
        """As the provider, or CallNotSent while the circuit is open."""
        try:
            self._circuit.check()
        except Unavailable:
            raise CallNotSent(reason="circuit-open") from None
        return await self._watch(self._gateway.create(order, key))

    async def authorize(self, ref: str, key: str) -> Snapshot:
        """As the provider."""
        return await self._watch(self._gateway.authorize(ref, key))

    async def capture(self, ref: str, amount_minor: int, currency: str, key: str) -> Snapshot:
        """As the provider."""
        return await self._watch(self._gateway.capture(ref, amount_minor, currency, key))

    async def cancel(self, ref: str, key: str) -> Snapshot:
        """As the provider."""
        return await self._watch(self._gateway.cancel(ref, key))

    async def refund(self, refund: Return, key: str) -> Snapshot:
        """As the provider."""
        return await self._watch(self._gateway.refund(refund, key))

    async def fetch(self, ref: str) -> Snapshot:
        """As the provider."""
        return await self._watch(self._gateway.fetch(ref))

    async def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> WebhookEvent:
        """As the provider."""
        return await self._gateway.read_webhook(headers, body, now_ms)

    async def close(self) -> None:
        """Let go of connections."""
        await self._gateway.close()

    async def _watch(self, call: Awaitable[Snapshot]) -> Snapshot:
        try:
            found = await call
        except (CallNotSent, CallOutcomeUnknown):
            self._circuit.failed()
            raise
        except Exception:
            self._circuit.succeeded()  # a refusal is an answer
            raise
        self._circuit.succeeded()
        return found
