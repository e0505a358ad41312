"""An order of PayPal's and its disputes as a snapshot. Raises ValueError, KeyError, TypeError for
what is none.

Moments are those of PayPal's objects, so an old answer never overwrites a newer one, whenever it
comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from integrations.paypal_client import Json, minor, moment_ms
from messages.payments.gateways import (
    DisputeStatus,
    NextAction,
    ProviderDispute,
    ProviderRefund,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)

TAKEN = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
HOLDING = frozenset({"CREATED", "PENDING", "PARTIALLY_CAPTURED"})
ORDERS = {
    "CREATED": ProviderStatus.REQUIRES_ACTION,
    "SAVED": ProviderStatus.REQUIRES_ACTION,
    "PAYER_ACTION_REQUIRED": ProviderStatus.REQUIRES_ACTION,
    "APPROVED": ProviderStatus.APPROVED,
    "VOIDED": ProviderStatus.CANCELLED,
}
AUTHORIZATIONS = {
    "CREATED": ProviderStatus.AUTHORIZED,
    "PARTIALLY_CAPTURED": ProviderStatus.AUTHORIZED,
    "DENIED": ProviderStatus.FAILED,
    "EXPIRED": ProviderStatus.EXPIRED,
    "VOIDED": ProviderStatus.CANCELLED,
}
RETURNS = {"COMPLETED": ReturnStatus.SUCCEEDED, "PENDING": ReturnStatus.PENDING}
# `NONE`: closed without a decision because another dispute of the same payment goes on.
WON = frozenset(
    {"RESOLVED_SELLER_FAVOUR", "RESOLVED_WITH_PAYOUT", "CANCELED_BY_BUYER", "DENIED", "NONE"}
)
LOST = frozenset({"RESOLVED_BUYER_FAVOUR", "ACCEPTED"})


def snapshot(order: Json, disputes: Sequence[Json], answered_ms: int) -> Snapshot:
    """All that is known of an order."""
    taken = sum(minor(one["amount"]) for one in captures(order) if one["status"] in TAKEN)
    returned = _refunds(order)
    status, failure = _status(order)
    return Snapshot(
        ref=str(order["id"]),
        status=status,
        at_ms=_latest_ms(order) or answered_ms,
        captured_minor=taken,
        refunds=returned,
        disputes=tuple(_disputes(disputes, taken, returned)),
        action=_action(order) if status is ProviderStatus.REQUIRES_ACTION else None,
        failure=failure,
    )


def payment_id(order: Json) -> str:
    """Ours, as we named it."""
    return str(order["purchase_units"][0].get("custom_id", ""))


def captures(order: Json) -> list[Json]:
    """What was taken, or is being taken."""
    return _payments(order, "captures")


def authorizations(order: Json) -> list[Json]:
    """What is held, or was."""
    return _payments(order, "authorizations")


def taking_minor(order: Json) -> int:
    """All that was taken or is being taken."""
    return sum(
        minor(one["amount"]) for one in captures(order) if one["status"] in TAKEN | {"PENDING"}
    )


def refund_of(order: Json, refund_id: str) -> Json | None:
    """The refund that we asked for under this id."""
    found = (one for one in _payments(order, "refunds") if _refund_id(one) == refund_id)
    return next(found, None)


def named(payment: str, refund: str) -> str:
    """The custom id of a refund: its payment, and itself."""
    return f"{payment}/{refund}"


def _payments(order: Json, kind: str) -> list[Json]:
    units = order.get("purchase_units") or []
    return [one for unit in units for one in (unit.get("payments") or {}).get(kind) or []]


def _status(order: Json) -> tuple[ProviderStatus, str]:
    """How far the order is, and why not farther: by what was taken, else held, else by itself."""
    taken = captures(order)
    if any(one["status"] in TAKEN for one in taken):
        return ProviderStatus.CAPTURED, ""
    if any(one["status"] == "PENDING" for one in taken):
        return ProviderStatus.PROCESSING, ""
    if taken:
        return ProviderStatus.FAILED, _why(taken[-1])
    held = authorizations(order)
    if held:
        status = AUTHORIZATIONS.get(held[-1]["status"], ProviderStatus.PROCESSING)
        return status, _why(held[-1]) if status is ProviderStatus.FAILED else ""
    return ORDERS.get(str(order["status"]), ProviderStatus.PROCESSING), ""


def _why(declined: Json) -> str:
    reason = (declined.get("status_details") or {}).get("reason")
    code = (declined.get("processor_response") or {}).get("response_code")
    return str(reason or code or declined["status"])[:64]


def _latest_ms(order: Json) -> int:
    dated = [order, *authorizations(order), *captures(order)]
    return max(_updated_ms(one) for one in dated)


def _updated_ms(thing: Json) -> int:
    return moment_ms(thing.get("update_time") or thing.get("create_time"))


def _action(order: Json) -> NextAction:
    links = {str(one["rel"]): str(one["href"]) for one in order.get("links") or []}
    return NextAction(url=links.get("payer-action") or links.get("approve") or "")


def _refunds(order: Json) -> tuple[ProviderRefund, ...]:
    return tuple(
        ProviderRefund(
            ref=str(one["id"]),
            amount_minor=minor(one["amount"]),
            status=RETURNS.get(one["status"], ReturnStatus.FAILED),
            at_ms=_updated_ms(one),
            refund_id=_refund_id(one),
        )
        for one in _payments(order, "refunds")
    )


def _refund_id(refund: Json) -> str:
    """Ours, by either of the two names that we give a refund; empty if it is not ours."""
    named_by_us = str(refund.get("custom_id") or "").partition("/")[2]
    return named_by_us or str(refund.get("invoice_id") or "")


def _disputes(
    disputes: Sequence[Json], taken: int, returned: Sequence[ProviderRefund]
) -> Iterator[ProviderDispute]:
    """What disputes withhold: never more than what was taken and not given back, since a dispute
    that ends in a refund is told of twice.
    """
    given_back = [one for one in returned if one.status is not ReturnStatus.FAILED]
    left = taken - sum(one.amount_minor for one in given_back)
    refunded_ms = max((one.at_ms for one in returned), default=0)
    for one in sorted(disputes, key=lambda d: str(d["dispute_id"])):
        status = _dispute_status(one)
        asked = minor(one["dispute_amount"])
        amount = asked if status is DisputeStatus.WON else min(asked, max(0, left))
        left -= 0 if status is DisputeStatus.WON else amount
        at_ms = max(_updated_ms(one), refunded_ms)
        yield ProviderDispute(str(one["dispute_id"]), amount, status, at_ms)


def _dispute_status(dispute: Json) -> DisputeStatus:
    outcome = (dispute.get("dispute_outcome") or {}).get("outcome_code")
    if dispute["status"] != "RESOLVED" or outcome not in WON | LOST:
        return DisputeStatus.OPEN
    return DisputeStatus.WON if outcome in WON else DisputeStatus.LOST
