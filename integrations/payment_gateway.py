"""The port to providers of payments. One implementation a provider (`payment_gateway_<name>.py`).

Every method is asked again with the same key until its outcome is known, so a provider that keeps
keys does a thing once. Each raises:

    CallDeclined        understood and refused: nothing happened, nor will by itself
    CallNotSent         certainly nothing happened: not reached, or refused before it was looked at
    CallOutcomeUnknown  anything else: a timeout, a broken connection, an error of the provider's
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from messages.payments.gateways import GatewayName, Method, Snapshot
from messages.payments.payments import Capture
from messages.payments.webhooks import WebhookEvent


class Order(msgspec.Struct, frozen=True):
    """A payment to be taken.

    source: what the provider's script gave the page for a card, if anything.
    return_url: where the payer comes back to.
    """

    payment_id: str
    amount_minor: int
    currency: str
    method: Method
    capture: Capture
    description: str
    source: str = ""
    return_url: str = ""


class Return(msgspec.Struct, frozen=True):
    """A refund to be given of the charge `ref`."""

    ref: str
    refund_id: str
    amount_minor: int
    currency: str
    reason: str = ""


class PaymentGateway(Protocol):
    """A provider. Amounts are minor units of the ledger; adapters speak the provider's form."""

    @property
    def name(self) -> GatewayName:
        """Which."""

    @property
    def healthy(self) -> bool:
        """Whether it answered lately; if not, another is asked first."""

    async def create(self, order: Order, key: str) -> Snapshot:
        """Begin to take a payment."""

    async def authorize(self, ref: str, key: str) -> Snapshot:
        """Hold what the payer of an approved charge agreed to. Only providers that say `approved`
        are ever asked.
        """

    async def capture(self, ref: str, amount_minor: int, currency: str, key: str) -> Snapshot:
        """Take what was authorised or approved, or a part; the rest is let go."""

    async def cancel(self, ref: str, key: str) -> Snapshot:
        """Let go what was authorised. Declined if it was taken."""

    async def refund(self, refund: Return, key: str) -> Snapshot:
        """Give back a part or all."""

    async def fetch(self, ref: str) -> Snapshot:
        """The charge as it is."""

    async def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> WebhookEvent:
        """What a webhook says, if it is the provider's. `headers` by their lower-case names.

        Raises WebhookSignatureWrong or WebhookMalformed.
        """

    async def close(self) -> None:
        """Let go of connections."""
