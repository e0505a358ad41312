"""A purchase as its callers see it."""

from __future__ import annotations

from domain.purchases.state import Purchase
from messages.purchases.errors import PurchaseNotFound
from messages.purchases.purchases import Outcome, PurchaseView, WantedStep


def view(purchase: Purchase) -> PurchaseView:
    """The view. Raises PurchaseNotFound."""
    if purchase.asked is None:
        raise PurchaseNotFound
    return PurchaseView(
        purchase_id=purchase.purchase_id,
        asked=purchase.asked,
        status=purchase.status,
        created_at_ms=purchase.created_at_ms,
        changed_at_ms=purchase.changed_at_ms,
        pay_by_ms=purchase.pay_by_ms,
        returned_minor=purchase.returned_minor,
        failure=purchase.failure,
        ending=purchase.ending,
        payment=purchase.payment,
        wanted=tuple(
            WantedStep(step, state.round, state.tries, state.amount_minor)
            for step, state in purchase.steps.items()
            if state.outcome is Outcome.WANTED
        ),
    )
