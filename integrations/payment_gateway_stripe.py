"""Stripe's PaymentIntents behind the port, through Stripe's own library.

Stripe keeps an idempotency key for a day and then answers the same body again, which may be old by
now: an answer that says so is followed by a look. Moments are those of Stripe's clock (the `Date`
of its answer), since a PaymentIntent does not say when it came to be in its status.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import stripe

from integrations.payment_gateway import Order, Return
from integrations.stripe_client import OpenHttp, StripeHttp, StripeSettings, ask, open_client
from messages.payments.gateways import (
    CallNotSent,
    CallOutcomeUnknown,
    DisputeStatus,
    GatewayName,
    NextAction,
    ProviderDispute,
    ProviderRefund,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)
from messages.payments.payments import Capture
from messages.payments.webhooks import About, WebhookEvent, WebhookMalformed, WebhookSignatureWrong

TOLERANCE_MS = 300_000
EXPAND = ["latest_charge.refunds", "latest_charge.dispute"]
STATUS = {
    "requires_payment_method": ProviderStatus.REQUIRES_ACTION,
    "requires_confirmation": ProviderStatus.REQUIRES_ACTION,
    "requires_action": ProviderStatus.REQUIRES_ACTION,
    "processing": ProviderStatus.PROCESSING,
    "requires_capture": ProviderStatus.AUTHORIZED,
    "succeeded": ProviderStatus.CAPTURED,
    "canceled": ProviderStatus.CANCELLED,
}
RETURNS = {"succeeded": ReturnStatus.SUCCEEDED, "failed": ReturnStatus.FAILED,
           "canceled": ReturnStatus.FAILED}  # fmt: skip
ABOUT = {"transfer": About.PAYOUT, "account": About.ACCOUNT}
DISPUTES = {"won": DisputeStatus.WON, "lost": DisputeStatus.LOST}


class StripeGateway:
    """The port to Stripe."""

    name = GatewayName.STRIPE
    healthy = True

    def __init__(self, settings: StripeSettings, open_http: OpenHttp | None = None) -> None:
        self._settings = settings
        self._http = StripeHttp(settings.timeout_s, open_http)
        self._client = open_client(settings, self._http)

    async def create(self, order: Order, key: str) -> Snapshot:
        """Make a PaymentIntent, and confirm it if the page gave a card."""
        params: dict[str, Any] = {
            "amount": order.amount_minor,
            "currency": order.currency.lower(),
            "capture_method": "manual" if order.capture is Capture.MANUAL else "automatic",
            "description": order.description,
            "metadata": {"payment_id": order.payment_id},
            "expand": EXPAND,
        }
        if order.source:
            # A saved card is `customer/card`; its owner is there, so it is no off-session payment.
            customer, _, card = order.source.rpartition("/")
            params |= {"payment_method": card, "confirm": True}
            if customer:
                params["customer"] = customer
            if order.return_url:
                params["return_url"] = order.return_url
        intents = self._client.v1.payment_intents
        return await self._ask(lambda: intents.create_async(params, self._options(key)))  # type: ignore[arg-type]

    async def authorize(self, ref: str, key: str) -> Snapshot:
        """Look: a PaymentIntent holds what its payer agreed to by itself."""
        return await self.fetch(ref)

    async def capture(self, ref: str, amount_minor: int, currency: str, key: str) -> Snapshot:
        """Take what was authorised, or a part."""
        params: Any = {"amount_to_capture": amount_minor, "expand": EXPAND}
        intents = self._client.v1.payment_intents
        return await self._ask(lambda: intents.capture_async(ref, params, self._options(key)))

    async def cancel(self, ref: str, key: str) -> Snapshot:
        """Let the intent go."""
        params: Any = {"expand": EXPAND}
        intents = self._client.v1.payment_intents
        return await self._ask(lambda: intents.cancel_async(ref, params, self._options(key)))

    async def refund(self, refund: Return, key: str) -> Snapshot:
        """Give back, and look at the whole."""
        params: Any = {
            "payment_intent": refund.ref,
            "amount": refund.amount_minor,
            "metadata": {"refund_id": refund.refund_id},
        }
        refunds = self._client.v1.refunds
        await ask(lambda: refunds.create_async(params, self._options(key)))
        return await self._look_after(refund.ref)

    async def fetch(self, ref: str) -> Snapshot:
        """The intent as it is."""
        params: Any = {"expand": EXPAND}
        intents = self._client.v1.payment_intents
        intent = await ask(lambda: intents.retrieve_async(ref, params))
        return _snapshot(intent)

    async def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> WebhookEvent:
        """Check `t,v1` over the raw body (Stripe: "Verify webhook signatures manually")."""
        try:
            self._verify(body, headers.get("stripe-signature"))
            fields = dict(
                part.split("=", 1) for part in headers["stripe-signature"].split(",") if "=" in part
            )
            signed_ms = int(fields["t"]) * 1_000
        except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError, KeyError):
            raise WebhookSignatureWrong from None
        if abs(now_ms - signed_ms) > TOLERANCE_MS:
            raise WebhookSignatureWrong
        try:
            return _event(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise WebhookMalformed from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    def _verify(self, body: bytes, signature: str | None) -> None:
        """By the secret of either endpoint: what connected accounts tell comes by its own."""
        own, connect = self._settings.webhook_secret, self._settings.connect_secret
        try:
            stripe.WebhookSignature.verify_header(body, signature, own)
        except stripe.SignatureVerificationError:
            if not connect:
                raise
            stripe.WebhookSignature.verify_header(body, signature, connect)

    def _options(self, key: str) -> Any:
        return {"idempotency_key": key}

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Snapshot:
        intent = await ask(call)
        answer = getattr(intent, "last_response", None)
        if answer is not None and answer.headers.get("idempotent-replayed") == "true":
            return await self._look_after(intent.id)
        return _snapshot(intent)

    async def _look_after(self, ref: str) -> Snapshot:
        """Look at what was certainly done. Not reaching Stripe now does not undo it."""
        try:
            return await self.fetch(ref)
        except CallNotSent as error:
            raise CallOutcomeUnknown(reason=str(error.params.get("reason", ""))) from None


def _snapshot(intent: Any) -> Snapshot:
    at_ms = _answered_at_ms(intent)
    charge = intent.latest_charge if not isinstance(intent.latest_charge, str) else None
    status = STATUS.get(intent.status, ProviderStatus.PROCESSING)
    failed = intent.last_payment_error
    if intent.status == "requires_payment_method" and failed is not None:
        status = ProviderStatus.FAILED
    return Snapshot(
        ref=intent.id,
        status=status,
        at_ms=at_ms,
        captured_minor=intent.amount_received or 0,
        refunds=_refunds(charge, at_ms),
        disputes=_disputes(charge, at_ms),
        action=_action(intent) if status is ProviderStatus.REQUIRES_ACTION else None,
        failure=str(failed.code or "declined") if failed is not None else "",
    )


def _answered_at_ms(intent: Any) -> int:
    answer = getattr(intent, "last_response", None)
    told = answer.headers.get("date") if answer is not None else None
    if told is None:
        return int(intent.created) * 1_000
    return int(parsedate_to_datetime(told).timestamp()) * 1_000


def _refunds(charge: Any, at_ms: int) -> tuple[ProviderRefund, ...]:
    if charge is None or charge.refunds is None:
        return ()
    return tuple(
        ProviderRefund(
            ref=one.id,
            amount_minor=one.amount,
            status=RETURNS.get(one.status or "", ReturnStatus.PENDING),
            at_ms=at_ms,
            refund_id=(one.metadata.to_dict() if one.metadata else {}).get("refund_id", ""),
        )
        for one in charge.refunds.data
    )


def _disputes(charge: Any, at_ms: int) -> tuple[ProviderDispute, ...]:
    dispute = getattr(charge, "dispute", None)
    # An inquiry (`warning_…`) takes no money.
    if dispute is None or isinstance(dispute, str) or dispute.status.startswith("warning_"):
        return ()
    status = DISPUTES.get(dispute.status, DisputeStatus.OPEN)
    return (ProviderDispute(dispute.id, dispute.amount, status, at_ms),)


def _action(intent: Any) -> NextAction:
    action = intent.next_action
    redirect = getattr(action, "redirect_to_url", None) if action is not None else None
    return NextAction(getattr(redirect, "url", "") or "", intent.client_secret or "")


def _event(event: dict[str, Any]) -> WebhookEvent:
    thing = event["data"]["object"]
    about = ABOUT.get(thing.get("object"), About.CHARGE)
    is_whole = thing.get("object") in {"payment_intent", *ABOUT}
    ref = thing["id"] if is_whole else thing.get("payment_intent")
    metadata = thing.get("metadata") or {}
    our_id = metadata.get("payout_id" if about is About.PAYOUT else "payment_id", "")
    return WebhookEvent(
        event_id=str(event["id"]),
        type=str(event["type"]),
        at_ms=int(event["created"]) * 1_000,
        ref=str(ref or ""),
        payment_id=str(our_id) if is_whole else "",
        about=about,
    )
