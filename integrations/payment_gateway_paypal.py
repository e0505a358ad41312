"""PayPal's Orders v2 behind the port.

An order is made, its payer approves it on PayPal's page, and then we take it: at once, or first
authorise it and take a part later. Nothing is ever taken unless we ask, so an order that was not
taken is cancelled by not asking; PayPal forgets it by itself (then it is not found any more).

Every operation looks at the order first and asks only for what is not done yet, so it happens once
even after PayPal has forgotten its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from integrations.payment_gateway import Order, Return
from integrations.payment_gateway_paypal_snapshots import (
    HOLDING,
    TAKEN,
    authorizations,
    captures,
    named,
    payment_id,
    refund_of,
    snapshot,
    taking_minor,
)
from integrations.payment_gateway_paypal_webhooks import WebhookVerifier, read_event
from integrations.paypal_client import Answer, Json, PayPalClient, minor, money, path_part
from messages.payments.gateways import (
    CallDeclined,
    CallNotSent,
    CallOutcomeUnknown,
    GatewayName,
    ProviderStatus,
    Snapshot,
)
from messages.payments.payments import Capture
from messages.payments.webhooks import PART, WebhookEvent

ORDERS = "/v2/checkout/orders"
AUTHORIZATIONS = "/v2/payments/authorizations"
CAPTURES = "/v2/payments/captures"
DISPUTES = "/v1/customer/disputes"
MAX_TEXT = 127
NOT_FOUND = 404
# What cannot be done because it, or something that rules it out, is done: look what it was.
DONE = frozenset(
    {
        "ORDER_ALREADY_CAPTURED",
        "ORDER_ALREADY_AUTHORIZED",
        "ORDER_COMPLETED_OR_VOIDED",
        "AUTHORIZATION_ALREADY_CAPTURED",
        "PREVIOUSLY_VOIDED",
        "AUTHORIZATION_VOIDED",
        "DUPLICATE_INVOICE_ID",
        "PAYER_ACTION_REQUIRED",
    }
)


class PayPalGateway:
    """The port to PayPal."""

    name = GatewayName.PAYPAL
    healthy = True

    def __init__(self, client: PayPalClient) -> None:
        self._client = client
        self._webhooks = WebhookVerifier(client.account)

    async def create(self, order: Order, key: str) -> Snapshot:
        """Make an order, to be approved on PayPal's page."""
        context = {
            "user_action": "PAY_NOW",
            "shipping_preference": "NO_SHIPPING",
            "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
        }
        if order.return_url:
            context |= {"return_url": order.return_url, "cancel_url": order.return_url}
        unit = {
            "amount": money(order.amount_minor, order.currency),
            "custom_id": order.payment_id,
            "invoice_id": order.payment_id,
            "description": order.description[:MAX_TEXT],
        }
        asked = {
            "intent": "AUTHORIZE" if order.capture is Capture.MANUAL else "CAPTURE",
            "purchase_units": [unit],
            "payment_source": {"paypal": {"experience_context": context}},
        }
        return _seen(await self._client.post(ORDERS, asked, key))

    async def authorize(self, ref: str, key: str) -> Snapshot:
        """Hold what the payer approved."""
        found = await self._order(ref)
        if authorizations(found.body) or found.body.get("status") != "APPROVED":
            return _seen(found)
        path, fresh = f"{ORDERS}/{path_part(ref)}/authorize", _once_approved(key, found.body)
        try:
            return _seen(await self._client.post(path, {}, fresh))
        except CallDeclined as declined:
            return await self._unless(declined, ref, lambda order: bool(authorizations(order)))

    async def capture(self, ref: str, amount_minor: int, currency: str, key: str) -> Snapshot:
        """Take what is held, or a part, and let go the rest; or all that was approved."""
        found = await self._order(ref)
        order = found.body
        if taking_minor(order) == amount_minor:
            return await self._whole(found)
        asked: Json = {"amount": money(amount_minor, currency), "final_capture": True}
        if held := authorizations(order):
            path = f"{AUTHORIZATIONS}/{path_part(held[-1]['id'])}/capture"
        elif order.get("status") != "APPROVED":
            return _seen(found)
        elif minor(order["purchase_units"][0]["amount"]) != amount_minor:
            raise CallDeclined(reason="only-all-of-an-order")
        else:
            path, asked = f"{ORDERS}/{path_part(ref)}/capture", {}
            key = _once_approved(key, order)
        try:
            await self._client.post(path, asked, key)
        except CallDeclined as declined:
            return await self._unless(declined, ref, lambda o: taking_minor(o) == amount_minor)
        return await self._look_after(ref)

    async def cancel(self, ref: str, key: str) -> Snapshot:
        """Let go what is held; what is only approved is never asked for."""
        found = await self._client.get(f"{ORDERS}/{path_part(ref)}", also=(NOT_FOUND,))
        if found.status == NOT_FOUND:
            return Snapshot(ref, ProviderStatus.EXPIRED, found.at_ms)
        if taking_minor(found.body):
            raise CallDeclined(reason="taken")
        held = [one for one in authorizations(found.body) if one["status"] in HOLDING]
        for one in held:
            try:
                await self._client.post(f"{AUTHORIZATIONS}/{path_part(one['id'])}/void", {}, key)
            except CallDeclined as declined:
                if declined.params.get("reason") not in DONE:
                    raise
        if held:
            return await self._look_after(ref)
        seen = _seen(found)
        at_ms = max(seen.at_ms, found.at_ms)
        return replace(seen, status=ProviderStatus.CANCELLED, at_ms=at_ms, action=None)

    async def refund(self, refund: Return, key: str) -> Snapshot:
        """Give back, and look at the whole."""
        found = await self._order(refund.ref)
        if refund_of(found.body, refund.refund_id) is None:
            taken = [one for one in captures(found.body) if one["status"] in TAKEN]
            if not taken:
                raise CallDeclined(reason="nothing-taken")
            asked: Json = {
                "amount": money(refund.amount_minor, refund.currency),
                "invoice_id": refund.refund_id,
                "custom_id": named(payment_id(found.body), refund.refund_id),
            }
            path = f"{CAPTURES}/{path_part(taken[0]['id'])}/refund"
            try:
                await self._client.post(path, asked, key)
            except CallDeclined as declined:
                return await self._unless(
                    declined, refund.ref, lambda o: refund_of(o, refund.refund_id) is not None
                )
        return await self._look_after(refund.ref)

    async def fetch(self, ref: str) -> Snapshot:
        """The order as it is, with its disputes. `ref` may name a capture of it (`part:<id>`)."""
        if ref.startswith(PART):
            ref = await self._order_of(ref.removeprefix(PART))
        return await self._whole(await self._order(ref))

    async def read_webhook(
        self, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> WebhookEvent:
        """Check PayPal's signature, and read."""
        await self._webhooks.check(headers, body, now_ms)
        return read_event(body)

    async def close(self) -> None:
        """Let go of connections."""
        await self._webhooks.close()
        await self._client.close()

    async def _order(self, ref: str) -> Answer:
        return await self._client.get(f"{ORDERS}/{path_part(ref)}")

    async def _order_of(self, capture_id: str) -> str:
        found = await self._client.get(f"{CAPTURES}/{path_part(capture_id)}")
        related = (found.body.get("supplementary_data") or {}).get("related_ids") or {}
        if not related.get("order_id"):
            raise CallDeclined(reason="not-of-an-order")
        return str(related["order_id"])

    async def _whole(self, found: Answer) -> Snapshot:
        """With the disputes of what was taken."""
        disputes: list[Json] = []
        for one in captures(found.body):
            params: dict[str, str | int] = {
                "disputed_transaction_id": str(one["id"]),
                "page_size": 50,
            }
            listed = (await self._client.get(DISPUTES, params)).body.get("items") or []
            for item in listed:
                # Only the dispute itself says how it ended.
                ended = item.get("status") == "RESOLVED"
                path = f"{DISPUTES}/{path_part(item['dispute_id'])}"
                disputes.append((await self._client.get(path)).body if ended else item)
        return _seen(found, disputes)

    async def _unless(
        self, declined: CallDeclined, ref: str, is_done: Callable[[Json], bool]
    ) -> Snapshot:
        """Look whether what was declined is done already, or waits for its payer; else raise."""
        reason = declined.params.get("reason")
        if reason not in DONE:
            raise declined
        try:
            found = await self._order(ref)
            waits = reason == "PAYER_ACTION_REQUIRED" and found.body.get("status") == reason
            if not (waits or is_done(found.body)):
                raise declined
            return await self._whole(found)
        except CallNotSent as error:
            raise CallOutcomeUnknown(reason=str(error.params.get("reason", ""))) from None

    async def _look_after(self, ref: str) -> Snapshot:
        """Look at what was certainly done. Not seeing it now does not undo it."""
        try:
            return await self._whole(await self._order(ref))
        except (CallNotSent, CallDeclined) as error:
            raise CallOutcomeUnknown(reason=str(error.params.get("reason", ""))) from None


def _seen(found: Answer, disputes: Sequence[Json] = ()) -> Snapshot:
    try:
        return snapshot(found.body, disputes, found.at_ms)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise CallOutcomeUnknown(reason="answer-not-understood") from None


def _once_approved(key: str, order: Json) -> str:
    """A key of its own for each approval: one that PayPal declined may be approved again."""
    return f"{key}:{order.get('update_time', '')}"
