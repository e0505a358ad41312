"""The port to providers that pay out. One implementation a provider (`payout_gateway_<name>.py`).

Every method is asked again with the same key until its outcome is known, so a provider does a thing
once. Each raises CallDeclined, CallNotSent or CallOutcomeUnknown as `payment_gateway.py` says.
"""

from __future__ import annotations

from typing import Protocol

from messages.payments.payout_orders import PayoutOrder, PayoutProvider, PayoutSnapshot


class PayoutGateway(Protocol):
    """A provider. Amounts are minor units of the ledger."""

    @property
    def name(self) -> PayoutProvider:
        """Which."""

    async def pay(self, order: PayoutOrder, key: str) -> PayoutSnapshot:
        """Send money."""

    async def find(self, order: PayoutOrder, ref: str) -> PayoutSnapshot:
        """The payout as it is. Without a `ref` it is found by our own id.

        Raises CallDeclined if the provider certainly has none such.
        """

    async def close(self) -> None:
        """Let go of connections."""
