"""The money that a purchase moves itself: what a sponsor pays backs reward tokens that it creates.

All other money moves between a payment's provider and the buyer's balance, by the payment, and
between the balance and the owner of the goods, by that owner.
"""

from __future__ import annotations

from domain.purchases.state import Purchase
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, Posting
from messages.purchases.accounts import (
    PURPOSE_PUT_BACK,
    PURPOSE_SET_ASIDE,
    available,
    backing,
    funding,
)
from messages.rewards import CURRENCY, TREASURY


def set_aside(purchase: Purchase) -> LedgerTransaction:
    """The sponsor's money backs the tokens that are on their way into the pool now."""
    order = purchase.order
    return _transaction(purchase, "set-aside", order.amount_minor, order.tokens_minor)


def put_back(purchase: Purchase, tokens_minor: int) -> LedgerTransaction | None:
    """Tokens that are back cease to exist, and what backed them is the sponsor's again."""
    if not tokens_minor:
        return None
    money = worth_minor(purchase, tokens_minor)
    return _transaction(purchase, f"put-back:{purchase.round}", -money, -tokens_minor)


def worth_minor(purchase: Purchase, tokens_minor: int) -> int:
    """What a sponsor paid for so many of the tokens, rounded down."""
    order = purchase.order
    return order.amount_minor * tokens_minor // order.tokens_minor


def _transaction(purchase: Purchase, name: str, money: int, tokens: int) -> LedgerTransaction:
    order, purchase_id = purchase.order, purchase.purchase_id
    lines = (
        Posting(available(order.buyer_id, order.currency), -money),
        Posting(backing(purchase_id, order.currency), money),
        Posting(TREASURY, -tokens),
        Posting(funding(purchase_id, CURRENCY), tokens),
    )
    return LedgerTransaction(
        derive_key("purchase", purchase_id, name),
        f"purchase:{purchase_id}",
        PURPOSE_SET_ASIDE if money > 0 else PURPOSE_PUT_BACK,
        tuple(line for line in lines if line.amount_minor),
    )
