"""What orders set aside and what trades move, as ledger transactions. Pure arithmetic.

An order that rests has all that it may ever need in its owner's `held` account: a buy its price and
the higher of the two fees, a sell its shares. Fees are rounded down at each trade and up in a hold,
so what is held always covers what trades take.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from domain.policy import BPS
from messages.keys import KEY_BYTES
from messages.ledger import LedgerTransaction, Posting
from messages.market.accounts import (
    PURPOSE_HOLD,
    PURPOSE_RELEASE,
    PURPOSE_TRADE,
    available,
    fees,
    held,
    share_currency,
)


class Party(NamedTuple):
    """One side of a trade. released_minor: what a buy needs to hold no more.

    is_held: whether the shares of a sell were set aside before.
    """

    user_id: str
    fee_minor: int
    released_minor: int = 0
    is_held: bool = True


def fee_minor(value_minor: int, bps: int) -> int:
    """The fee on what a trade is worth, in whole minor units that are owed."""
    return value_minor * bps // BPS


def hold_minor(value_minor: int, bps: int) -> int:
    """What a buy has to set aside: enough for any way in which it may be filled."""
    return value_minor - (-value_minor * bps // BPS)


def hold(key: bytes, user_id: str, currency: str, amount: int, cause: str) -> LedgerTransaction:
    """Set aside cash or shares of a user; given back where `amount` is below zero."""
    assert amount, "nothing to set aside"
    purpose = PURPOSE_HOLD if amount > 0 else PURPOSE_RELEASE
    lines = (
        Posting(available(user_id, currency), -amount),
        Posting(held(user_id, currency), amount),
    )
    return LedgerTransaction(key, cause, purpose, lines)


def _key(of: str) -> bytes:
    """A ledger key. Ids and numbers hold no colon, so no two things have the same words."""
    return blake2b(of.encode(), digest_size=KEY_BYTES).digest()


class Exchange(NamedTuple):
    """Where a book's trades settle."""

    issue_id: str
    currency: str

    def hold(
        self, user_id: str, amount: int, number: int, *, shares: bool, part: str = ""
    ) -> LedgerTransaction:
        """What entry `number` of the book sets aside (below zero: gives back) for a user."""
        currency = share_currency(self.issue_id) if shares else self.currency
        key = _key(f"order-hold:{self.issue_id}:{number}:{user_id}:{part}:{currency}")
        return hold(key, user_id, currency, amount, f"book:{self.issue_id}:{number}")

    def reserve(
        self, user_id: str, request_id: str, amount_minor: int, now_ms: int
    ) -> LedgerTransaction:
        """Cash that a command needs before it is decided. The moment is in its key: a request that
        comes again after its answer was forgotten is another."""
        key = _key(f"order-reserve:{self.issue_id}:{user_id}:{now_ms}:{request_id}")
        return hold(key, user_id, self.currency, amount_minor, f"order:{request_id}")

    def trade(
        self, trade_id: int, shares: int, value_minor: int, buyer: Party, seller: Party
    ) -> LedgerTransaction:
        """The buyer's cash to the seller and the platform, the seller's shares to the buyer."""
        share = share_currency(self.issue_id)
        from_shares = held if seller.is_held else available
        taken = value_minor + buyer.fee_minor + buyer.released_minor
        lines = (
            Posting(held(buyer.user_id, self.currency), -taken),
            Posting(available(seller.user_id, self.currency), value_minor - seller.fee_minor),
            Posting(fees(self.currency), buyer.fee_minor + seller.fee_minor),
            Posting(available(buyer.user_id, self.currency), buyer.released_minor),
            Posting(from_shares(seller.user_id, share), -shares),
            Posting(available(buyer.user_id, share), shares),
        )
        key = _key(f"share-trade:{self.issue_id}:{trade_id}")
        cause = f"trade:{self.issue_id}:{trade_id}"
        return LedgerTransaction(
            key, cause, PURPOSE_TRADE, tuple(line for line in lines if line.amount_minor)
        )
