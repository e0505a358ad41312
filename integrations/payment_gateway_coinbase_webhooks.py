"""Webhooks of Coinbase's developer platform, which Hook0 delivers.

`X-Hook0-Signature: t=<seconds>,h=<names of headers>,v1=<hex>`, where v1 is HMAC-SHA256 under the
subscription's secret of `t.h.<values of those headers, joined by dots>.<body>`, at most five
minutes old (CDP: "Verify signatures"). A `v0` beside it covers no headers and is not looked at.
The body is the checkout itself with its `eventType`; an id of the event is in the signed header
`x-event-id`, else the body is its own id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping

import msgspec

from integrations.coinbase_client import Json, moment_ms
from integrations.payment_gateway_coinbase_snapshots import payment_id
from messages.payments.webhooks import WebhookEvent, WebhookMalformed, WebhookSignatureWrong

HEADER = "x-hook0-signature"
EVENT_ID = "x-event-id"
TOLERANCE_MS = 300_000
MAX_HEADER = 2_048
MAX_NAMES = 32
MAX_ID = 128
_SECONDS = re.compile(r"[0-9]{1,12}")
# No dots, so that what is signed can be taken apart in one way only.
_NAMES = re.compile(r"[a-z0-9_-]+( [a-z0-9_-]+)*")
_HEX = re.compile(r"[0-9a-f]{64}")


def read(headers: Mapping[str, str], body: bytes, now_ms: int, secret: str) -> WebhookEvent:
    """What a webhook says. `headers` by their lower-case names.

    Raises WebhookSignatureWrong, WebhookMalformed.
    """
    signed = _verify(headers, body, now_ms, secret)
    try:
        thing = msgspec.json.decode(body, type=Json)
        kind = str(thing.get("eventType") or "")
        is_checkout = kind.startswith("checkout.")
        return WebhookEvent(
            event_id=_event_id(headers, signed, body),
            type=kind or "unknown",
            at_ms=moment_ms(thing["updatedAt"]) if thing.get("updatedAt") else now_ms,
            ref=str(thing["id"]) if is_checkout else "",
            payment_id=payment_id(thing) if is_checkout else "",
        )
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError):
        raise WebhookMalformed from None


def _verify(headers: Mapping[str, str], body: bytes, now_ms: int, secret: str) -> tuple[str, ...]:
    """The names of the headers that are signed. Raises WebhookSignatureWrong."""
    fields = _fields(headers.get(HEADER, ""))
    at, names, given = fields.get("t", ""), fields.get("h", ""), fields.get("v1", "")
    listed = tuple(names.split(" "))
    whole = _SECONDS.fullmatch(at) and _NAMES.fullmatch(names) and _HEX.fullmatch(given)
    if not secret or not whole or len(set(listed)) < len(listed) or len(listed) > MAX_NAMES:
        raise WebhookSignatureWrong
    if any(name not in headers for name in listed):
        raise WebhookSignatureWrong
    values = ".".join(headers[name] for name in listed)
    # Headers are bytes on the wire; our server reads them as Latin-1.
    signed = f"{at}.{names}.{values}.".encode("latin-1", "replace") + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, given):
        raise WebhookSignatureWrong
    if abs(now_ms - int(at) * 1_000) > TOLERANCE_MS:
        raise WebhookSignatureWrong
    return listed


def _fields(header: str) -> dict[str, str]:
    """`t=1,h=a b,v1=c` by names. Nothing of a header in which a name comes twice."""
    parts = [part.strip().partition("=") for part in header[:MAX_HEADER].split(",")]
    found = {name: value for name, _, value in parts}
    return found if len(found) == len(parts) else {}


def _event_id(headers: Mapping[str, str], signed: tuple[str, ...], body: bytes) -> str:
    """The event's id if it is signed; else what is the same for the same event only."""
    named = headers[EVENT_ID] if EVENT_ID in signed else ""
    return named[:MAX_ID] or f"body-{hashlib.sha256(body).hexdigest()}"
