"""Webhooks of Coinbase Commerce, which was retired on 31 March 2026.

`X-CC-Webhook-Signature` is hex HMAC-SHA256 of the body under the account's shared secret. It names
no moment, so an old one cannot be told from a new one: the inbox keeps each event once, and what
it says carries the charge's own moment, which never overwrites a later one.

A charge cannot be asked for any more, so the signed event is the last word on it: what its timeline
and its confirmed payments in USDC say. Payments in other coins say nothing that our books could
hold; such an event is kept, and left to a person.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

import msgspec

from integrations.coinbase_client import CURRENCY, Json, moment_ms
from integrations.payment_gateway_coinbase_snapshots import payment_id, usdc
from messages.payments.gateways import ProviderStatus, Snapshot
from messages.payments.webhooks import WebhookEvent, WebhookMalformed, WebhookSignatureWrong

HEADER = "x-cc-webhook-signature"
STATUS = {
    "NEW": ProviderStatus.REQUIRES_ACTION,
    "SIGNED": ProviderStatus.REQUIRES_ACTION,
    "PENDING": ProviderStatus.PROCESSING,
    "UNRESOLVED": ProviderStatus.PROCESSING,  # paid too little, too much, or too late
    "COMPLETED": ProviderStatus.CAPTURED,
    "RESOLVED": ProviderStatus.CAPTURED,
    "EXPIRED": ProviderStatus.EXPIRED,
    "FAILED": ProviderStatus.FAILED,
    "CANCELED": ProviderStatus.CANCELLED,
}
_HEX = re.compile(r"[0-9a-f]{64}")


def read(headers: Mapping[str, str], body: bytes, secret: str) -> WebhookEvent:
    """What a webhook says. Raises WebhookSignatureWrong, WebhookMalformed."""
    given = headers.get(HEADER, "")
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not secret or not _HEX.fullmatch(given) or not hmac.compare_digest(expected, given):
        raise WebhookSignatureWrong
    try:
        event = msgspec.json.decode(body, type=Json)["event"]
        kind, charge = str(event["type"]), event["data"]
        is_charge = kind.startswith("charge:")
        return WebhookEvent(
            event_id=f"commerce-{event['id']}",
            type=kind,
            at_ms=moment_ms(event["created_at"]),
            ref=str(charge["id"]) if is_charge else "",
            payment_id=payment_id(charge) if is_charge else "",
            snapshot=_snapshot(charge) if is_charge else None,
        )
    except (msgspec.MsgspecError, ValueError, LookupError, TypeError, AttributeError):
        raise WebhookMalformed from None


def _snapshot(charge: Json) -> Snapshot | None:
    """What a charge says of itself; None if that is not enough to go by."""
    # Of one moment, the one that is told last.
    latest = max(reversed(charge["timeline"]), key=lambda one: moment_ms(one["time"]))
    status = STATUS.get(str(latest["status"]).upper())
    confirmed = [
        one["value"]["crypto"]
        for one in charge.get("payments") or []
        if str(one["status"]).upper() == "CONFIRMED"
    ]
    if status is None or any(one["currency"] != CURRENCY for one in confirmed):
        return None
    taken = sum(usdc(one, "amount") for one in confirmed)
    if status is ProviderStatus.CAPTURED and not taken:
        return None
    return Snapshot(str(charge["id"]), status, moment_ms(latest["time"]), taken)
