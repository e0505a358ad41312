"""What a purchase does next, as a function of what happened: there is no other program."""

from __future__ import annotations

from domain.purchases.state import OPEN, UNPAID, Purchase
from messages.payments.payments import Purpose
from messages.purchases.purchases import MoneyBack, Step
from messages.rewards import CURRENCY as REWARD_CURRENCY

UNDERPAID = "underpaid"
REVERSED = "payment-reversed"
# Goods that cannot be taken back, and why.
NOT_RETURNABLE = {Purpose.SHARE_PURCHASE: "shares-are-sold-on-the-market"}
_FORWARD = (Step.RESERVE, Step.PAY, Step.SET_ASIDE, Step.TAKE)


def forward(purchase: Purchase) -> tuple[Step, ...]:
    """The steps to the goods."""
    order = purchase.order
    has = {
        Step.RESERVE: order.purpose is Purpose.NFT_PURCHASE,
        Step.PAY: order.payment is not None,
        Step.SET_ASIDE: is_exchanged(purchase),
        Step.TAKE: purchase.has_goods,
    }
    return tuple(step for step in _FORWARD if has[step])


def is_exchanged(purchase: Purchase) -> bool:
    """Whether reward tokens are created for the money."""
    order = purchase.order
    return order.purpose is Purpose.SPONSORSHIP and order.currency != REWARD_CURRENCY


def ending(purchase: Purchase) -> str:
    """Why it will not be delivered; empty if it may be, or is.

    Once a step after the payment was begun, only its answer says which.
    """
    if purchase.ending or purchase.is_delivered:
        return purchase.ending
    for step in _FORWARD:
        if purchase.is_refused(step):
            return purchase.steps[step].code
    beyond = Step.SET_ASIDE in purchase.steps or Step.TAKE in purchase.steps
    return "" if beyond else _unpaid(purchase)


def _unpaid(purchase: Purchase) -> str:
    news = purchase.payment
    if news is None or news.status in OPEN:
        return ""
    if news.status in UNPAID:
        return news.failure or news.status.value
    if purchase.is_reversed:
        return REVERSED
    return UNDERPAID if _is_underpaid(purchase) else ""


def _is_underpaid(purchase: Purchase) -> bool:
    return purchase.has_goods and purchase.received_minor < purchase.order.amount_minor


def next_step(purchase: Purchase) -> Step | None:
    """What has to be asked for now."""
    if purchase.waiting is not None:
        return None
    if purchase.is_delivered:
        return _undo_delivery(purchase)
    if purchase.ending:
        return _unwind(purchase)
    for step in forward(purchase):
        if step not in purchase.steps:
            return step
        if step is Step.PAY and (purchase.payment is None or purchase.payment.status in OPEN):
            return None
    return None


def _unwind(purchase: Purchase) -> Step | None:
    """Nothing is delivered: stop the payment, let go what is kept, give the money back."""
    if purchase.is_payment_open and Step.STOP not in purchase.steps:
        return Step.STOP
    if purchase.is_done(Step.RESERVE) and Step.RELEASE not in purchase.steps:
        return Step.RELEASE
    return Step.REFUND if _is_to_refund(purchase) else None


def _undo_delivery(purchase: Purchase) -> Step | None:
    """Goods first, then the money: never both with the buyer."""
    if not wants_back(purchase):
        return None
    if purchase.has_goods and not purchase.is_back:
        return None if purchase.is_refused(Step.GIVE_BACK) else Step.GIVE_BACK
    return Step.REFUND if _is_to_refund(purchase) else None


def wants_back(purchase: Purchase) -> bool:
    """Whether what was delivered is to go back, or did.

    ending: it was refused, and done after all by somebody who asked late.
    """
    return bool(
        purchase.refund_id or purchase.is_back or purchase.is_reversed or purchase.ending
    ) and (purchase.has_goods or bool(purchase.refund_id))


def _is_to_refund(purchase: Purchase) -> bool:
    if Step.REFUND in purchase.steps or purchase.money_back is MoneyBack.BALANCE:
        return False
    return not purchase.is_reversed and refund_minor(purchase) > 0


def refund_minor(purchase: Purchase) -> int:
    """What a refund of the payment is of: all that is left of it, or as much as the goods brought.

    Less than the price comes back where a pool spent some of it.
    """
    news = purchase.payment
    if news is None or news.status in OPEN:
        return 0
    left = max(0, news.received_minor - news.returned_minor)
    back = purchase.is_delivered and purchase.has_goods
    return min(left, purchase.returned_minor) if back else left
