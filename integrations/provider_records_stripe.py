"""Stripe's books: its balance transactions, page by page, each with what it is of.

A balance transaction is in the currency that the account is settled in. Where the charge was in
another, the charge's own amount counts, and the fee is brought back by the rate that Stripe used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

from integrations.stripe_client import OpenHttp, StripeHttp, StripeSettings, ask, open_client
from messages.payments.gateways import GatewayName
from messages.payments.records import EntryKind, ProviderEntry

PAGE = 100
KINDS = {
    "charge": EntryKind.CAPTURE,
    "payment": EntryKind.CAPTURE,
    "refund": EntryKind.REFUND,
    "payment_refund": EntryKind.REFUND,
    "refund_failure": EntryKind.REFUND_FAILED,
    "payment_failure_refund": EntryKind.REFUND_FAILED,
    "transfer": EntryKind.PAYOUT,
    "transfer_refund": EntryKind.PAYOUT_FAILED,
    "transfer_cancel": EntryKind.PAYOUT_FAILED,
    "transfer_failure": EntryKind.PAYOUT_FAILED,
}
# An adjustment says what it is of by its category.
ADJUSTMENTS = {"dispute": EntryKind.DISPUTE, "dispute_reversal": EntryKind.DISPUTE_WON}
LEAVING = frozenset({EntryKind.REFUND, EntryKind.DISPUTE, EntryKind.PAYOUT})
PAYOUTS = frozenset({EntryKind.PAYOUT, EntryKind.PAYOUT_FAILED})


class StripeRecords:
    """The port to Stripe's books."""

    name = GatewayName.STRIPE

    def __init__(self, settings: StripeSettings, open_http: OpenHttp | None = None) -> None:
        self._http = StripeHttp(settings.timeout_s, open_http)
        self._client = open_client(settings, self._http)

    async def entries(self, since_ms: int, until_ms: int) -> AsyncIterator[ProviderEntry]:
        """All movements of the period. Stripe's moments are whole seconds."""
        after = ""
        while True:
            page = await self._page(since_ms, until_ms, after)
            for one in page.data:
                entry = _entry(one)
                if entry is not None and since_ms <= entry.at_ms < until_ms:
                    yield entry
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _page(self, since_ms: int, until_ms: int, after: str) -> Any:
        params: Any = {
            "created": {"gte": since_ms // 1_000, "lt": -(-until_ms // 1_000)},
            "limit": PAGE,
            "expand": ["data.source"],
        }
        if after:
            params["starting_after"] = after
        return await ask(lambda: self._client.v1.balance_transactions.list_async(params))


def _entry(transaction: Any) -> ProviderEntry | None:
    """The entry, if it is of a charge or a payout; our account's own fees and payouts are not."""
    kind = KINDS.get(transaction.type)
    if transaction.type == "adjustment":
        kind = ADJUSTMENTS.get(transaction.reporting_category)
    source = transaction.source
    if kind is None or source is None or isinstance(source, str):
        return None
    told = source.to_dict()
    amount, currency, fee = _money(transaction, told)
    metadata = told.get("metadata") or {}
    return ProviderEntry(
        ref=transaction.id,
        kind=kind,
        charge_ref=_charge_ref(kind, told),
        amount_minor=-amount if kind in LEAVING else amount,
        currency=currency,
        at_ms=int(transaction.created) * 1_000,
        fee_minor=fee,
        our_id=str(metadata.get("payout_id" if kind in PAYOUTS else "payment_id", "")),
    )


def _money(transaction: Any, told: dict[str, Any]) -> tuple[int, str, int]:
    """What moved, above zero, in the currency of the charge, and the fee in the same."""
    settled, currency = transaction.currency, told.get("currency") or transaction.currency
    fee = int(transaction.fee)
    if settled == currency:
        return abs(int(transaction.amount)), currency.upper(), fee
    amount = int(told.get("amount_captured") or told.get("amount") or 0)
    rate = Fraction(str(transaction.exchange_rate or 1))
    return amount, currency.upper(), round(fee / rate)


def _charge_ref(kind: EntryKind, told: dict[str, Any]) -> str:
    if kind in PAYOUTS:
        return str(told.get("transfer") or told["id"])
    return str(told.get("payment_intent") or told["id"])
