"""A payout as its callers see it."""

from __future__ import annotations

from domain.payouts.position import fee_minor, owed_minor
from domain.payouts.state import Payout
from messages.payments.payout_errors import PayoutNotFound
from messages.payments.payouts import PayoutView


def view(payout: Payout) -> PayoutView:
    """The view. Raises PayoutNotFound."""
    asked = payout.asked
    if asked is None:
        raise PayoutNotFound
    return PayoutView(
        payout_id=payout.payout_id,
        user_id=asked.user_id,
        method_id=asked.method_id,
        provider=payout.provider,
        status=payout.status,
        amount_minor=asked.amount_minor,
        charged_minor=payout.charged_minor,
        fee_minor=fee_minor(payout),
        owed_minor=owed_minor(payout),
        currency=asked.currency,
        assessment=payout.assessment,
        created_at_ms=payout.created_at_ms,
        changed_at_ms=payout.changed_at_ms,
        ref=payout.ref,
        failure=payout.failure,
        call=payout.call,
    )
