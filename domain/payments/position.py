"""Where a payment's money is, as a function of its state; a change moves the difference.

The ledger of a payment is not written step by step but derived: whatever news comes, in whatever
order, the postings are those from where the money was to where it is. So what the ledger says of a
provider is what is known of the provider's record, by construction.
"""

from __future__ import annotations

from domain.payments.state import (
    Attempt,
    Payment,
    foreign_returned_minor,
    own_refunds,
)
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, Posting
from messages.payments.accounts import available, clearing, orphaned, receivable, refunding
from messages.payments.gateways import ReturnStatus
from messages.payments.payments import StartPayment

PURPOSE = "payment"


def position(payment: Payment) -> dict[str, int]:
    """The balance that each account has from this payment; they sum to zero."""
    found: dict[str, int] = {}
    asked = payment.asked
    if asked is None:
        return found
    for attempt in payment.attempts:
        held = attempt.captured_minor - attempt.returned_minor - attempt.withheld_minor
        _add(found, clearing(attempt.gateway, asked.currency), -held)
        if attempt.number == payment.taker:
            _add_taken(found, payment, asked, attempt)
        else:
            _add(found, orphaned(payment.payment_id, asked.currency), held)
    return found


def _add_taken(
    found: dict[str, int], payment: Payment, asked: StartPayment, attempt: Attempt
) -> None:
    pending = succeeded = 0
    for refund, status in own_refunds(payment, attempt.number):
        pending += refund.amount_minor if status is ReturnStatus.PENDING else 0
        succeeded += refund.amount_minor if status is ReturnStatus.SUCCEEDED else 0
    given_back = foreign_returned_minor(payment, attempt) + attempt.withheld_minor
    spendable = attempt.captured_minor - pending - succeeded - payment.collected_minor
    # Whoever is refunded more than we asked for owes the rest.
    excess = attempt.returned_minor - foreign_returned_minor(payment, attempt) - succeeded
    _add(found, available(asked.payer_id, asked.currency), spendable)
    _add(found, refunding(asked.payer_id, asked.currency), pending)
    _add(
        found,
        receivable(payment.payment_id, asked.currency),
        payment.collected_minor - given_back - excess,
    )


def movement(before: Payment, after: Payment) -> LedgerTransaction | None:
    """The ledger transaction from where the money was to where it is; None if it did not move."""
    old, new = position(before), position(after)
    lines = [
        Posting(code, new.get(code, 0) - old.get(code, 0))
        for code in sorted(old.keys() | new.keys())
        if new.get(code, 0) != old.get(code, 0)
    ]
    if not lines:
        return None
    assert after.asked is not None, "money moved, so it was started"
    return LedgerTransaction(
        derive_key("payment-move", after.payment_id, before.moves),
        f"payment:{after.payment_id}",
        after.asked.purpose.value,
        tuple(lines),
    )


def _add(found: dict[str, int], code: str, amount_minor: int) -> None:
    found[code] = found.get(code, 0) + amount_minor
