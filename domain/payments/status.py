"""A payment's status, derived from what is known, and the moves between statuses that there are."""

from __future__ import annotations

from domain.payments.state import Attempt, Payment
from messages.payments.gateways import DisputeStatus, ProviderStatus
from messages.payments.payments import PaymentStatus as Is

# DOMAIN's states, and what may follow each. A provider that is late may move a payment that ended
# without money to where money is: what was taken is told, whatever we had believed.
MAY_FOLLOW: dict[Is, frozenset[Is]] = {
    Is.PENDING: frozenset(Is) - {Is.PENDING},
    Is.ON_HOLD: frozenset({Is.PROCESSING, Is.CANCELLED}),
    Is.REQUIRES_ACTION: frozenset(Is) - {Is.PENDING, Is.ON_HOLD, Is.REQUIRES_ACTION},
    Is.PROCESSING: frozenset(Is) - {Is.PENDING, Is.ON_HOLD, Is.PROCESSING},
    Is.COMPLETED: frozenset({Is.PARTIALLY_REFUNDED, Is.REFUNDED, Is.DISPUTED}),
    Is.PARTIALLY_REFUNDED: frozenset({Is.REFUNDED, Is.DISPUTED, Is.COMPLETED}),
    Is.REFUNDED: frozenset({Is.PARTIALLY_REFUNDED, Is.COMPLETED, Is.DISPUTED}),
    Is.DISPUTED: frozenset({Is.COMPLETED, Is.PARTIALLY_REFUNDED, Is.REFUNDED}),
    Is.FAILED: frozenset(),
    Is.CANCELLED: frozenset(),
}
FINAL = frozenset({Is.FAILED, Is.CANCELLED})


def derive(payment: Payment) -> Is:
    """The status of a payment."""
    if payment.status in FINAL:
        return payment.status
    if payment.taker is not None:
        return _of_money(payment.attempts[payment.taker])
    if payment.on_hold and not payment.cancelled:
        return Is.ON_HOLD
    return _before_money(payment)


def _of_money(attempt: Attempt) -> Is:
    """Money was taken: what became of it."""
    assert attempt.seen is not None, "who took money has been seen"
    if any(one.status is not DisputeStatus.WON for one in attempt.seen.disputes):
        return Is.DISPUTED
    if attempt.returned_minor >= attempt.captured_minor:
        return Is.REFUNDED
    if attempt.returned_minor:
        return Is.PARTIALLY_REFUNDED
    return Is.COMPLETED


def _before_money(payment: Payment) -> Is:
    attempt = payment.current
    if attempt is None:
        return Is.CANCELLED if payment.cancelled else Is.PENDING
    if attempt.given_up:
        return Is.CANCELLED if payment.cancelled else Is.FAILED
    if attempt.seen is None:
        return Is.PROCESSING
    if attempt.status is ProviderStatus.REQUIRES_ACTION and not payment.cancelled:
        return Is.REQUIRES_ACTION
    return Is.PROCESSING
