"""What only PayPal does: approvals, orders that are forgotten, money that is not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from integrations.payment_gateway import Return
from integrations.payment_gateway_paypal import PayPalGateway
from integrations.paypal_client import PayPalAccount, PayPalClient, minor, money, request_id
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    CallOutcomeUnknown,
    DisputeStatus,
    ProviderStatus,
)
from tests.contracts.payment_rigs import MANUAL, ORDER, PayPalRig, key, open_rig


@pytest.fixture
async def paypal() -> AsyncIterator[PayPalRig]:
    async with open_rig("paypal") as opened:
        yield opened


async def test_an_order_says_what_it_is_for_and_where_to_go(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(replace(ORDER, amount_minor=123_405), key())
    assert begun.status is ProviderStatus.REQUIRES_ACTION
    assert begun.action is not None
    assert begun.action.url == f"{paypal.url}/checkoutnow?token={begun.ref}"
    order = paypal.simulator.orders.orders[begun.ref]
    unit = order["purchase_units"][0]
    assert order["intent"] == "CAPTURE"
    assert unit["amount"] == {"currency_code": "USD", "value": "1234.05"}
    assert unit["custom_id"] == unit["invoice_id"] == ORDER.payment_id
    assert order["_context"]["return_url"] == order["_context"]["cancel_url"] == ORDER.return_url
    async with httpx.AsyncClient() as browser:
        page = await browser.get(begun.action.url)
        assert "1234.05 USD" in page.text
        back = await browser.post(begun.action.url, data={"outcome": "cancel"})
        assert back.headers["location"] == f"{ORDER.return_url}?token={begun.ref}"
    assert (await paypal.gateway.fetch(begun.ref)).status is ProviderStatus.REQUIRES_ACTION


async def test_nothing_is_taken_before_it_is_approved(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    seen = await paypal.gateway.capture(begun.ref, 10_000, "USD", key())
    assert (seen.status, seen.captured_minor) == (ProviderStatus.REQUIRES_ACTION, 0)
    held = await paypal.gateway.create(MANUAL, key())
    assert (await paypal.gateway.authorize(held.ref, key())).status is (
        ProviderStatus.REQUIRES_ACTION
    )


async def test_an_order_is_taken_as_a_whole(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    await paypal.approve(begun)
    with pytest.raises(CallDeclined):
        await paypal.gateway.capture(begun.ref, 9_999, "USD", key())
    taken = await paypal.gateway.capture(begun.ref, 10_000, "USD", key())
    assert taken.captured_minor == 10_000


@pytest.mark.parametrize("order", [ORDER, MANUAL])
async def test_it_happens_once_even_after_paypal_forgot_the_key(
    paypal: PayPalRig, order: Any
) -> None:
    begun = await paypal.gateway.create(order, key())
    await paypal.approve(begun)
    for _ in range(2):
        if order is MANUAL:
            await paypal.gateway.authorize(begun.ref, "authorize")
        taken = await paypal.gateway.capture(begun.ref, 10_000, "USD", "capture")
        given = await paypal.gateway.refund(Return(begun.ref, "r1", 4_000, "USD"), "refund")
        paypal.simulator.keys.known.clear()
    assert (taken.captured_minor, len(given.refunds)) == (10_000, 1)


async def test_an_answer_to_authorize_that_gets_lost(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(MANUAL, key())
    await paypal.approve(begun)
    paypal.faults({"on": "authorize", "do": "lose-answer"})
    with pytest.raises(CallOutcomeUnknown):
        await paypal.gateway.authorize(begun.ref, "same")
    held = await paypal.gateway.authorize(begun.ref, "same")
    assert held.status is ProviderStatus.AUTHORIZED


async def test_two_captures_at_once_take_once(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    await paypal.approve(begun)
    seen = await asyncio.gather(
        *(paypal.gateway.capture(begun.ref, 10_000, "USD", key()) for _ in range(3))
    )
    assert {one.captured_minor for one in seen} == {10_000}
    entries = paypal.simulator.books.entries
    assert len(entries) == 1


async def test_a_declined_instrument(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    await paypal.approve(begun, "declined")
    with pytest.raises(CallDeclined) as error:
        await paypal.gateway.capture(begun.ref, 10_000, "USD", key())
    assert error.value.params == {"reason": "INSTRUMENT_DECLINED"}


async def test_a_payer_has_something_left_to_do(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    await paypal.approve(begun, "action")
    same = key()
    asked = await paypal.gateway.capture(begun.ref, 10_000, "USD", same)
    assert (asked.status, asked.captured_minor) == (ProviderStatus.REQUIRES_ACTION, 0)
    assert asked.action is not None
    await paypal.approve(begun)
    taken = await paypal.gateway.capture(begun.ref, 10_000, "USD", same)
    assert taken.captured_minor == 10_000


@pytest.mark.parametrize(
    ("what", "status", "captured"),
    [("clear", ProviderStatus.CAPTURED, 10_000), ("bounce", ProviderStatus.FAILED, 0)],
)
async def test_money_that_is_not_there_yet(
    paypal: PayPalRig, what: str, status: ProviderStatus, captured: int
) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    await paypal.approve(begun, "echeck")
    pending = await paypal.gateway.capture(begun.ref, 10_000, "USD", key())
    assert (pending.status, pending.captured_minor) == (ProviderStatus.PROCESSING, 0)
    with pytest.raises(CallDeclined):
        await paypal.gateway.cancel(begun.ref, key())
    with pytest.raises(CallDeclined):
        await paypal.gateway.refund(Return(begun.ref, "r1", 1, "USD"), key())
    await paypal.post(f"/_simulator/{begun.ref}/{what}")
    seen = await paypal.gateway.fetch(begun.ref)
    assert (seen.status, seen.captured_minor) == (status, captured)


async def test_what_is_cancelled_before_it_is_approved_is_not_asked_for(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    ended = await paypal.gateway.cancel(begun.ref, key())
    assert (ended.status, ended.action) == (ProviderStatus.CANCELLED, None)
    assert ended.at_ms >= begun.at_ms
    await paypal.approve(begun)
    assert (await paypal.gateway.fetch(begun.ref)).status is ProviderStatus.APPROVED


async def test_an_order_that_paypal_forgot(paypal: PayPalRig) -> None:
    begun = await paypal.gateway.create(ORDER, key())
    await paypal.post(f"/_simulator/{begun.ref}/expire")
    with pytest.raises(CallDeclined):
        await paypal.gateway.fetch(begun.ref)
    ended = await paypal.gateway.cancel(begun.ref, key())
    assert (ended.status, ended.ref) == (ProviderStatus.EXPIRED, begun.ref)
    assert ended.at_ms >= begun.at_ms


async def test_a_dispute_that_ends_in_a_refund_is_counted_once(paypal: PayPalRig) -> None:
    taken = await paypal.pay()
    await paypal.gateway.refund(Return(taken.ref, "r1", 4_000, "USD"), key())
    await paypal.post(f"/_simulator/{taken.ref}/dispute")
    seen = await paypal.gateway.fetch(taken.ref)
    assert [one.amount_minor for one in seen.disputes] == [6_000]
    (dispute,) = paypal.simulator.disputes.known.values()
    dispute["dispute_amount"]["value"] = "100.00"  # as PayPal may tell: all that was paid
    dispute |= {"status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"}}
    (lost,) = (await paypal.gateway.fetch(taken.ref)).disputes
    assert (lost.amount_minor, lost.status) == (6_000, DisputeStatus.LOST)


async def test_refunds_of_ours_are_known_by_either_name(paypal: PayPalRig) -> None:
    taken = await paypal.pay()
    await paypal.gateway.refund(Return(taken.ref, "r1", 4_000, "USD"), key())
    (refund,) = paypal.simulator.orders.orders[taken.ref]["purchase_units"][0]["payments"][
        "refunds"
    ]
    assert (refund["custom_id"], refund["invoice_id"]) == (f"{ORDER.payment_id}/r1", "r1")
    for lost in ("custom_id", "invoice_id"):
        kept = dict(refund)
        refund.pop(lost)
        seen = await paypal.gateway.fetch(taken.ref)
        assert [one.refund_id for one in seen.refunds] == ["r1"]
        refund |= kept


async def test_a_token_that_was_revoked_is_renewed_once(paypal: PayPalRig) -> None:
    await paypal.gateway.create(ORDER, key())
    paypal.simulator.tokens.clear()
    seen = await asyncio.gather(*(paypal.gateway.create(ORDER, key()) for _ in range(5)))
    assert len({one.ref for one in seen}) == 5
    assert len(paypal.simulator.tokens) == 1


class Script:
    """Answers in a row, for what a stand-in would not do."""

    def __init__(self, *answers: httpx.Response | Exception, lasts_s: float = 600) -> None:
        self.answers, self.lasts_s = list(answers), lasts_s
        self.tokens, self.now_s = 0, 0.0
        self.keys: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/oauth2/token":
            self.tokens += 1
            return httpx.Response(200, json={"access_token": "t", "expires_in": self.lasts_s})
        self.keys.append(request.headers.get("paypal-request-id", ""))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def gateway(self) -> PayPalGateway:
        return PayPalGateway(self.client())

    def client(self) -> PayPalClient:
        def open_http(**options: Any) -> httpx.AsyncClient:
            return httpx.AsyncClient(transport=httpx.MockTransport(self), **options)

        return PayPalClient(PayPalAccount("id", "secret"), open_http, lambda: self.now_s)


def order_at(update_time: str) -> httpx.Response:
    unit = {"amount": money(10_000, "USD"), "custom_id": ORDER.payment_id}
    return httpx.Response(
        200,
        json={
            "id": "O",
            "intent": "CAPTURE",
            "status": "APPROVED",
            "purchase_units": [unit],
            "update_time": update_time,
        },
    )


async def test_each_approval_has_a_key_of_its_own() -> None:
    """PayPal may answer a key that it declined with the same words, whatever happened since."""
    first, second = "2026-11-28T06:00:00Z", "2026-11-28T06:05:00Z"
    declined = [said(422, "INSTRUMENT_DECLINED") for _ in range(3)]
    script = Script(
        *(order_at(first), declined[0], order_at(first), declined[1], order_at(second), declined[2])
    )
    gateway = script.gateway()
    for _ in range(3):
        with pytest.raises(CallDeclined):
            await gateway.capture("O", 10_000, "USD", "k")
    keys = [key for key in script.keys if key]
    assert keys == [f"k:{first}", f"k:{first}", f"k:{second}"]


def said(status: int, issue: str = "", name: str = "X") -> httpx.Response:
    details = [{"issue": issue}] if issue else []
    return httpx.Response(status, json={"name": name, "details": details})


@pytest.mark.parametrize(
    ("answers", "error", "reason"),
    [
        ([said(400, "INVALID_PARAMETER_VALUE")], CallDeclined, "INVALID_PARAMETER_VALUE"),
        ([said(422, "CURRENCY_NOT_SUPPORTED")], CallDeclined, "CURRENCY_NOT_SUPPORTED"),
        ([said(401), said(401, name="AUTHENTICATION_FAILURE")], CallNotSent,
         "AUTHENTICATION_FAILURE"),
        ([said(403, "PERMISSION_DENIED")], CallNotSent, "PERMISSION_DENIED"),
        ([said(429, name="RATE_LIMIT_REACHED")], CallNotSent, "RATE_LIMIT_REACHED"),
        ([said(409, "PREVIOUS_REQUEST_IN_PROGRESS")], CallOutcomeUnknown,
         "PREVIOUS_REQUEST_IN_PROGRESS"),
        ([said(422, "ORDER_COMPLETION_IN_PROGRESS")], CallOutcomeUnknown,
         "ORDER_COMPLETION_IN_PROGRESS"),
        ([said(500, name="INTERNAL_SERVER_ERROR")], CallOutcomeUnknown, "INTERNAL_SERVER_ERROR"),
        ([httpx.Response(503, text="<html>")], CallOutcomeUnknown, "http-503"),
        ([httpx.Response(302)], CallOutcomeUnknown, "http-302"),
        ([httpx.Response(201, text="<html>")], CallOutcomeUnknown, "no-json"),
        ([httpx.Response(201, json={"id": "O"})], CallOutcomeUnknown, "answer-not-understood"),
        ([httpx.ConnectError("x")], CallNotSent, "not-reached"),
        ([httpx.PoolTimeout("x")], CallNotSent, "not-reached"),
        ([httpx.ReadTimeout("x")], CallOutcomeUnknown, "connection"),
        ([httpx.RemoteProtocolError("x")], CallOutcomeUnknown, "connection"),
    ],
)  # fmt: skip
async def test_what_each_answer_means(
    answers: list[httpx.Response | Exception], error: type[Exception], reason: str
) -> None:
    script = Script(*answers)
    with pytest.raises(error) as raised:
        await script.gateway().create(ORDER, "k")
    assert raised.value.params["reason"] == reason  # type: ignore[attr-defined]
    assert set(script.keys) == {"k"}


async def test_a_token_is_used_until_shortly_before_it_ends() -> None:
    script = Script(*(said(400) for _ in range(4)), lasts_s=600)
    client = script.client()
    for now_s, tokens in ((0.0, 1), (539.0, 1), (541.0, 2), (1_000.0, 2)):
        script.now_s = now_s
        with pytest.raises(CallDeclined):
            await client.get("/x")
        assert script.tokens == tokens
    await client.close()


async def test_without_a_token_nothing_was_asked(paypal: PayPalRig) -> None:
    paypal.faults({"on": "token", "do": "500"})
    with pytest.raises(CallNotSent) as error:
        await paypal.gateway.create(ORDER, key())
    assert error.value.params["reason"] == "no-access-token"
    await paypal.gateway.create(ORDER, key())


def test_keys_fit() -> None:
    assert request_id("a" * 108) == "a" * 108
    assert len(request_id("a" * 109)) == 64
    assert request_id("a" * 109) != request_id("a" * 110)


@given(st.integers(0, 10**15), st.sampled_from(["USD", "EUR", "GBP"]))
def test_amounts_are_exact(amount: int, currency: str) -> None:
    said = money(amount, currency)
    assert minor(said) == amount
    assert len(said["value"].partition(".")[2]) == 2


@pytest.mark.parametrize("value", ["1.001", "-1.00", "1e3", "", "NaN", "1,00", "١.٠٠"])
def test_what_is_no_amount(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        minor({"currency_code": "USD", "value": value})
