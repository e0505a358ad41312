"""PayPal's Payouts behind the port: a batch of one for each payout.

`sender_batch_id` is ours, and PayPal refuses a second batch of that id for thirty days, with a link
to the first. That is also the only way to find a batch by our id, so a payout that is looked for
without PayPal's own id is sent if it never was: it happens once either way.
"""

from __future__ import annotations

from integrations.paypal_client import (
    Answer,
    Json,
    PayPalClient,
    minor,
    moment_ms,
    money,
    path_part,
)
from messages.payments.gateways import CallDeclined, CallOutcomeUnknown
from messages.payments.payout_orders import (
    PayoutOrder,
    PayoutProgress,
    PayoutProvider,
    PayoutSnapshot,
)

PAYOUTS = "/v1/payments/payouts"
REFUSED = 400
MAX_NOTE = 1_000
PROGRESS = {
    "SUCCESS": PayoutProgress.PAID,
    # It left our account and waits for somebody to open one; after thirty days it is returned.
    "UNCLAIMED": PayoutProgress.PAID,
    "FAILED": PayoutProgress.FAILED,
    "BLOCKED": PayoutProgress.FAILED,
    "RETURNED": PayoutProgress.RETURNED,
    "REFUNDED": PayoutProgress.RETURNED,
    "REVERSED": PayoutProgress.RETURNED,
}
ENDED_BATCHES = frozenset({"DENIED", "CANCELED"})


class PayPalPayouts:
    """The port to PayPal."""

    name = PayoutProvider.PAYPAL

    def __init__(self, client: PayPalClient) -> None:
        self._client = client

    async def pay(self, order: PayoutOrder, key: str) -> PayoutSnapshot:
        """Send a batch of one, and look at it."""
        number = await self._send(order, key)
        try:
            return await self._look(number, order.currency)
        except CallDeclined as declined:
            raise CallOutcomeUnknown(reason=str(declined.params.get("reason", ""))) from None

    async def find(self, order: PayoutOrder, ref: str) -> PayoutSnapshot:
        """The batch as it is; without its id, whatever `pay` comes to."""
        if not ref:
            return await self.pay(order, order.payout_id)
        return await self._look(ref, order.currency)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _send(self, order: PayoutOrder, key: str) -> str:
        """The id of the batch, sent now or before."""
        amount = money(order.amount_minor, order.currency)
        item = {
            "recipient_type": "EMAIL" if "@" in order.destination else "PAYPAL_ID",
            "receiver": order.destination,
            "amount": {"currency": amount["currency_code"], "value": amount["value"]},
            "note": order.description[:MAX_NOTE],
            "sender_item_id": order.payout_id,
        }
        asked = {"sender_batch_header": {"sender_batch_id": order.payout_id}, "items": [item]}
        answer = await self._client.post(PAYOUTS, asked, key, also=(REFUSED,))
        if answer.status == REFUSED:
            return _earlier(answer)
        try:
            return str(answer.body["batch_header"]["payout_batch_id"])
        except (KeyError, TypeError):
            raise CallOutcomeUnknown(reason="answer-not-understood") from None

    async def _look(self, number: str, currency: str) -> PayoutSnapshot:
        answer = await self._client.get(f"{PAYOUTS}/{path_part(number)}")
        try:
            return _snapshot(answer, currency)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            raise CallOutcomeUnknown(reason="answer-not-understood") from None


def _earlier(refused: Answer) -> str:
    """The batch that an id is taken by. Raises CallDeclined if it is refused for another reason."""
    for link in refused.body.get("links") or []:
        address, _, number = str(link.get("href", "")).rpartition("/")
        if address.endswith(PAYOUTS) and number:
            return number
    raise CallDeclined(reason=refused.issue)


def _snapshot(answer: Answer, currency: str) -> PayoutSnapshot:
    head = answer.body["batch_header"]
    items = answer.body.get("items") or []
    item: Json = items[0] if items else {}
    status = str(item.get("transaction_status", ""))
    progress = PROGRESS.get(status, PayoutProgress.PENDING)
    failure = status if progress is not PayoutProgress.PAID or status == "UNCLAIMED" else ""
    if head.get("batch_status") in ENDED_BATCHES:
        progress, failure = PayoutProgress.FAILED, str(head["batch_status"])
    if progress is PayoutProgress.PENDING:
        failure = ""
    moment = item.get("time_processed") or head.get("time_completed") or head.get("time_created")
    return PayoutSnapshot(
        ref=str(head["payout_batch_id"]),
        progress=progress,
        at_ms=moment_ms(moment) or answer.at_ms,
        fee_minor=_fee_minor(item, currency),
        failure=str((item.get("errors") or {}).get("name") or failure)[:64],
    )


def _fee_minor(item: Json, currency: str) -> int:
    """What PayPal keeps on top, if that is of the payout's currency."""
    fee = item.get("payout_item_fee") or {}
    if fee.get("currency") != currency:
        return 0
    return minor({"currency_code": currency, "value": fee["value"]})
