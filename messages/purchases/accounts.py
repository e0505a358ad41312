"""The accounts that purchases move money between, why, and the stream they are told on."""

from __future__ import annotations

from messages.ledger import account

STREAM = "purchases"
SUBJECT = "purchase:"

PURPOSE_SET_ASIDE = "sponsorship-set-aside"
PURPOSE_PUT_BACK = "sponsorship-put-back"


def subject_of(purchase_id: str) -> str:
    """What a payment says that it is for."""
    return f"{SUBJECT}{purchase_id}"


def purchase_of(subject: str) -> str | None:
    """The purchase that a payment is for, if it is for one."""
    return subject.removeprefix(SUBJECT) if subject.startswith(SUBJECT) else None


def available(user_id: str, currency: str) -> str:
    """What a user may spend."""
    return account("user", user_id, "available", currency)


def backing(purchase_id: str, currency: str) -> str:
    """The money that a sponsor's reward tokens were created for. It stays until they return."""
    return account("purchase", purchase_id, "backing", currency)


def funding(purchase_id: str, currency: str) -> str:
    """Reward tokens on their way into a pool, or back."""
    return account("purchase", purchase_id, "funding", currency)
