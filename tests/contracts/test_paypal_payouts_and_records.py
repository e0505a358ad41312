"""PayPal's payouts and its books, against the stand-in over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from integrations.payment_gateway import Return
from integrations.payout_gateway_paypal import PayPalPayouts
from integrations.paypal_client import PayPalAccount, PayPalClient
from integrations.provider_records_paypal import WINDOW_MS, PayPalRecords
from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown
from messages.payments.payout_orders import PayoutOrder, PayoutProgress
from messages.payments.records import EntryKind, ProviderEntry
from tests.contracts.payment_rigs import ORDER, PayPalRig, key, open_rig

PAYOUT = PayoutOrder("0197a000-0000-7000-8000-00000000000b", 2_550, "USD", "ana@example.org", "hi")


@pytest.fixture
async def paypal() -> AsyncIterator[PayPalRig]:
    async with open_rig("paypal") as opened:
        yield opened


@pytest.fixture
async def payouts(paypal: PayPalRig) -> AsyncIterator[PayPalPayouts]:
    made = PayPalPayouts(PayPalClient(paypal.account(paypal.url)))
    yield made
    await made.close()


@pytest.fixture
async def records(paypal: PayPalRig) -> AsyncIterator[PayPalRecords]:
    made = PayPalRecords(PayPalClient(paypal.account(paypal.url)))
    yield made
    await made.close()


# --- payouts --------------------------------------------------------------------------------------


async def test_a_payout_is_sent_once(paypal: PayPalRig, payouts: PayPalPayouts) -> None:
    sent = await payouts.pay(PAYOUT, "pay:1")
    assert (sent.progress, sent.fee_minor, sent.failure) == (PayoutProgress.PAID, 25, "")
    paypal.simulator.keys.known.clear()  # PayPal forgot the key, and knows the batch
    again = await payouts.pay(PAYOUT, "pay:1")
    assert again == sent == await payouts.find(PAYOUT, sent.ref)
    (batch,) = paypal.simulator.payouts.batches.values()
    (item,) = batch["items"]
    assert item["payout_item"]["receiver"] == "ana@example.org"
    assert item["payout_item"]["amount"] == {"currency": "USD", "value": "25.50"}


async def test_an_answer_that_gets_lost(paypal: PayPalRig, payouts: PayPalPayouts) -> None:
    paypal.faults({"on": "pay", "do": "lose-answer"})
    with pytest.raises(CallOutcomeUnknown):
        await payouts.pay(PAYOUT, "pay:1")
    found = await payouts.find(PAYOUT, "")
    assert found.progress is PayoutProgress.PAID
    assert len(paypal.simulator.payouts.batches) == 1


async def test_a_look_that_fails_after_it_was_sent(
    paypal: PayPalRig, payouts: PayPalPayouts
) -> None:
    paypal.faults({"on": "fetch", "do": "500"})
    with pytest.raises(CallOutcomeUnknown):
        await payouts.pay(PAYOUT, "pay:1")
    assert (await payouts.pay(PAYOUT, "pay:1")).progress is PayoutProgress.PAID


@pytest.mark.parametrize(
    ("destination", "progress", "failure"),
    [
        ("pending@example.org", PayoutProgress.PENDING, ""),
        ("unclaimed@example.org", PayoutProgress.PAID, "UNCLAIMED"),
        ("failed@example.org", PayoutProgress.FAILED, "RECEIVER_UNREGISTERED"),
    ],
)
async def test_what_becomes_of_it(
    payouts: PayPalPayouts, destination: str, progress: PayoutProgress, failure: str
) -> None:
    sent = await payouts.pay(replace(PAYOUT, destination=destination), key())
    assert (sent.progress, sent.failure) == (progress, failure)


async def test_what_nobody_claims_comes_back(paypal: PayPalRig, payouts: PayPalPayouts) -> None:
    sent = await payouts.pay(replace(PAYOUT, destination="unclaimed@example.org"), key())
    await paypal.post(f"/_simulator/{sent.ref}/return")
    found = await payouts.find(PAYOUT, sent.ref)
    assert (found.progress, found.failure) == (PayoutProgress.RETURNED, "RETURNED")


async def test_what_is_refused(paypal: PayPalRig, payouts: PayPalPayouts) -> None:
    with pytest.raises(CallDeclined):
        await payouts.find(PAYOUT, "unknown")
    refusing = PayPalPayouts(_scripted(httpx.Response(400, json={"name": "INSUFFICIENT_FUNDS"})))
    with pytest.raises(CallDeclined) as error:
        await refusing.pay(PAYOUT, key())
    assert error.value.params["reason"] == "INSUFFICIENT_FUNDS"
    denied = {"payout_batch_id": "B", "batch_status": "DENIED", "time_created": "2026-11-28T06:00Z"}
    looked = httpx.Response(200, json={"batch_header": denied})
    found = await PayPalPayouts(_scripted(looked)).find(PAYOUT, "B")
    assert (found.progress, found.failure) == (PayoutProgress.FAILED, "DENIED")
    nonsense = PayPalPayouts(_scripted(httpx.Response(200, json={"batch_header": 7})))
    with pytest.raises(CallOutcomeUnknown):
        await nonsense.find(PAYOUT, "B")


def _scripted(*answers: httpx.Response) -> PayPalClient:
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/oauth2/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 600})
        return left.pop(0)

    def open_http(**options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(answer), **options)

    return PayPalClient(PayPalAccount("id", "secret"), open_http)


# --- books ----------------------------------------------------------------------------------------


async def read(records: PayPalRecords, since_ms: int, until_ms: int) -> list[ProviderEntry]:
    return [entry async for entry in records.entries(since_ms, until_ms)]


async def test_all_that_moved_is_told_by_its_order(
    paypal: PayPalRig, payouts: PayPalPayouts, records: PayPalRecords
) -> None:
    taken = await paypal.pay()
    await paypal.gateway.refund(Return(taken.ref, "r1", 4_000, "USD"), key())
    await paypal.post(f"/_simulator/{taken.ref}/dispute")
    await paypal.post(f"/_simulator/{taken.ref}/win")
    sent = await payouts.pay(replace(PAYOUT, destination="unclaimed@example.org"), key())
    await paypal.post(f"/_simulator/{sent.ref}/return")
    now_ms = int(paypal.simulator.now() * 1_000)
    found = await read(records, now_ms - 60_000, now_ms + 60_000)
    assert [(one.kind, one.charge_ref, one.amount_minor, one.our_id) for one in found] == [
        (EntryKind.CAPTURE, taken.ref, 10_000, ORDER.payment_id),
        (EntryKind.REFUND, taken.ref, -4_000, ORDER.payment_id),
        (EntryKind.DISPUTE, taken.ref, -6_000, ORDER.payment_id),
        (EntryKind.DISPUTE_WON, taken.ref, 6_000, ORDER.payment_id),
        (EntryKind.PAYOUT, sent.ref, -2_550, PAYOUT.payout_id),
        (EntryKind.PAYOUT_FAILED, sent.ref, 2_550, PAYOUT.payout_id),
    ]
    assert [one.fee_minor for one in found] == [398, 0, 0, 0, 25, 0]
    assert {one.currency for one in found} == {"USD"}
    assert len({one.ref for one in found}) == 6
    # What is asked for alone names its order, too.
    paypal.simulator.books.entries[:1] = []
    (refund, *_) = await read(records, now_ms - 60_000, now_ms + 60_000)
    assert refund.charge_ref == taken.ref


async def test_more_than_a_month_and_more_than_a_page(
    paypal: PayPalRig, records: PayPalRecords
) -> None:
    start_s = 1_790_000_000
    books, day_s = paypal.simulator.books, 86_400
    thing = {
        "amount": {"currency_code": "USD", "value": "1.00"},
        "custom_id": ORDER.payment_id,
        "invoice_id": "",
    }
    for number in range(1_100):  # eleven pages' worth in a hundred days, one on each window's edge
        books._now = lambda number=number: start_s + number * day_s // 11
        books.enter("T0006", f"C{number}", f"O{number}", Decimal("1.00"), thing)
    books._now = lambda: start_s + WINDOW_MS // 1_000
    books.enter("T0006", "EDGE", "O-EDGE", Decimal("1.00"), thing)
    found = await read(records, start_s * 1_000, (start_s + 100 * day_s) * 1_000)
    refs = [one.ref for one in found]
    assert len(refs) == len(set(refs)) == 1_101
    assert {one.charge_ref for one in found} >= {"O0", "O1099", "O-EDGE"}
    part = await read(records, (start_s + 1) * 1_000, (start_s + day_s) * 1_000)
    assert [one.ref for one in part] == [f"C{number}" for number in range(1, 11)]


async def test_books_that_cannot_be_read_now(paypal: PayPalRig, records: PayPalRecords) -> None:
    paypal.faults({"on": "fetch", "do": "500"})
    with pytest.raises(CallOutcomeUnknown):
        await read(records, 0, 1_000)
    wrong = PayPalRecords(PayPalClient(paypal.account(paypal.url, secret="wrong")))
    with pytest.raises(CallNotSent):
        await read(wrong, 0, 1_000)
    await wrong.close()


@pytest.mark.parametrize(
    ("code", "value", "kind"),
    [
        ("T0006", "-1.00", None),  # we paid somebody
        ("T0001", "1.00", None),  # somebody's payout to us
        ("T0400", "-1.00", None),  # to our bank
        ("T1106", "-1.00", EntryKind.DISPUTE),
        ("T1110", "-1.00", EntryKind.DISPUTE),
        ("T1111", "1.00", EntryKind.DISPUTE_WON),
        ("T1107", "1.00", EntryKind.REFUND_FAILED),
        ("T1115", "1.00", EntryKind.PAYOUT_FAILED),
    ],
)
async def test_what_a_movement_is(code: str, value: str, kind: EntryKind | None) -> None:
    info = {
        "transaction_id": "T",
        "transaction_event_code": code,
        "transaction_status": "S",
        "transaction_amount": {"currency_code": "USD", "value": value},
        "transaction_initiation_date": "2026-11-28T06:00:00+0000",
    }
    page = httpx.Response(200, json={"transaction_details": [{"transaction_info": info}]})
    at_ms = 1_795_845_600_000
    records = PayPalRecords(_scripted(page, httpx.Response(404)))
    found = await read(records, at_ms, at_ms + 1)
    assert [one.kind for one in found] == ([] if kind is None else [kind])
