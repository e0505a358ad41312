"""The accounts that ventures move money between, why, and the channels they are shown on."""

from __future__ import annotations

from messages.ledger import account

STREAM = "ventures"

PURPOSE_INVESTMENT = "venture-investment"
PURPOSE_WITHDRAWAL = "venture-withdrawal"
PURPOSE_RETURN = "venture-return"
PURPOSE_PAYOUT = "venture-funded"


def available(user_id: str, currency: str) -> str:
    """What a user may spend."""
    return account("user", user_id, "available", currency)


def escrow(venture_id: str, currency: str) -> str:
    """What is invested in a venture, until it is funded or given back."""
    return account("venture", venture_id, "escrow", currency)


def fees(currency: str) -> str:
    """What the platform earned by ventures."""
    return account("platform", "ventures", "fees", currency)


def venture_channel(venture_id: str) -> str:
    """The realtime channel of what everyone may know of a venture: how much of its goal it has."""
    return f"venture:{venture_id}"
