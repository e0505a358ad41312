"""A payment as its callers see it."""

from __future__ import annotations

from domain.payments.state import Payment, owed_minor, refund_status
from messages.payments.errors import PaymentNotFound
from messages.payments.payments import PaymentView, RefundView


def received_minor(payment: Payment) -> int:
    """All that was taken of the payer, for as long as it counts."""
    return payment.attempts[payment.taker].captured_minor if payment.taker is not None else 0


def given_back_minor(payment: Payment) -> int:
    """All that went back to the payer, what a dispute withholds included."""
    if payment.taker is None:
        return 0
    attempt = payment.attempts[payment.taker]
    return attempt.returned_minor + attempt.withheld_minor


def view(payment: Payment) -> PaymentView:
    """The view. Raises PaymentNotFound."""
    asked = payment.asked
    if asked is None:
        raise PaymentNotFound
    current = payment.current
    return PaymentView(
        payment_id=payment.payment_id,
        payer_id=asked.payer_id,
        purpose=asked.purpose,
        status=payment.status,
        amount_minor=asked.amount_minor,
        currency=asked.currency,
        method=asked.method,
        gateway=current.gateway if current else asked.gateways[0],
        received_minor=received_minor(payment),
        returned_minor=given_back_minor(payment),
        owed_minor=owed_minor(payment),
        created_at_ms=payment.created_at_ms,
        changed_at_ms=payment.changed_at_ms,
        assessment=asked.assessment,
        subject=asked.subject,
        failure=payment.failure,
        action=current.seen.action if current and current.seen else None,
        refunds=tuple(
            RefundView(
                one.refund_id,
                one.amount_minor,
                refund_status(payment, one).value,
                one.reason,
                one.at_ms,
            )
            for one in payment.refunds.values()
        ),
        calls=tuple(waiting.call for waiting in payment.calls.values()),
        source=asked.source,
        return_url=asked.return_url,
        capture=asked.capture,
        version=payment.moves,
    )
