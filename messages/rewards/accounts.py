"""The accounts that rewards move between, and why."""

from __future__ import annotations

from enum import StrEnum

from messages.ledger import account
from messages.users import user_channel

STREAM = "rewards"
CURRENCY = "VIBES"
TREASURY = account("outside", "treasury", "issue", CURRENCY)
PURPOSE_REWARD = "listen-reward"
PURPOSE_SHARE = "artist-share"
PURPOSE_FUNDING = "pool-funding"
PURPOSE_PAYOUT = "reward-payout"
PURPOSE_RETURN = "pool-return"


class PayeeKind(StrEnum):
    """Whose accounts a reward goes to."""

    USER = "user"
    ARTIST = "artist"


def pool_account(pool_id: str) -> str:
    """What a pool may still pay."""
    return account("pool", pool_id, "balance", CURRENCY)


def accrued_account(payee_id: str) -> str:
    """Rewards that wait for the minimum payout. `payee_id` is `user:<id>` or `artist:<id>`."""
    return f"{payee_id}:accrued/{CURRENCY}"


def available_account(payee_id: str) -> str:
    """Rewards that were paid out."""
    return f"{payee_id}:available/{CURRENCY}"


def payee_id(kind: PayeeKind, owner_id: str) -> str:
    """The entity id of a payee, which is also the head of its account codes."""
    return f"{kind.value}:{owner_id}"


def pool_channel(pool_id: str) -> str:
    """The realtime channel of what everyone may know of one pool."""
    return f"pool:{pool_id}"


def earnings_channel(artist_id: str) -> str:
    """The realtime channel of what only the artist may know: shares and payouts."""
    return f"earnings:{artist_id}"


def payee_channel(payee_id: str) -> str:
    """The private channel of a payee: the user's own, or the artist's earnings."""
    kind, _, owner_id = payee_id.partition(":")
    return user_channel(owner_id) if kind == PayeeKind.USER.value else earnings_channel(owner_id)
