"""PayPal's webhooks: their signature, and where they say to look.

The signature is RSA PKCS#1 v1.5 with SHA-256 over `id|time|webhook id|crc32 of the raw body`, made
with a key whose certificate is at `paypal-cert-url` (PayPal: "Integrate webhooks", self
verification). Whoever sends names that address, so it must be on PayPal's own host, and the
certificate must descend from a root that we trust and be issued to PayPal's name for it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from integrations.payment_gateway_paypal_certificates import Certificates, CertificateWrong
from integrations.paypal_client import Json, PayPalAccount, moment_ms
from messages.keys import is_id
from messages.payments.webhooks import (
    PART,
    About,
    WebhookEvent,
    WebhookMalformed,
    WebhookSignatureWrong,
)

ALGORITHM = "sha256withrsa"
PAYOUT_ITEM = "payouts_item"
AHEAD_MS = 300_000
# PayPal tries for three days. The inbox knows each event by its id, so an old one does no harm.
BEHIND_MS = 3 * 86_400_000 + AHEAD_MS


class WebhookVerifier:
    """Tells PayPal's webhooks from others."""

    def __init__(self, account: PayPalAccount) -> None:
        self._webhook_id = account.webhook_id
        self._certificates = Certificates(account)

    async def check(self, headers: Mapping[str, str], body: bytes, now_ms: int) -> None:
        """Raises WebhookSignatureWrong, or Unavailable if the certificate cannot be had now."""
        try:
            sent_id = headers["paypal-transmission-id"]
            sent_at = headers["paypal-transmission-time"]
            signature = base64.b64decode(headers["paypal-transmission-sig"], validate=True)
            known = headers["paypal-auth-algo"].lower() == ALGORITHM
            behind_ms = now_ms - moment_ms(sent_at)
            if not known or not -AHEAD_MS <= behind_ms <= BEHIND_MS or not self._webhook_id:
                raise WebhookSignatureWrong
            now = datetime.fromtimestamp(now_ms / 1_000, UTC)
            key = await self._certificates.key(headers["paypal-cert-url"], now)
            signed = f"{sent_id}|{sent_at}|{self._webhook_id}|{zlib.crc32(body)}"
            key.verify(signature, signed.encode(), PKCS1v15(), SHA256())
        except (KeyError, ValueError, OverflowError, CertificateWrong, InvalidSignature):
            raise WebhookSignatureWrong from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._certificates.close()


def read_event(body: bytes) -> WebhookEvent:
    """What a webhook is about. Types that we do not know are kept. Raises WebhookMalformed."""
    try:
        event = json.loads(body)
        resource = event["resource"]
        kind = str(event.get("resource_type", ""))
        is_payout = kind == PAYOUT_ITEM
        ref = str(resource["payout_batch_id"]) if is_payout else _ref(kind, resource)
        ids = [one.partition("/")[0] for one in _our_ids(resource)]
        return WebhookEvent(
            event_id=str(event["id"]),
            type=str(event["event_type"]),
            at_ms=moment_ms(event["create_time"]),
            ref=ref,
            payment_id=next((one for one in ids if is_id(one)), ""),
            about=About.PAYOUT if is_payout else About.CHARGE,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise WebhookMalformed from None


def _ref(kind: str, resource: Json) -> str:
    """The order; or a capture of it, which is all that refunds and disputes name."""
    related = (resource.get("supplementary_data") or {}).get("related_ids") or {}
    if kind == "checkout-order":
        return str(resource["id"])
    if order_id := related.get("order_id") or resource.get("order_id"):
        return str(order_id)
    disputed = resource.get("disputed_transactions") or []
    part = disputed[0].get("seller_transaction_id") if disputed else _above(resource)
    return f"{PART}{part}" if part else ""


def _above(resource: Json) -> str:
    """The capture that a refund is of, by its link."""
    for link in resource.get("links") or []:
        address, _, capture_id = str(link.get("href", "")).rpartition("/")
        if link.get("rel") == "up" and address.endswith("/v2/payments/captures"):
            return capture_id
    return ""


def _our_ids(resource: Json) -> Iterator[str]:
    """Wherever PayPal repeats what we named a payment."""
    units = resource.get("purchase_units") or []
    disputed = resource.get("disputed_transactions") or []
    item = resource.get("payout_item") or {}
    for one in (resource, item, *units, *disputed):
        for name in ("sender_item_id", "custom_id", "custom", "invoice_id", "invoice_number"):
            if one.get(name):
                yield str(one[name])
