"""What every provider's adapter does alike, against servers that speak the providers' protocols."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from domain.payments.snapshots import join
from integrations.payment_gateway import Return
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    CallOutcomeUnknown,
    DisputeStatus,
    ProviderStatus,
    ReturnStatus,
)
from messages.payments.webhooks import PART, WebhookMalformed, WebhookSignatureWrong
from tests.contracts.payment_rigs import MANUAL, Rig, free_port, key, open_rig

HOLDING = ["stripe", "paypal"]
MONTH_MS = 30 * 86_400_000
R1, R2, R3 = (f"0197a000-0000-8000-8000-00000000000{n}" for n in (1, 2, 3))


@pytest.fixture(params=[*HOLDING, "coinbase"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with open_rig(request.param) as opened:
        yield opened


@pytest.fixture(params=HOLDING)
async def holding(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """A provider that can hold an amount first, and knows disputes."""
    async with open_rig(request.param) as opened:
        yield opened


def returning(rig: Rig, ref: str, refund_id: str, cents: int) -> Return:
    return Return(ref, refund_id, cents * rig.cent, rig.order.currency)


async def test_a_payment_is_taken(rig: Rig) -> None:
    taken = await rig.pay()
    assert (taken.status, taken.captured_minor) == (
        ProviderStatus.CAPTURED,
        rig.order.amount_minor,
    )
    assert await rig.gateway.fetch(taken.ref) == taken
    assert taken.at_ms > 1_700_000_000_000


async def test_the_same_key_charges_once(rig: Rig) -> None:
    same = key()
    first = await rig.gateway.create(rig.order, same)
    again = await rig.gateway.create(rig.order, same)
    assert (again.ref, rig.charges()) == (first.ref, 1)


async def test_authorise_then_take_a_part(holding: Rig) -> None:
    held = await holding.pay(MANUAL)
    assert (held.status, held.captured_minor) == (ProviderStatus.AUTHORIZED, 0)
    taken = await holding.gateway.capture(held.ref, 6_000, "USD", key())
    assert (taken.status, taken.captured_minor) == (ProviderStatus.CAPTURED, 6_000)
    with pytest.raises(CallDeclined):
        await holding.gateway.capture(held.ref, 1, "USD", key())
    with pytest.raises(CallDeclined):
        await holding.gateway.cancel(held.ref, key())


async def test_more_than_was_authorised_is_declined(holding: Rig) -> None:
    held = await holding.pay(MANUAL)
    with pytest.raises(CallDeclined):
        await holding.gateway.capture(held.ref, 10_001, "USD", key())


async def test_cancel(holding: Rig) -> None:
    held = await holding.pay(MANUAL)
    same = key()
    for _ in range(2):
        let_go = await holding.gateway.cancel(held.ref, same)
        assert let_go.status is ProviderStatus.CANCELLED
        assert let_go.at_ms >= held.at_ms


async def test_refunds(rig: Rig) -> None:
    taken = await rig.pay()
    same = key()
    for _ in range(2):
        given = await rig.gateway.refund(returning(rig, taken.ref, R1, 4_000), same)
        (refund,) = given.refunds
        assert (refund.refund_id, refund.amount_minor) == (R1, 4_000 * rig.cent)
    await rig.returns(taken.ref)
    given = await rig.gateway.fetch(taken.ref)
    assert [one.status for one in given.refunds] == [ReturnStatus.SUCCEEDED]
    assert given.captured_minor == rig.order.amount_minor
    with pytest.raises(CallDeclined):
        await rig.gateway.refund(returning(rig, taken.ref, R2, 6_001), key())
    given = await rig.gateway.refund(returning(rig, taken.ref, R3, 6_000), key())
    assert {one.refund_id for one in given.refunds} == {R1, R3}


async def test_a_refund_that_we_did_not_ask_for(rig: Rig) -> None:
    taken = await rig.pay()
    await rig.post(f"/_simulator/{taken.ref}/refund")
    (refund,) = (await rig.gateway.fetch(taken.ref)).refunds
    expected = (rig.order.amount_minor, ReturnStatus.SUCCEEDED)
    assert (refund.amount_minor, refund.status) == expected
    assert refund.refund_id in {"", rig.order.payment_id}, "the id of no refund of ours"


async def test_disputes(holding: Rig) -> None:
    for what, status in (("win", DisputeStatus.WON), ("lose", DisputeStatus.LOST)):
        taken = await holding.pay()
        await holding.post(f"/_simulator/{taken.ref}/dispute")
        (dispute,) = (await holding.gateway.fetch(taken.ref)).disputes
        assert (dispute.amount_minor, dispute.status) == (10_000, DisputeStatus.OPEN)
        await holding.post(f"/_simulator/{taken.ref}/{what}")
        (ended,) = (await holding.gateway.fetch(taken.ref)).disputes
        assert (ended.amount_minor, ended.status) == (10_000, status)


async def test_a_dispute_a_month_later(holding: Rig) -> None:
    sent = holding.listen()
    taken = await holding.pay()
    sent.clear()
    async with httpx.AsyncClient(base_url=holding.url) as client:
        moved = await client.post("/_simulator/clock", json={"advance_s": MONTH_MS // 1_000})
        assert moved.status_code == 200
        assert (await client.post("/_simulator/clock", json={})).status_code == 400
    await holding.post(f"/_simulator/{taken.ref}/dispute")
    body, now_ms = sent[-1], int(holding.simulator.now.present() * 1_000)
    event = await holding.gateway.read_webhook(holding.sign(body), body, now_ms)
    assert event.at_ms >= now_ms + MONTH_MS - 5_000
    known = join(taken, await holding.gateway.fetch(taken.ref))
    assert [one.status for one in known.disputes] == [DisputeStatus.OPEN]
    assert join(known, taken) == known


async def test_what_is_certain_and_what_is_not(rig: Rig) -> None:
    """Only what certainly did not happen may be asked of another provider."""
    same = key()
    rig.faults({"on": "create", "do": "lose-answer"})
    with pytest.raises(CallOutcomeUnknown):
        await rig.gateway.create(rig.order, same)
    assert rig.charges() == 1
    await rig.gateway.create(rig.order, same)
    assert rig.charges() == 1
    rig.faults({"on": "create", "do": "500"})
    with pytest.raises(CallOutcomeUnknown):
        await rig.gateway.create(rig.order, key())
    rig.faults({"on": "create", "do": "delay", "ms": 3_000})
    with pytest.raises(CallOutcomeUnknown):
        await rig.gateway.create(rig.order, key())
    with pytest.raises(CallDeclined):
        await rig.gateway.fetch("unknown")


async def test_answers_to_captures_and_refunds_that_get_lost(holding: Rig) -> None:
    held = await holding.pay(MANUAL)
    for operation in ("capture", "refund"):
        same = key()
        holding.faults({"on": operation, "do": "lose-answer"})
        for attempt in range(3):
            if operation == "capture":
                call = holding.gateway.capture(held.ref, 6_000, "USD", same)
            else:
                call = holding.gateway.refund(returning(holding, held.ref, R1, 1_000), same)
            if attempt == 0:
                with pytest.raises(CallOutcomeUnknown):
                    await call
            else:
                seen = await call
                assert seen.captured_minor == 6_000
    assert [one.amount_minor for one in seen.refunds] == [1_000]


async def test_a_look_that_fails_after_something_was_done_leaves_it_open(rig: Rig) -> None:
    taken = await rig.pay()
    same = key()
    rig.faults({"on": "fetch", "do": "500", "times": 9})
    with pytest.raises(CallOutcomeUnknown):
        await rig.gateway.refund(returning(rig, taken.ref, R1, 1_000), same)
    rig.faults()
    seen = await rig.gateway.refund(returning(rig, taken.ref, R1, 1_000), same)
    assert [one.refund_id for one in seen.refunds] == [R1]


async def test_a_server_that_is_not_there_did_nothing(rig: Rig) -> None:
    gateway = rig.adapter(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(CallNotSent):
        await gateway.create(rig.order, key())
    await gateway.close()


async def test_a_wrong_secret_did_nothing(rig: Rig) -> None:
    gateway = rig.adapter(rig.url, secret="sk_test_wrong")
    with pytest.raises(CallNotSent):
        await gateway.create(rig.order, key())
    await gateway.close()
    assert rig.charges() == 0


async def test_webhooks_are_read_if_their_signature_is_good(rig: Rig) -> None:
    sent = rig.listen()
    taken = await rig.pay()
    await rig.gateway.refund(returning(rig, taken.ref, R1, 1_000), key())
    await rig.returns(taken.ref)
    await rig.post(f"/_simulator/{taken.ref}/dispute")
    now_ms = int(rig.simulator.now()) * 1_000
    ids = set()
    assert len(sent) >= 2
    for body in sent:
        headers = rig.sign(body)
        event = await rig.gateway.read_webhook(headers, body, now_ms)
        ids.add(event.event_id)
        assert event.ref == taken.ref or event.ref.startswith(PART)
        assert (await rig.gateway.fetch(event.ref)).ref == taken.ref
        wrong = [
            ({}, body, now_ms),
            (rig.sign(body, True), body, now_ms),
            (headers, body + b" ", now_ms),
            (headers, body, now_ms + rig.behind_ms + 2_000),
            (headers, body, now_ms - rig.ahead_ms - 2_000),
            (dict.fromkeys(headers, "x"), body, now_ms),
        ]
        for bad_headers, bad_body, at_ms in wrong:
            with pytest.raises(WebhookSignatureWrong):
                await rig.gateway.read_webhook(bad_headers, bad_body, at_ms)
    assert len(ids) == len(sent)


async def test_webhooks_of_types_that_nobody_knows_are_kept(rig: Rig) -> None:
    sent = rig.listen()
    await rig.pay()
    event = json.loads(sent[-1])
    event |= {"id": "evt_new", "type": "invented.today", "event_type": "INVENTED.TODAY"}
    event["eventType"] = event["type"]
    body = json.dumps(event).encode()
    now_ms = int(rig.simulator.now()) * 1_000
    headers = rig.sign(body)
    read = await rig.gateway.read_webhook(headers, body, now_ms)
    assert read.event_id == headers.get("x-event-id", "evt_new")
    assert read.type.lower() == "invented.today"
    for nonsense in rig.nonsense:
        with pytest.raises(WebhookMalformed):
            await rig.gateway.read_webhook(rig.sign(nonsense), nonsense, now_ms)
