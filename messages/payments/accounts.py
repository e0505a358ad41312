"""The accounts that payments move money between, and the channels they are shown on."""

from __future__ import annotations

from messages.ledger import OUTSIDE, account
from messages.payments.gateways import GatewayName

STREAM = "payments"
_OUTSIDE = OUTSIDE.rstrip(":")


def clearing(gateway: GatewayName, currency: str) -> str:
    """What a provider holds for us: minus it."""
    return account("outside", gateway.value, "clearing", currency)


def available(user_id: str, currency: str) -> str:
    """What a user may spend."""
    return account("user", user_id, "available", currency)


def refunding(user_id: str, currency: str) -> str:
    """What is on its way back to a user's card or account elsewhere."""
    return account("user", user_id, "refunding", currency)


def receivable(payment_id: str, currency: str) -> str:
    """What a payer owes us because the provider gave it back to them: minus it."""
    return account(_OUTSIDE, payment_id, "receivable", currency)


def orphaned(payment_id: str, currency: str) -> str:
    """What a provider took for an attempt that had been given up, until it is given back."""
    return account(_OUTSIDE, payment_id, "orphaned", currency)


def paying_out(user_id: str, currency: str) -> str:
    """What is on its way from a user's balance to their account elsewhere."""
    return account("user", user_id, "paying-out", currency)


def fees(gateway: GatewayName, currency: str) -> str:
    """What a provider kept for paying out beyond what users were charged for it: minus it."""
    return account(_OUTSIDE, gateway.value, "fees", currency)
