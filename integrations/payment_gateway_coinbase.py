"""Coinbase Business Checkouts behind the port: USDC on Base, paid on Coinbase's page.

Nothing is authorised first: whoever pays has paid, so there is nothing to capture, and a payment
that comes too late (the checkout expired, or we deactivated it) is taken all the same and refunded
by the payment's owner. Refunds go on chain and cannot be called back: one is asked for only after
a look that shows that it was not asked for before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from integrations import payment_gateway_coinbase_commerce as commerce
from integrations import payment_gateway_coinbase_webhooks as webhooks
from integrations.coinbase_client import (
    CHECKOUTS,
    CURRENCY,
    CoinbaseAccount,
    CoinbaseClient,
    Json,
    OpenHttp,
)
from integrations.payment_gateway import Order, Return
from integrations.payment_gateway_coinbase_snapshots import (
    PAYMENT_ID,
    reason_of,
    snapshot,
)
from messages.money import decimal_of
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    CallOutcomeUnknown,
    GatewayName,
    Snapshot,
)
from messages.payments.payments import Capture
from messages.payments.webhooks import WebhookEvent

NETWORK = "base"
DIGITS = 2  # of amounts in requests, although USDC has six
MAX_DESCRIPTION = 500
MAX_URL = 2_048
_REF = re.compile(r"[0-9a-f]{24}")


class CoinbaseGateway:
    """The port to Coinbase. ValueError if the account's secret is no key."""

    name = GatewayName.COINBASE
    healthy = True

    def __init__(self, account: CoinbaseAccount, open_http: OpenHttp = httpx.AsyncClient) -> None:
        self._account = account
        self._client = CoinbaseClient(account, open_http)

    async def create(self, order: Order, key: str) -> Snapshot:
        """Make a checkout, which its payer goes to."""
        if order.capture is Capture.MANUAL or order.currency != CURRENCY:
            raise CallDeclined(reason="not-offered")
        body: Json = {
            "amount": _amount(order.amount_minor),
            "currency": CURRENCY,
            "network": NETWORK,
            "description": order.description[:MAX_DESCRIPTION],
            "metadata": {PAYMENT_ID: order.payment_id},
        }
        if order.return_url.startswith("https://") and len(order.return_url) <= MAX_URL:
            body |= {"successRedirectUrl": order.return_url, "failRedirectUrl": order.return_url}
        return _snapshot(await self._client.post(CHECKOUTS, body, key))

    async def authorize(self, ref: str, key: str) -> Snapshot:
        """Look: nothing is ever held here."""
        return await self.fetch(ref)

    async def capture(self, ref: str, amount_minor: int, currency: str, key: str) -> Snapshot:
        """Declined: whoever pays has paid."""
        raise CallDeclined(reason="not-offered")

    async def cancel(self, ref: str, key: str) -> Snapshot:
        """Deactivate the checkout."""
        return _snapshot(await self._client.post(f"{_path(ref)}/deactivate", {}, key))

    async def refund(self, refund: Return, key: str) -> Snapshot:
        """Give back, unless that is done or under way."""
        path, amount = _path(refund.ref), _amount(refund.amount_minor)
        seen = _snapshot(await self._client.get(path))
        if any(one.refund_id == refund.refund_id for one in seen.refunds):
            return seen
        body: Json = {
            "amount": amount,
            "currency": CURRENCY,
            "reason": reason_of(refund.refund_id, refund.reason),
        }
        answer = await self._client.post(f"{path}/refund", body, key)
        try:
            return _snapshot(answer["checkout"], answer["refund"])
        except KeyError:
            return await self._look_after(refund.ref)

    async def fetch(self, ref: str) -> Snapshot:
        """The checkout as it is."""
        return _snapshot(await self._client.get(_path(ref)))

    async def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> WebhookEvent:
        """By the signature that came: that of today's interface, or Commerce's of old."""
        if webhooks.HEADER in headers or commerce.HEADER not in headers:
            return webhooks.read(headers, body, now_ms, self._account.webhook_secret)
        return commerce.read(headers, body, self._account.commerce_webhook_secret)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _look_after(self, ref: str) -> Snapshot:
        """Look at what was certainly done. Not reaching Coinbase now does not undo it."""
        try:
            return await self.fetch(ref)
        except CallNotSent as error:
            raise CallOutcomeUnknown(reason=str(error.params.get("reason", ""))) from None


def _amount(amount_minor: int) -> str:
    try:
        return decimal_of(amount_minor, CURRENCY, DIGITS)
    except ValueError:
        raise CallDeclined(reason="amount-too-fine") from None


def _path(ref: str) -> str:
    """Where a checkout is. Charges of Commerce are nowhere any more."""
    if not _REF.fullmatch(ref):
        raise CallDeclined(reason="no-checkout")
    return f"{CHECKOUTS}/{ref}"


def _snapshot(checkout: Json, refund: Json | None = None) -> Snapshot:
    try:
        return snapshot(checkout, refund)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CallOutcomeUnknown(reason="answer-malformed") from None
