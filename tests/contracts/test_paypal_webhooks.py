"""PayPal's signature, against a vector that openssl and gzip made; and who may vouch for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from integrations.payment_gateway_paypal_certificates import KEPT, Certificates, CertificateWrong
from integrations.payment_gateway_paypal_webhooks import WebhookVerifier, read_event
from integrations.paypal_client import PayPalAccount, moment_ms
from messages.errors import Unavailable
from messages.payments.webhooks import WebhookMalformed, WebhookSignatureWrong
from simulators.payments.paypal_certificates import make_identity

VECTOR = json.loads((Path(__file__).parent / "vectors" / "paypal_webhook.json").read_text("utf-8"))
HEADERS: dict[str, str] = VECTOR["headers"]
BODY = VECTOR["body"].encode()
URL = HEADERS["paypal-cert-url"]
SENT_MS = moment_ms(HEADERS["paypal-transmission-time"])
NOW = datetime.fromtimestamp(SENT_MS / 1_000, UTC)
ACCOUNT = PayPalAccount("id", "secret", VECTOR["webhook_id"], webhook_roots=VECTOR["root_pem"])


class Host:
    """PayPal's host of certificates: what it serves, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[], httpx.Response] = self.served(VECTOR["chain_pem"])

    @staticmethod
    def served(pem: str, status: int = 200) -> Callable[[], httpx.Response]:
        return lambda: httpx.Response(status, text=pem)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return self.answer()

    def verifier(self, account: PayPalAccount = ACCOUNT) -> WebhookVerifier:
        made = WebhookVerifier(account)
        made._certificates = self.certificates(account)
        return made

    def certificates(self, account: PayPalAccount = ACCOUNT) -> Certificates:
        made = Certificates(account)
        made._http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return made


@pytest.fixture
def host() -> Host:
    return Host()


async def refused(host: Host, headers: dict[str, str], body: bytes = BODY, **at: int) -> None:
    with pytest.raises(WebhookSignatureWrong):
        await host.verifier().check(headers, body, at.get("now_ms", SENT_MS))


async def test_the_vector_is_good_and_its_certificate_is_fetched_once(host: Host) -> None:
    verifier = host.verifier()
    for _ in range(3):
        await verifier.check(HEADERS, BODY, SENT_MS)
    assert host.asked == [URL]
    event = read_event(BODY)
    assert (event.event_id, event.type, event.ref, event.payment_id, event.at_ms) == (
        "WH-2W42680HY1264133S-2SN99757BU843461S",
        "CHECKOUT.ORDER.APPROVED",
        "5O190127TN364715T",
        "0197a000-0000-7000-8000-000000000009",
        1_795_932_000_123,
    )


@pytest.mark.parametrize("name", sorted(HEADERS))
async def test_each_header_counts(host: Host, name: str) -> None:
    await refused(host, {k: v for k, v in HEADERS.items() if k != name})
    changed = "x" + HEADERS[name][1:] if name != "paypal-transmission-time" else "2026-11-29"
    await refused(host, {**HEADERS, name: changed})
    await refused(host, {**HEADERS, name: ""})


async def test_what_was_tampered_with(host: Host) -> None:
    await refused(host, HEADERS, BODY.replace(b"APPROVED", b"CAPTURED"))
    await refused(host, HEADERS, BODY + b"\n")
    other = replace(ACCOUNT, webhook_id="1JE4291016473214D")
    with pytest.raises(WebhookSignatureWrong):
        await host.verifier(other).check(HEADERS, BODY, SENT_MS)
    with pytest.raises(WebhookSignatureWrong):
        await host.verifier(replace(ACCOUNT, webhook_id="")).check(HEADERS, BODY, SENT_MS)


async def test_the_weaker_algorithm_is_not_taken(host: Host) -> None:
    weak = {"paypal-transmission-sig": VECTOR["sha1_signature"]}
    await refused(host, {**HEADERS, **weak})
    await refused(host, {**HEADERS, **weak, "paypal-auth-algo": "SHA1withRSA"})


async def test_too_old_or_from_the_future(host: Host) -> None:
    three_days = 3 * 86_400_000
    for behind_ms in (-299_000, 0, three_days):
        await host.verifier().check(HEADERS, BODY, SENT_MS + behind_ms)
    for behind_ms in (-301_000, three_days + 301_000):
        await refused(host, HEADERS, now_ms=SENT_MS + behind_ms)
    await refused(host, {**HEADERS, "paypal-transmission-time": "2026-11-29T06:00:01"})


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../anything",
        "https://api.paypal.com/v1/other/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?to=evil",
        "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
        "https://[/v1/notifications/certs/CERT-1",
        "",
    ],
)
async def test_certificates_come_from_paypals_host_only(host: Host, url: str) -> None:
    await refused(host, {**HEADERS, "paypal-cert-url": url})
    assert host.asked == []


