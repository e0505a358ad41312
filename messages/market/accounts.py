"""The accounts that the market moves cash and shares between, why, and the channels it is shown on.

Shares are a currency of their own, `SHARE:<issue id>`. What an open order may take is in a `held`
account of its owner; shares that may not be sold yet are in a `locked` one.
"""

from __future__ import annotations

from messages.ledger import OUTSIDE, account
from messages.money import SHARE_PREFIX

STREAM = "market"

PURPOSE_ISSUE = "share-issue"
PURPOSE_PURCHASE = "share-purchase"
PURPOSE_HOLD = "order-hold"
PURPOSE_RELEASE = "order-release"
PURPOSE_TRADE = "share-trade"
PURPOSE_LOCK = "share-lock"
PURPOSE_UNLOCK = "share-unlock"
PURPOSE_REVENUE = "revenue-received"
PURPOSE_DISTRIBUTION = "revenue-distribution"
PURPOSE_RETURN = "share-return"


def share_currency(issue_id: str) -> str:
    """The currency that the shares of an issue are."""
    return f"{SHARE_PREFIX}{issue_id}"


def available(user_id: str, currency: str) -> str:
    """What a user may spend or sell."""
    return account("user", user_id, "available", currency)


def held(user_id: str, currency: str) -> str:
    """What open orders of a user may take."""
    return account("user", user_id, "held", currency)


def locked(user_id: str, currency: str) -> str:
    """Shares that a user owns and may not sell yet."""
    return account("user", user_id, "locked", currency)


def issued(issue_id: str) -> str:
    """Where the shares of an issue come from: minus their number."""
    return account(OUTSIDE.rstrip(":"), "issue", "shares", share_currency(issue_id))


def offered(issue_id: str) -> str:
    """Shares of an issue that nobody bought yet."""
    return account("issue", issue_id, "offered", share_currency(issue_id))


def revenue(issue_id: str, currency: str) -> str:
    """Revenue of an issue that is not distributed yet."""
    return account("issue", issue_id, "revenue", currency)


def fees(currency: str) -> str:
    """What the platform earned by sales, trades and distributions."""
    return account("platform", "market", "fees", currency)


def treasury(currency: str) -> str:
    """Where cash comes from until payments bring it: minus what was handed out."""
    return account(OUTSIDE.rstrip(":"), "treasury", "issue", currency)


def book_channel(issue_id: str) -> str:
    """The realtime channel of what everyone may know of one book: depth, trades, phase."""
    return f"book:{issue_id}"
