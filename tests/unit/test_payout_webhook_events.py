"""Webhooks of payouts and of connected accounts: where they say to look."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from integrations.payment_gateway_paypal_webhooks import read_event
from integrations.payment_gateway_stripe import StripeGateway
from integrations.stripe_client import StripeSettings
from messages.payments.webhooks import About, WebhookSignatureWrong

PAYOUT_ID = "0197a000-0000-7000-8000-000000000009"
NOW_MS = 1_790_000_000_000


def signed(body: bytes, secret: str) -> dict[str, str]:
    at = NOW_MS // 1_000
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={at},v1={digest}"}


@pytest.fixture
def at_signing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW_MS / 1_000)


@pytest.mark.usefixtures("at_signing")
async def test_stripes_events_of_transfers_and_accounts() -> None:
    gateway = StripeGateway(StripeSettings("sk", "own", connect_secret="connected"))
    transfer = {"id": "tr_1", "object": "transfer", "metadata": {"payout_id": PAYOUT_ID}}
    for thing, about, ref, our_id in (
        (transfer, About.PAYOUT, "tr_1", PAYOUT_ID),
        ({"id": "acct_1", "object": "account", "metadata": {}}, About.ACCOUNT, "acct_1", ""),
        ({"id": "pi_1", "object": "payment_intent"}, About.CHARGE, "pi_1", ""),
    ):
        event = {"id": "evt_1", "type": "x", "created": 1, "data": {"object": thing}}
        body = json.dumps(event).encode()
        for secret in ("own", "connected"):
            found = await gateway.read_webhook(signed(body, secret), body, NOW_MS)
            assert (found.about, found.ref, found.payment_id) == (about, ref, our_id)
        with pytest.raises(WebhookSignatureWrong):
            await gateway.read_webhook(signed(body, "another"), body, NOW_MS)
    await gateway.close()


def test_paypals_events_of_payouts() -> None:
    event = {
        "id": "WH-1",
        "event_type": "PAYMENT.PAYOUTS-ITEM.RETURNED",
        "create_time": "2026-09-21T10:00:00Z",
        "resource_type": "payouts_item",
        "resource": {
            "payout_item_id": "ITEM1",
            "payout_batch_id": "BATCH1",
            "payout_item": {"sender_item_id": PAYOUT_ID, "receiver": "ana@example.org"},
        },
    }
    found = read_event(json.dumps(event).encode())
    assert (found.about, found.ref, found.payment_id) == (About.PAYOUT, "BATCH1", PAYOUT_ID)