async def test_a_certificate_that_nobody_vouches_for(host: Host) -> None:
    """Another root, another name, too old, too young, none at all, a redirect."""
    forged = make_identity(at=NOW)
    for pem, account in (
        (forged.chain_pem, ACCOUNT),
        (VECTOR["other_name_pem"], ACCOUNT),
        (VECTOR["chain_pem"], replace(ACCOUNT, webhook_roots="")),
        ("nonsense", ACCOUNT),
        (VECTOR["chain_pem"] + " " * 70_000, ACCOUNT),
    ):
        host.answer = Host.served(pem)
        with pytest.raises(WebhookSignatureWrong):
            await host.verifier(account).check(HEADERS, BODY, SENT_MS)
    host.answer = Host.served(VECTOR["chain_pem"], 302)
    await refused(host, HEADERS)
    host.answer = Host.served(VECTOR["chain_pem"])
    for years in (-1, 11):
        with pytest.raises(CertificateWrong):
            await host.certificates().key(URL, NOW + timedelta(days=365 * years))


async def test_a_host_that_is_away_is_no_forgery(host: Host) -> None:
    def away() -> httpx.Response:
        raise httpx.ConnectError("away")

    for answer in (Host.served("", 503), away):
        host.answer = answer
        with pytest.raises(Unavailable):
            await host.verifier().check(HEADERS, BODY, SENT_MS)
    host.answer = Host.served(VECTOR["chain_pem"])
    await host.verifier().check(HEADERS, BODY, SENT_MS)


async def test_what_is_kept_of_certificates_is_bounded_and_looked_at_again(host: Host) -> None:
    certificates = host.certificates()
    base = URL.rpartition("/")[0]
    for number in range(KEPT + 5):
        await certificates.key(f"{base}/CERT-{number}", NOW)
    assert len(certificates._known) == KEPT
    before = len(host.asked)
    await certificates.key(f"{base}/CERT-{KEPT}", NOW + timedelta(hours=11))
    assert len(host.asked) == before
    await certificates.key(f"{base}/CERT-{KEPT}", NOW + timedelta(hours=13))
    assert len(host.asked) == before + 1


def _event(kind: str, resource: dict[str, Any], resource_type: str) -> bytes:
    return json.dumps(
        {
            "id": "WH-1",
            "event_type": kind,
            "create_time": "2026-11-28T06:00:00Z",
            "resource_type": resource_type,
            "resource": resource,
        }
    ).encode()


PAYMENT = "0197a000-0000-7000-8000-000000000009"


@pytest.mark.parametrize(
    ("kind", "resource_type", "resource", "ref", "payment_id"),
    [
        (
            "PAYMENT.CAPTURE.COMPLETED",
            "capture",
            {
                "id": "C",
                "custom_id": PAYMENT,
                "supplementary_data": {"related_ids": {"order_id": "O"}},
            },
            "O",
            PAYMENT,
        ),
        (
            "CHECKOUT.PAYMENT-APPROVAL.REVERSED",
            "payment-approval",
            {"order_id": "O", "purchase_units": [{"custom_id": PAYMENT}]},
            "O",
            PAYMENT,
        ),
        (
            "PAYMENT.CAPTURE.REFUNDED",
            "refund",
            {
                "id": "R",
                "custom_id": f"{PAYMENT}/0197a000-0000-7000-8000-00000000000a",
                "links": [
                    {"rel": "self", "href": "https://api.paypal.com/v2/payments/refunds/R"},
                    {"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/C"},
                ],
            },
            "part:C",
            PAYMENT,
        ),
        (
            "CUSTOMER.DISPUTE.CREATED",
            "dispute",
            {
                "dispute_id": "PP-D-1",
                "disputed_transactions": [{"seller_transaction_id": "C", "custom": PAYMENT}],
            },
            "part:C",
            PAYMENT,
        ),
        (
            "PAYMENT.PAYOUTS-ITEM.SUCCEEDED",
            "payouts_item",
            {"payout_item_id": "P", "payout_batch_id": "B"},
            "B",
            "",
        ),
        ("BILLING.PLAN.CREATED", "plan", {}, "", ""),
    ],
)
def test_where_an_event_says_to_look(
    kind: str, resource_type: str, resource: dict[str, Any], ref: str, payment_id: str
) -> None:
    event = read_event(_event(kind, resource, resource_type))
    assert (event.type, event.ref, event.payment_id) == (kind, ref, payment_id)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b'{"id":1,"resource":{}}', b"\xff"])
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises(WebhookMalformed):
        read_event(body)
