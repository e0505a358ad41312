"""A payout's status, derived from what is known, and the moves between statuses that there are."""

from __future__ import annotations

from domain.payouts.state import Payout
from messages.payments.payout_orders import PayoutProgress
from messages.payments.payouts import PayoutStatus as Is

MAY_FOLLOW: dict[Is, frozenset[Is]] = {
    Is.REQUESTED: frozenset({Is.ON_HOLD, Is.SENDING, Is.CANCELLED}),
    Is.ON_HOLD: frozenset({Is.SENDING, Is.CANCELLED}),
    Is.SENDING: frozenset({Is.PAID, Is.FAILED, Is.RETURNED}),
    Is.PAID: frozenset({Is.RETURNED}),
    Is.FAILED: frozenset(),
    Is.RETURNED: frozenset(),
    Is.CANCELLED: frozenset(),
}
FINAL = frozenset({Is.FAILED, Is.RETURNED, Is.CANCELLED})
MAY_BE_CANCELLED = frozenset({Is.REQUESTED, Is.ON_HOLD})


def derive(payout: Payout) -> Is:
    """The status of a payout."""
    if payout.status in FINAL:
        return payout.status
    if payout.cancelled:
        return Is.CANCELLED
    if payout.given_up:
        return Is.FAILED
    if not payout.sent:
        return Is.ON_HOLD if payout.on_hold else Is.REQUESTED
    return _told(payout)


def _told(payout: Payout) -> Is:
    match payout.seen.progress if payout.seen else PayoutProgress.PENDING:
        case PayoutProgress.PENDING:
            return Is.SENDING
        case PayoutProgress.PAID:
            return Is.PAID
        case PayoutProgress.RETURNED:
            return Is.RETURNED
        case PayoutProgress.FAILED:
            # A provider may call it a failure that money it had paid came back.
            return Is.RETURNED if payout.status is Is.PAID else Is.FAILED
