"""PayPal's books: its transaction search, a month at a time and page by page.

What a movement is, its event code tells (PayPal: "Transaction event codes"). PayPal says of what a
movement is a part by the id of a capture or of an order; charges are told by their order, so that
of a capture is asked for where PayPal does not say it. Movements appear within three hours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from integrations.paypal_client import Json, PayPalClient, minor, moment_ms, path_part, timestamp
from messages.keys import is_id
from messages.payments.gateways import CallDeclined, CallOutcomeUnknown, GatewayName
from messages.payments.records import EntryKind, ProviderEntry

TRANSACTIONS = "/v1/reporting/transactions"
CAPTURES = "/v2/payments/captures"
WINDOW_MS = 31 * 86_400_000
PAGE = 500
SETTLED = frozenset({"S", "V"})  # V: settled, and reversed by another movement since
PAYOUT = "T0001"
KINDS = {
    "T1106": EntryKind.DISPUTE,  # a payment reversed by PayPal
    "T1107": EntryKind.REFUND,
    "T1110": EntryKind.DISPUTE,  # held while a dispute is looked into
    "T1111": EntryKind.DISPUTE_WON,
    "T1114": EntryKind.PAYOUT_FAILED,
    "T1115": EntryKind.PAYOUT_FAILED,
    "T1201": EntryKind.DISPUTE,
    "T1202": EntryKind.DISPUTE_WON,
}


class PayPalRecords:
    """The port to PayPal's books."""

    name = GatewayName.PAYPAL

    def __init__(self, client: PayPalClient) -> None:
        self._client = client

    async def entries(self, since_ms: int, until_ms: int) -> AsyncIterator[ProviderEntry]:
        """All movements of [since_ms, until_ms), each once."""
        orders: dict[str, str] = {}
        seen: set[tuple[str, str]] = set()  # windows share their edges
        try:
            for first_ms, last_ms in _windows(since_ms, until_ms):
                async for info in self._search(first_ms, last_ms):
                    entry = await self._entry(info, orders)
                    if entry is None or not since_ms <= entry.at_ms < until_ms:
                        continue
                    if (entry.ref, entry.kind) not in seen:
                        seen.add((entry.ref, entry.kind))
                        yield entry
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CallOutcomeUnknown(reason="answer-not-understood") from None

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _search(self, first_ms: int, last_ms: int) -> AsyncIterator[Json]:
        page, pages = 1, 1
        while page <= pages:
            params: dict[str, str | int] = {
                "start_date": timestamp(first_ms),
                "end_date": timestamp(last_ms),
                "fields": "transaction_info",
                "page_size": PAGE,
                "page": page,
            }
            try:
                body = (await self._client.get(TRANSACTIONS, params)).body
            except CallDeclined as declined:
                raise CallOutcomeUnknown(reason=str(declined.params.get("reason", ""))) from None
            for one in body.get("transaction_details") or []:
                yield one["transaction_info"]
            pages = int(body.get("total_pages") or 1)
            page += 1

    async def _entry(self, info: Json, orders: dict[str, str]) -> ProviderEntry | None:
        amount = info["transaction_amount"]
        sign, value = _signed(str(amount["value"]))
        kind = _kind(str(info["transaction_event_code"]), sign)
        if kind is None or info.get("transaction_status") not in SETTLED:
            return None
        ref = str(info["transaction_id"])
        reference = str(info.get("paypal_reference_id") or "")
        charge_ref = reference or ref
        if kind not in {EntryKind.PAYOUT, EntryKind.PAYOUT_FAILED}:
            capture_id = ref if kind is EntryKind.CAPTURE else reference
            if kind is EntryKind.CAPTURE and info.get("paypal_reference_id_type") == "ODR":
                orders[ref] = reference
            charge_ref = await self._order_of(capture_id, orders)
        fee = info.get("fee_amount")
        return ProviderEntry(
            ref=ref,
            kind=kind,
            charge_ref=charge_ref,
            amount_minor=sign * minor({**amount, "value": value}),
            currency=str(amount["currency_code"]),
            at_ms=moment_ms(info["transaction_initiation_date"]),
            fee_minor=minor({**fee, "value": _signed(str(fee["value"]))[1]}) if fee else 0,
            our_id=_our_id(info),
        )

    async def _order_of(self, capture_id: str, orders: dict[str, str]) -> str:
        """The order that a capture is of; itself if PayPal does not know."""
        if capture_id and capture_id not in orders:
            try:
                found = (await self._client.get(f"{CAPTURES}/{path_part(capture_id)}")).body
            except CallDeclined:
                found = {}
            related = (found.get("supplementary_data") or {}).get("related_ids") or {}
            orders[capture_id] = str(related.get("order_id") or capture_id)
        return orders.get(capture_id, "")


def _windows(since_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
    while since_ms < until_ms:
        last_ms = min(since_ms + WINDOW_MS, until_ms)
        yield since_ms, last_ms
        since_ms = last_ms


def _kind(code: str, sign: int) -> EntryKind | None:
    """What a movement is; None for what is none of a charge or a payout (fees, holds, exchange)."""
    if code == PAYOUT:
        return EntryKind.PAYOUT if sign < 0 else None
    if code.startswith("T00"):
        return EntryKind.CAPTURE if sign > 0 else None
    kind = KINDS.get(code)
    if kind is EntryKind.REFUND and sign > 0:
        return EntryKind.REFUND_FAILED
    return kind


def _signed(value: str) -> tuple[int, str]:
    return (-1, value[1:]) if value.startswith("-") else (1, value)


def _our_id(info: Json) -> str:
    """What we named it: a refund's name begins with its payment."""
    for name in ("custom_field", "invoice_id"):
        ours = str(info.get(name) or "").partition("/")[0]
        if is_id(ours):
            return ours
    return ""
