"""Coinbase's adapter against a server that speaks Coinbase's protocol, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from domain.payments.snapshots import join
from integrations.coinbase_client import CoinbaseAccount, idempotency_key
from integrations.coinbase_keys import BearerSigner, read_secret
from integrations.payment_gateway import Return
from integrations.payment_gateway_coinbase import CoinbaseGateway
from integrations.provider_records_coinbase import CoinbaseRecords
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    CallOutcomeUnknown,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)
from messages.payments.payments import Capture
from messages.payments.records import EntryKind
from messages.payments.webhooks import WebhookEvent, WebhookMalformed, WebhookSignatureWrong
from simulators.payments.coinbase import KEY_ID, WEBHOOK_SECRET
from tests.contracts.payment_rigs import (
    COMMERCE_SECRET,
    CoinbaseRig,
    ed25519,
    free_port,
    key,
    open_rig,
    p256,
)

REFUND_ID = "0197a000-0000-8000-8000-00000000000a"
ORDER = msgspec.structs.replace(CoinbaseRig.order, amount_minor=12_340_000)


@pytest.fixture
async def coinbase(request: pytest.FixtureRequest) -> AsyncIterator[CoinbaseRig]:
    async with open_rig("coinbase", getattr(request, "param", ed25519)) as opened:
        yield opened


async def pay_for(coinbase: CoinbaseRig, outcome: str = "pay", **more: str) -> Snapshot:
    made = await coinbase.gateway.create(ORDER, key())
    await coinbase.page(made.ref, outcome, **more)
    return await coinbase.gateway.fetch(made.ref)


# --- payments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("coinbase", [ed25519, p256], indirect=True)
async def test_a_checkout_is_made_and_paid_on_its_page(coinbase: CoinbaseRig) -> None:
    made = await coinbase.gateway.create(ORDER, key())
    (checkout,) = coinbase.checkouts.values()
    assert made.status is ProviderStatus.REQUIRES_ACTION
    assert made.action is not None
    assert made.action.url == checkout["url"]
    assert (checkout["amount"], checkout["currency"], checkout["network"]) == (
        "12.34", "USDC", "base",
    )  # fmt: skip
    assert checkout["metadata"] == {"payment_id": ORDER.payment_id}
    page = await coinbase.page(made.ref, "pay")
    assert (page.status_code, page.headers["location"]) == (303, ORDER.return_url)
    paid = await coinbase.gateway.fetch(made.ref)
    assert (paid.status, paid.captured_minor) == (ProviderStatus.CAPTURED, 12_340_000)


async def test_the_same_key_makes_one_checkout(coinbase: CoinbaseRig) -> None:
    same = key()
    first = await coinbase.gateway.create(ORDER, same)
    await coinbase.page(first.ref, "pay")
    paid = await coinbase.gateway.fetch(first.ref)
    again = await coinbase.gateway.create(ORDER, same)
    assert (again.ref, len(coinbase.checkouts)) == (first.ref, 1)
    assert join(paid, again) == paid, "the old answer does not overwrite the newer state"


@pytest.mark.parametrize(
    ("outcome", "more", "taken"),
    [
        ("underpay", {}, 6_170_000),
        ("overpay", {}, 24_680_000),
        ("pay", {"amount": "12.339999"}, 12_339_999),
    ],
)
async def test_what_was_sent_is_what_was_taken(
    coinbase: CoinbaseRig, outcome: str, more: dict[str, str], taken: int
) -> None:
    paid = await pay_for(coinbase, outcome, **more)
    assert (paid.status, paid.captured_minor) == (ProviderStatus.CAPTURED, taken)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("fail", ProviderStatus.FAILED), ("expire", ProviderStatus.EXPIRED)],
)
async def test_what_was_not_paid(
    coinbase: CoinbaseRig, outcome: str, status: ProviderStatus
) -> None:
    ended = await pay_for(coinbase, outcome)
    assert (ended.status, ended.captured_minor, ended.action) == (status, 0, None)
    with pytest.raises(CallDeclined):
        await coinbase.gateway.cancel(ended.ref, key())


async def test_a_transfer_that_was_seen_is_not_money_yet(coinbase: CoinbaseRig) -> None:
    made = await coinbase.gateway.create(ORDER, key())
    await coinbase.post(f"/_simulator/{made.ref}/detect")
    seen = await coinbase.gateway.fetch(made.ref)
    assert (seen.status, seen.captured_minor) == (ProviderStatus.PROCESSING, 0)


async def test_cancelling_and_paid_all_the_same(coinbase: CoinbaseRig) -> None:
    made = await coinbase.gateway.create(ORDER, key())
    gone = await coinbase.gateway.cancel(made.ref, key())
    assert gone.status is ProviderStatus.CANCELLED
    assert (await coinbase.page(made.ref, "pay")).status_code == 409
    await coinbase.post(f"/_simulator/{made.ref}/pay-late")
    paid = await coinbase.gateway.fetch(made.ref)
    assert (paid.status, paid.captured_minor) == (ProviderStatus.CAPTURED, 12_340_000)
    with pytest.raises(CallDeclined):
        await coinbase.gateway.cancel(made.ref, key())


async def test_an_hour_later_it_has_expired(coinbase: CoinbaseRig) -> None:
    made = await coinbase.gateway.create(ORDER, key())
    began = coinbase.simulator.now()
    coinbase.simulator.account._now = lambda: began + 3_601
    expired = await coinbase.gateway.fetch(made.ref)
    assert expired.status is ProviderStatus.EXPIRED
    assert expired.at_ms > made.at_ms


async def test_what_is_not_offered_asks_nobody(coinbase: CoinbaseRig) -> None:
    for changes in (
        {"capture": Capture.MANUAL},
        {"currency": "USD"},
        {"amount_minor": 12_340_001},
    ):
        with pytest.raises(CallDeclined):
            await coinbase.gateway.create(msgspec.structs.replace(ORDER, **changes), key())
    with pytest.raises(CallDeclined):
        await coinbase.gateway.capture("0" * 24, 1, "USDC", key())
    for ref in ("../x", "2aee9dd1-67b8-43ef-8dfe-977959850f27", "A" * 24, ""):
        with pytest.raises(CallDeclined):
            await coinbase.gateway.fetch(ref)
    assert not coinbase.checkouts


async def test_a_page_that_is_not_safe_is_not_gone_back_to(coinbase: CoinbaseRig) -> None:
    order = msgspec.structs.replace(ORDER, return_url="http://localhost/back")
    made = await coinbase.gateway.create(order, key())
    assert "successRedirectUrl" not in coinbase.checkouts[made.ref]


# --- refunds --------------------------------------------------------------------------------------


async def test_a_refund_is_pending_until_the_chain_has_it(coinbase: CoinbaseRig) -> None:
    paid = await pay_for(coinbase)
    asked = Return(paid.ref, REFUND_ID, 4_000_000, "USDC", "unhappy")
    given = await coinbase.gateway.refund(asked, key())
    (refund,) = given.refunds
    assert (refund.refund_id, refund.amount_minor, refund.status) == (
        REFUND_ID, 4_000_000, ReturnStatus.PENDING,
    )  # fmt: skip
    assert coinbase.checkouts[paid.ref]["refunds"][0]["reason"] == f"unhappy {REFUND_ID}"
    await coinbase.post(f"/_simulator/{paid.ref}/end-refunds")
    done = await coinbase.gateway.fetch(paid.ref)
    assert done.refunds[0].status is ReturnStatus.SUCCEEDED
    assert (done.status, done.captured_minor) == (ProviderStatus.CAPTURED, 12_340_000)
    assert join(join(None, done), given).refunds == done.refunds, "news in the wrong order"
    with pytest.raises(CallDeclined):
        await coinbase.gateway.refund(Return(paid.ref, key(), 8_350_000, "USDC"), key())


async def test_a_refund_happens_once_even_when_its_key_is_forgotten(coinbase: CoinbaseRig) -> None:
    paid = await pay_for(coinbase)
    asked, same = Return(paid.ref, REFUND_ID, 4_000_000, "USDC"), key()
    coinbase.faults({"on": "refund", "do": "lose-answer"})
    with pytest.raises(CallOutcomeUnknown):
        await coinbase.gateway.refund(asked, same)
    coinbase.simulator.keys.known.clear()
    again = await coinbase.gateway.refund(asked, same)
    assert [one.refund_id for one in again.refunds] == [REFUND_ID]
    assert len(coinbase.checkouts[paid.ref]["refunds"]) == 1


async def test_a_refund_that_fails(coinbase: CoinbaseRig) -> None:
    paid = await pay_for(coinbase)
    asked = Return(paid.ref, REFUND_ID, 12_340_000, "USDC")
    pending = await coinbase.gateway.refund(asked, key())
    await coinbase.post(f"/_simulator/{paid.ref}/fail-refunds")
    failed = await coinbase.gateway.fetch(paid.ref)
    assert failed.refunds[0].status is ReturnStatus.FAILED
    assert join(pending, failed).refunds == failed.refunds


async def test_a_refund_by_hand_is_not_ours(coinbase: CoinbaseRig) -> None:
    paid = await pay_for(coinbase)
    await coinbase.post(f"/_simulator/{paid.ref}/refund")
    (refund,) = (await coinbase.gateway.fetch(paid.ref)).refunds
    assert (refund.refund_id, refund.amount_minor) == ("", 12_340_000)


async def test_refunds_finer_than_coinbase_can_say_are_declined(coinbase: CoinbaseRig) -> None:
    paid = await pay_for(coinbase)
    with pytest.raises(CallDeclined):
        await coinbase.gateway.refund(Return(paid.ref, REFUND_ID, 1, "USDC"), key())
    assert "refunds" not in coinbase.checkouts[paid.ref]


# --- certainty ------------------------------------------------------------------------------------


async def test_what_is_certain_and_what_is_not(coinbase: CoinbaseRig) -> None:
    same = key()
    coinbase.faults({"on": "create", "do": "lose-answer"})
    with pytest.raises(CallOutcomeUnknown):
        await coinbase.gateway.create(ORDER, same)
    made = await coinbase.gateway.create(ORDER, same)
    assert list(coinbase.checkouts) == [made.ref]
    coinbase.faults({"on": "create", "do": "500"})
    with pytest.raises(CallOutcomeUnknown):
        await coinbase.gateway.create(ORDER, key())
    coinbase.faults({"on": "create", "do": "delay", "ms": 3_000})
    with pytest.raises(CallOutcomeUnknown):
        await coinbase.gateway.create(ORDER, key())
    with pytest.raises(CallDeclined) as declined:
        await coinbase.gateway.fetch("0" * 24)
    assert declined.value.params == {"reason": "not_found"}


async def test_a_server_that_is_not_there_did_nothing(coinbase: CoinbaseRig) -> None:
    gone = coinbase.adapter(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(CallNotSent):
        await gone.create(ORDER, key())
    await gone.close()


async def test_another_key_did_nothing(coinbase: CoinbaseRig) -> None:
    stranger = CoinbaseGateway(
        CoinbaseAccount(KEY_ID, ed25519()[0], WEBHOOK_SECRET, url=coinbase.url, timeout_s=2.0)
    )
    with pytest.raises(CallNotSent):
        await stranger.create(ORDER, key())
    await stranger.close()
    assert not coinbase.checkouts


@pytest.mark.parametrize("coinbase", [ed25519, p256], indirect=True)
async def test_a_token_is_for_one_request_and_two_minutes(coinbase: CoinbaseRig) -> None:
    signer = BearerSigner(KEY_ID, coinbase.secret)
    host, now = coinbase.url.removeprefix("http://"), int(coinbase.simulator.now())
    path = "/api/v1/checkouts"
    tokens = {
        200: signer.token("GET", host, path, now, "n"),
        "method": signer.token("POST", host, path, now, "n"),
        "host": signer.token("GET", "business.coinbase.com", path, now, "n"),
        "path": signer.token("GET", host, path + "/x", now, "n"),
        "old": signer.token("GET", host, path, now - 121, "n"),
        "nonce": signer.token("GET", host, path, now, ""),
    }
    async with httpx.AsyncClient(base_url=coinbase.url) as client:
        for expected, token in tokens.items():
            answer = await client.get(path, headers={"authorization": f"Bearer {token}"})
            assert answer.status_code == (200 if expected == 200 else 401), expected


@pytest.mark.parametrize("made", [ed25519, p256])
def test_a_token_says_what_coinbase_wants_to_read(made: Any) -> None:
    secret, public = made()
    signer = BearerSigner(KEY_ID, secret)
    now = 4_000_000_000
    path = "/api/v1/checkouts"
    token = signer.token("POST", "business.coinbase.com", path, now, "00ff")
    header = jwt.get_unverified_header(token)
    assert header == {"alg": signer.algorithm, "kid": KEY_ID, "nonce": "00ff", "typ": "JWT"}
    claims = jwt.decode(
        token, public, [signer.algorithm], options={"verify_nbf": False, "verify_exp": False}
    )
    assert claims == {
        "iss": "cdp", "sub": KEY_ID, "nbf": now, "exp": now + 120,
        "uri": "POST business.coinbase.com/api/v1/checkouts",
    }  # fmt: skip


def test_what_is_no_key_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    mixed = Ed25519PrivateKey.generate().private_bytes_raw() * 2
    for secret in ("", "not a key", base64.b64encode(b"short").decode(), other.decode(),
                   base64.b64encode(mixed).decode(), "-----BEGIN nothing"):  # fmt: skip
        with pytest.raises(ValueError, match=r".+"):
            read_secret(secret)


def test_keys_are_uuids_of_version_4_and_the_same_for_the_same() -> None:
    made = idempotency_key("payment:create:0:")
    assert made == idempotency_key("payment:create:0:")
    assert made != idempotency_key("payment:create:1:")
    assert uuid.UUID(made).version == 4


# --- webhooks -------------------------------------------------------------------------------------

NOW_S = 1_790_000_000
BODY = json.dumps(
    {
        "id": "69163c762331ed43dc64a6ef",
        "eventType": "checkout.payment.success",
        "status": "COMPLETED",
        "amount": "100.00",
        "currency": "USDC",
        "metadata": {"payment_id": ORDER.payment_id},
        "updatedAt": "2026-09-21T14:13:20.097Z",
    }
).encode()
SENT = {"content-type": "application/json", "x-event-id": "evt-1", "x-event-type": "x"}


def hook0(body: bytes = BODY, at: int = NOW_S, secret: str = WEBHOOK_SECRET) -> str:
    """The signature, computed as the page "Verify signatures" says and not as our code does."""
    parts = [str(at), "content-type x-event-id x-event-type", *SENT.values(), body.decode()]
    made = hmac.new(secret.encode(), ".".join(parts).encode(), hashlib.sha256).hexdigest()
    return f"t={at},h=content-type x-event-id x-event-type,v1={made}"


@pytest.fixture
def reader() -> CoinbaseGateway:
    account = CoinbaseAccount(KEY_ID, ed25519()[0], WEBHOOK_SECRET, COMMERCE_SECRET)
    return CoinbaseGateway(account)


async def read(
    reader: CoinbaseGateway, headers: dict[str, str], body: bytes = BODY, now_s: int = NOW_S
) -> WebhookEvent:
    return await reader.read_webhook(headers, body, now_s * 1_000)


async def test_a_signature_that_was_computed_by_hand(reader: CoinbaseGateway) -> None:
    """The digest was computed by OpenSSL's command line over the same text."""
    digest = "3e0947c8da52f9d47de388cfae6a84c3ec318e22c31fc060bcd265024cee26f0"
    headers = {"content-type": "application/json", "x-event-id": "evt-7"}
    headers["x-hook0-signature"] = f"t=1790000000,h=content-type x-event-id,v1={digest}"
    event = await read(reader, headers, b'{"eventType":"ping"}')
    assert (event.event_id, event.type, event.ref) == ("evt-7", "ping", "")


