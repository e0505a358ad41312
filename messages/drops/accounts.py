"""The accounts that drops move cash and tokens between, why, and the channels they are shown on.

The tokens of a drop are a currency of their own, `NFT:<drop id>`: the ledger counts them, the
table of tokens says which number is whose.
"""

from __future__ import annotations

from messages.ledger import OUTSIDE, account
from messages.money import NFT_PREFIX

STREAM = "drops"

PURPOSE_PURCHASE = "nft-purchase"
PURPOSE_MINT = "nft-mint"
PURPOSE_RETURN = "nft-return"
PURPOSE_BURN = "nft-burn"


def token_currency(drop_id: str) -> str:
    """The currency that the tokens of a drop are."""
    return f"{NFT_PREFIX}{drop_id}"


def available(user_id: str, currency: str) -> str:
    """What a user may spend, or the tokens a user has."""
    return account("user", user_id, "available", currency)


def minted(drop_id: str) -> str:
    """Where the tokens of a drop come from: minus those that exist."""
    return account(OUTSIDE.rstrip(":"), "drop", "tokens", token_currency(drop_id))


def fees(currency: str) -> str:
    """What the platform earned by drops."""
    return account("platform", "drops", "fees", currency)


def drop_channel(drop_id: str) -> str:
    """The realtime channel of what everyone may know of a drop: its supply, its milestones."""
    return f"drop:{drop_id}"
