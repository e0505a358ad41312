"""A purchase's status, derived from what happened, and the moves that there are."""

from __future__ import annotations

from domain.purchases.plan import forward, wants_back
from domain.purchases.state import REFUND_OVER, Purchase
from messages.purchases.purchases import PurchaseStatus as Is
from messages.purchases.purchases import Step

# What may follow each. News that come late may move a purchase that was over: money that a bank
# took back, a payment that was taken although it had been stopped.
MAY_FOLLOW: dict[Is, frozenset[Is]] = {
    Is.NEW: frozenset({Is.RESERVING, Is.PAYING, Is.DELIVERING}),
    Is.RESERVING: frozenset({Is.PAYING, Is.DELIVERING, Is.UNDOING, Is.CANCELLED}),
    Is.PAYING: frozenset({Is.DELIVERING, Is.COMPLETED, Is.REFUNDED, Is.UNDOING, Is.CANCELLED,
                          Is.COMPENSATED, Is.IN_BALANCE}),
    Is.DELIVERING: frozenset({Is.COMPLETED, Is.UNDOING, Is.CANCELLED, Is.COMPENSATED,
                              Is.IN_BALANCE, Is.RETURNING}),
    Is.COMPLETED: frozenset({Is.RETURNING, Is.REFUNDED, Is.IN_BALANCE}),
    Is.UNDOING: frozenset({Is.CANCELLED, Is.COMPENSATED, Is.IN_BALANCE, Is.RETURNING,
                           Is.COMPLETED}),
    Is.CANCELLED: frozenset({Is.UNDOING, Is.COMPENSATED, Is.IN_BALANCE, Is.RETURNING,
                             Is.COMPLETED}),
    Is.COMPENSATED: frozenset({Is.UNDOING, Is.IN_BALANCE, Is.RETURNING, Is.COMPLETED}),
    Is.IN_BALANCE: frozenset({Is.COMPENSATED, Is.REFUNDED, Is.RETURNING, Is.COMPLETED,
                              Is.UNDOING}),
    Is.RETURNING: frozenset({Is.COMPLETED, Is.REFUNDED, Is.IN_BALANCE}),
    Is.REFUNDED: frozenset({Is.RETURNING, Is.IN_BALANCE, Is.COMPLETED}),
}  # fmt: skip


def derive(purchase: Purchase) -> Is:
    """The status of a purchase."""
    if purchase.asked is None:
        return Is.NEW
    if purchase.is_delivered:
        return _after_delivery(purchase)
    if purchase.ending:
        return _without_delivery(purchase)
    if Step.RESERVE in forward(purchase) and not purchase.is_done(Step.RESERVE):
        return Is.RESERVING
    beyond = Step.SET_ASIDE in purchase.steps or Step.TAKE in purchase.steps
    return Is.DELIVERING if beyond else Is.PAYING


def is_looking(purchase: Purchase) -> bool:
    """Whether news of the payment are waited for."""
    return purchase.is_payment_open or is_refund_open(purchase)


def is_refund_open(purchase: Purchase) -> bool:
    """Whether a refund of the payment is under way."""
    return purchase.is_done(Step.REFUND) and purchase.refund_status not in REFUND_OVER


def _after_delivery(purchase: Purchase) -> Is:
    if not wants_back(purchase):
        return Is.REFUNDED if purchase.is_reversed else Is.COMPLETED
    if purchase.waiting is not None or is_refund_open(purchase):
        return Is.RETURNING
    if purchase.has_goods and not purchase.is_back:
        return Is.COMPLETED
    if purchase.order.payment is None or purchase.is_reversed:
        return Is.REFUNDED
    if purchase.refund_status == "succeeded":
        return Is.REFUNDED
    # A wallet that keeps what it was topped up with is as it was.
    return Is.IN_BALANCE if purchase.has_goods else Is.COMPLETED


def _without_delivery(purchase: Purchase) -> Is:
    busy = purchase.waiting is not None or purchase.is_payment_open or is_refund_open(purchase)
    if busy:
        return Is.UNDOING
    if not purchase.received_minor:
        return Is.CANCELLED
    if purchase.is_reversed or purchase.refund_status == "succeeded":
        return Is.COMPENSATED
    return Is.IN_BALANCE