async def test_a_webhook_says_where_to_look(reader: CoinbaseGateway) -> None:
    event = await read(reader, {**SENT, "x-hook0-signature": hook0()})
    assert event == WebhookEvent(
        "evt-1",
        "checkout.payment.success",
        1_790_000_000_097,
        "69163c762331ed43dc64a6ef",
        ORDER.payment_id,
    )


async def test_without_a_signed_id_the_body_is_its_own(reader: CoinbaseGateway) -> None:
    signed = f"{NOW_S}.content-type.application/json.".encode() + BODY
    made = hmac.new(WEBHOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    headers = {**SENT, "x-hook0-signature": f"t={NOW_S},h=content-type,v1={made}"}
    events = [await read(reader, {**headers, "x-event-id": name}) for name in ("a", "b")]
    assert {one.event_id for one in events} == {f"body-{hashlib.sha256(BODY).hexdigest()}"}


async def test_signatures_that_are_not_good(reader: CoinbaseGateway) -> None:
    good = hook0()
    v1 = good.rpartition("v1=")[2]
    v0 = hmac.new(WEBHOOK_SECRET.encode(), f"{NOW_S}.".encode() + BODY, hashlib.sha256).hexdigest()
    names = "content-type x-event-id x-event-type"
    for text in (
        hook0(secret="another"),
        f"t={NOW_S},v0={v0}",
        f"t={NOW_S},h={names},v0={v0}",
        f"t={NOW_S},h=,v1={v0}",
        f"t={NOW_S},v1={v1}",
        f"t={NOW_S},h=content-type x-event-type x-event-id,v1={v1}",
        f"t={NOW_S},h=content-type x-event-id,v1={v1}",
        f"t={NOW_S},h={names} {names},v1={v1}",
        f"t={NOW_S},h={names.upper()},v1={v1}",
        f"{good},v1={v1}",
        f"t={NOW_S + 1},{good}",
        f"t=x,h={names},v1={v1}",
        f"t={NOW_S},h={names},v1={v1.upper()}",
        f"t={NOW_S},h={names},v1=é",
        "nonsense",
    ):
        assert await refused(reader, {**SENT, "x-hook0-signature": text}), text
    signed = {**SENT, "x-hook0-signature": good}
    assert not await refused(reader, signed)
    assert await refused(reader, SENT)
    assert await refused(reader, signed, body=BODY + b" ")
    assert await refused(reader, {**signed, "x-event-id": "evt-2"})
    assert await refused(reader, {k: v for k, v in signed.items() if k != "x-event-id"})
    for seconds, expected in ((-301, True), (-300, False), (300, False), (301, True)):
        assert await refused(reader, signed, now_s=NOW_S + seconds) is expected


async def refused(reader: CoinbaseGateway, headers: dict[str, str], **more: Any) -> bool:
    try:
        await read(reader, headers, **more)
    except WebhookSignatureWrong:
        return True
    return False


async def test_the_border_between_headers_and_body_is_where_it_was_signed(
    reader: CoinbaseGateway,
) -> None:
    """A name with a dot would let the same text be read in two ways."""
    text = f"{NOW_S}.x-a.b.c.{{}}"
    made = hmac.new(WEBHOOK_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    await read(reader, {"x-a": "b.c", "x-hook0-signature": f"t={NOW_S},h=x-a,v1={made}"}, b"{}")
    moved = {"x-a.b": "c", "x-hook0-signature": f"t={NOW_S},h=x-a.b,v1={made}"}
    with pytest.raises(WebhookSignatureWrong):
        await read(reader, moved, b"{}")


async def test_events_of_types_that_we_do_not_know_are_kept(reader: CoinbaseGateway) -> None:
    body = b'{"something": "else"}'
    event = await read(reader, {**SENT, "x-hook0-signature": hook0(body)}, body)
    assert (event.type, event.ref, event.event_id) == ("unknown", "", "evt-1")
    for nonsense in (b"[]", b"nonsense", b'{"eventType":"checkout.x"}', b'"text"'):
        with pytest.raises(WebhookMalformed):
            await read(reader, {**SENT, "x-hook0-signature": hook0(nonsense)}, nonsense)


async def test_an_account_without_a_secret_takes_no_webhook() -> None:
    for secret in ("", "other"):
        bare = CoinbaseGateway(CoinbaseAccount(KEY_ID, ed25519()[0], secret))
        for headers in (
            {**SENT, "x-hook0-signature": hook0(secret="")},
            {"x-cc-webhook-signature": hmac.new(b"", BODY, hashlib.sha256).hexdigest()},
        ):
            with pytest.raises(WebhookSignatureWrong):
                await read(bare, headers)
        await bare.close()


async def test_the_stand_in_signs_as_the_adapter_reads(coinbase: CoinbaseRig) -> None:
    sent: list[bytes] = []
    coinbase.simulator.sender.put = sent.append
    paid = await pay_for(coinbase)
    await coinbase.gateway.refund(Return(paid.ref, REFUND_ID, 1_000_000, "USDC"), key())
    await coinbase.post(f"/_simulator/{paid.ref}/end-refunds")
    now_ms = int(coinbase.simulator.now()) * 1_000
    read = [
        await coinbase.gateway.read_webhook(coinbase.simulator._sign(body, False), body, now_ms)
        for body in sent
    ]
    assert [(one.type, one.ref, one.payment_id) for one in read] == [
        ("checkout.payment.success", paid.ref, ORDER.payment_id),
        ("checkout.refund.success", paid.ref, ORDER.payment_id),
    ]
    assert len({one.event_id for one in read}) == 2
    wrong = coinbase.simulator._sign(sent[0], True)
    with pytest.raises(WebhookSignatureWrong):
        await coinbase.gateway.read_webhook(wrong, sent[0], now_ms)


# --- Commerce -------------------------------------------------------------------------------------


def charge(*statuses: str, paid: tuple[tuple[str, str, str], ...] = ()) -> bytes:
    timeline = [
        {"status": status, "time": f"2026-03-01T10:0{minute}:00Z"}
        for minute, status in enumerate(statuses)
    ]
    payments = [
        {"status": status, "value": {"crypto": {"amount": amount, "currency": currency}}}
        for status, amount, currency in paid
    ]
    data = {
        "id": "2aee9dd1-67b8-43ef-8dfe-977959850f27",
        "code": "XA6G6ZFR",
        "metadata": {"payment_id": ORDER.payment_id},
        "timeline": timeline,
        "payments": payments,
    }
    event = {"id": "e1", "type": "charge:x", "created_at": "2026-03-01T10:09:00Z", "data": data}
    return json.dumps({"attempt_number": 1, "event": event}).encode()


async def commerce(reader: CoinbaseGateway, body: bytes) -> WebhookEvent:
    made = hmac.new(COMMERCE_SECRET.encode(), body, hashlib.sha256).hexdigest()
    return await read(reader, {"x-cc-webhook-signature": made}, body)


TEN = ("confirmed", "10", "USDC")


@pytest.mark.parametrize(
    ("body", "status", "taken"),
    [
        (charge("NEW"), ProviderStatus.REQUIRES_ACTION, 0),
        (charge("NEW", "PENDING", paid=(("pending", "10", "USDC"),)), ProviderStatus.PROCESSING, 0),
        (charge("NEW", "PENDING", "COMPLETED", paid=(TEN,)), ProviderStatus.CAPTURED, 10_000_000),
        (charge("NEW", "UNRESOLVED", paid=(TEN, TEN)), ProviderStatus.PROCESSING, 20_000_000),
        (charge("NEW", "EXPIRED"), ProviderStatus.EXPIRED, 0),
        (charge("NEW", "EXPIRED", "RESOLVED", paid=(TEN,)), ProviderStatus.CAPTURED, 10_000_000),
    ],
)
async def test_a_charge_of_commerce_has_the_last_word_on_itself(
    reader: CoinbaseGateway, body: bytes, status: ProviderStatus, taken: int
) -> None:
    event = await commerce(reader, body)
    assert event.snapshot is not None
    assert (event.snapshot.status, event.snapshot.captured_minor) == (status, taken)
    assert (event.event_id, event.ref, event.payment_id) == (
        "commerce-e1", event.snapshot.ref, ORDER.payment_id,
    )  # fmt: skip


async def test_an_old_charge_never_overwrites_a_newer_state(reader: CoinbaseGateway) -> None:
    newer = (await commerce(reader, charge("NEW", "PENDING", "COMPLETED", paid=(TEN,)))).snapshot
    older = (await commerce(reader, charge("NEW", "PENDING"))).snapshot
    assert newer is not None
    assert older is not None
    assert join(newer, older) == join(join(None, older), newer) == newer


@pytest.mark.parametrize(
    "body",
    [
        charge("NEW", "COMPLETED", paid=(("CONFIRMED", "0.01", "ETH"),)),
        charge("NEW", "RESOLVED"),
        charge("NEW", "SOMETHING-NEW", paid=(TEN,)),
    ],
)
async def test_what_our_books_could_not_hold_is_kept_and_left_to_a_person(
    reader: CoinbaseGateway, body: bytes
) -> None:
    event = await commerce(reader, body)
    assert event.snapshot is None
    with pytest.raises(CallDeclined):
        await reader.fetch(event.ref)


async def test_signatures_of_commerce_that_are_not_good(reader: CoinbaseGateway) -> None:
    body = charge("NEW")
    good = hmac.new(COMMERCE_SECRET.encode(), body, hashlib.sha256).hexdigest()
    for headers, sent in (
        ({"x-cc-webhook-signature": good}, body + b" "),
        ({"x-cc-webhook-signature": good.upper()}, body),
        ({"x-cc-webhook-signature": ""}, body),
        ({"x-cc-webhook-signature": "é"}, body),
        # Whoever signs as today's interface is judged as that.
        ({"x-cc-webhook-signature": good, "x-hook0-signature": "t=1,h=a,v1=b"}, body),
    ):
        with pytest.raises(WebhookSignatureWrong):
            await read(reader, headers, sent)
    for nonsense in (b"{}", b"[]", b'{"event": {}}', charge()):
        with pytest.raises(WebhookMalformed):
            await commerce(reader, nonsense)


# --- books ----------------------------------------------------------------------------------------


async def test_coinbases_books(coinbase: CoinbaseRig) -> None:
    began_ms = int(coinbase.simulator.now() * 1_000) - 1
    for _ in range(3):
        await pay_for(coinbase)
    await pay_for(coinbase, "expire")
    refunded = await pay_for(coinbase, "overpay")
    for amount in (1_000_000, 2_000_000):
        asked = Return(refunded.ref, str(uuid.uuid4()), amount, "USDC")
        await coinbase.gateway.refund(asked, key())
    await coinbase.post(f"/_simulator/{refunded.ref}/end-refunds")
    books = CoinbaseRecords(coinbase.account(coinbase.url), page_size=2)
    until_ms = int(coinbase.simulator.now() * 1_000) + 1_000
    found = [one async for one in books.entries(began_ms, until_ms)]
    assert [one async for one in books.entries(until_ms, until_ms + 1)] == []
    await books.close()
    assert len({one.ref for one in found}) == len(found) == 6
    taken = [one for one in found if one.kind is EntryKind.CAPTURE]
    assert sorted(one.amount_minor for one in taken) == [12_340_000] * 3 + [24_680_000]
    assert {(one.fee_minor * 100, one.our_id) for one in taken} == {
        (12_340_000, ORDER.payment_id),
        (24_680_000, ORDER.payment_id),
    }
    back = [one for one in found if one.kind is EntryKind.REFUND]
    assert sorted(one.amount_minor for one in back) == [-2_000_000, -1_000_000]
    assert {one.charge_ref for one in back} == {refunded.ref}


async def test_a_capture_is_in_one_span_of_the_books_whatever_follows(
    coinbase: CoinbaseRig,
) -> None:
    paid = await pay_for(coinbase)
    began = coinbase.simulator.now()
    books = CoinbaseRecords(coinbase.account(coinbase.url))

    async def kinds(since_s: float, until_s: float) -> list[EntryKind]:
        span = int((began + since_s) * 1_000), int((began + until_s) * 1_000)
        return [one.kind async for one in books.entries(*span)]

    assert await kinds(-10, 50) == [EntryKind.CAPTURE]
    coinbase.simulator.account._now = lambda: began + 100
    await coinbase.gateway.refund(Return(paid.ref, REFUND_ID, 4_000_000, "USDC"), key())
    await coinbase.returns(paid.ref)
    assert await kinds(50, 200) == [EntryKind.REFUND]
    assert await kinds(-10, 50) == [EntryKind.CAPTURE]
    await books.close()


async def test_books_in_which_pages_shift_while_they_are_read(coinbase: CoinbaseRig) -> None:
    for _ in range(2):
        await pay_for(coinbase)
    books = CoinbaseRecords(coinbase.account(coinbase.url), page_size=1)
    refs: list[str] = []
    async for one in books.entries(0, int(coinbase.simulator.now() * 1_000) + 60_000):
        if not refs:
            await pay_for(coinbase)  # moves the others to later pages
        refs.append(one.ref)
    assert len(refs) == len(set(refs)) == 2
    await books.close()


async def test_books_that_are_refused_are_not_read(coinbase: CoinbaseRig) -> None:
    books = CoinbaseRecords(coinbase.account(coinbase.url), page_size=101)
    with pytest.raises(CallOutcomeUnknown):
        _ = [one async for one in books.entries(0, 1)]
    await books.close()


async def test_books_that_cannot_be_read(coinbase: CoinbaseRig) -> None:
    coinbase.faults({"on": "list", "do": "500"})
    books = CoinbaseRecords(coinbase.account(coinbase.url))
    with pytest.raises(CallOutcomeUnknown):
        _ = [one async for one in books.entries(0, 1)]
    await books.close()
