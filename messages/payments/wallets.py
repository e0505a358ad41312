"""A user's money on the platform: its parts, and what may be refused about it."""

from __future__ import annotations

from enum import StrEnum

from messages.errors import NotFound
from messages.ledger import account


class Part(StrEnum):
    """Where a user's money in a currency is: the purpose of its ledger account.

    held: what open orders may take.  refunding: on its way back to a card or an account elsewhere.
    paying-out: on its way to the user's bank.
    """

    AVAILABLE = "available"
    HELD = "held"
    REFUNDING = "refunding"
    PAYING_OUT = "paying-out"


class FundsNotFound(NotFound):
    """There is no money in such a currency."""

    code = "funds-currency-unknown"


def part_account(user_id: str, part: Part, currency: str) -> str:
    """The account of a part of a user's money."""
    return account("user", user_id, part.value, currency)
