"""A checkout of Coinbase's as a snapshot. ValueError, KeyError, TypeError for what is none.

Taken is what Coinbase settled (`settlement.totalAmount`), which is more or less than was asked for
if the payer sent more or less, and only once the checkout says that it was paid. Moments are those
of Coinbase's objects, so an answer that is old never overwrites a newer one.
"""

from __future__ import annotations

from integrations.coinbase_client import CURRENCY, Json, moment_ms
from messages.keys import is_id
from messages.money import parse_decimal
from messages.payments.gateways import (
    NextAction,
    ProviderRefund,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)

PAYMENT_ID = "payment_id"
PAID = frozenset({"COMPLETED", "REFUNDED", "PARTIALLY_REFUNDED"})
STATUS = {
    "ACTIVE": ProviderStatus.REQUIRES_ACTION,
    "PROCESSING": ProviderStatus.PROCESSING,
    "DEACTIVATED": ProviderStatus.CANCELLED,
    "EXPIRED": ProviderStatus.EXPIRED,
    "FAILED": ProviderStatus.FAILED,
    **dict.fromkeys(PAID, ProviderStatus.CAPTURED),
}
RETURNS = {"COMPLETED": ReturnStatus.SUCCEEDED, "FAILED": ReturnStatus.FAILED}


def snapshot(checkout: Json, refund: Json | None = None) -> Snapshot:
    """All that is known of a checkout. `refund`: one that was told beside it."""
    status = STATUS.get(checkout["status"], ProviderStatus.PROCESSING)
    refunds = {str(one["id"]): one for one in checkout.get("refunds") or []}
    if refund is not None:
        refunds.setdefault(str(refund["id"]), refund)
    at_ms = changed_ms(checkout)
    return Snapshot(
        ref=str(checkout["id"]),
        status=status,
        at_ms=at_ms,
        captured_minor=taken_minor(checkout),
        refunds=tuple(_refund(one, at_ms) for one in refunds.values()),
        action=NextAction(url=str(checkout["url"]))
        if status is ProviderStatus.REQUIRES_ACTION
        else None,
    )


def changed_ms(checkout: Json) -> int:
    """When a checkout came to be as it is."""
    return moment_ms(checkout.get("updatedAt") or checkout["createdAt"])


def taken_minor(checkout: Json) -> int:
    """All that its payer paid."""
    if checkout["status"] not in PAID:
        return 0
    settled = checkout.get("settlement")
    return usdc(settled, "totalAmount") if settled else usdc(checkout, "amount")


def usdc(thing: Json, name: str) -> int:
    """An amount in minor units. ValueError if it is in another currency."""
    if thing["currency"] != CURRENCY:
        raise ValueError("not in USDC")
    return parse_decimal(str(thing[name]), CURRENCY)


def payment_id(checkout: Json) -> str:
    """Ours, as we named it; empty if it is not ours."""
    named = str((checkout.get("metadata") or {}).get(PAYMENT_ID, ""))
    return named if is_id(named) else ""


def reason_of(refund_id: str, reason: str) -> str:
    """What a refund is for, with our id at the end: refunds carry nothing else that is ours."""
    room = 500 - len(refund_id) - 1
    return f"{reason[:room]} {refund_id}".strip()


def refund_id(refund: Json) -> str:
    """Ours, as we named it; empty if we did not ask for it."""
    named = str(refund.get("reason") or "").rpartition(" ")[2]
    return named if is_id(named) else ""


def _refund(refund: Json, checkout_ms: int) -> ProviderRefund:
    status = RETURNS.get(refund["status"], ReturnStatus.PENDING)
    at_ms = moment_ms(refund["createdAt"])
    if status is not ReturnStatus.PENDING:
        ended = refund.get("completedAt")
        at_ms = moment_ms(ended) if ended else max(at_ms, checkout_ms)
    return ProviderRefund(
        ref=str(refund["id"]),
        amount_minor=usdc(refund, "amount"),
        status=status,
        at_ms=at_ms,
        refund_id=refund_id(refund),
    )
