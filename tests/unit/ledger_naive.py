"""The ledger as one would explain it: one transaction at a time, on a copy, kept if all is well.

And the transactions that tests draw, by number.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from domain.ledger import Verdict, capture, hold, release
from messages.errors import IdempotencyKeyReused
from messages.keys import derive_key
from messages.ledger import LedgerTransaction, Posting, account, transfer

SHARE = f"SHARE:{uuid.UUID(int=7)}"
CURRENCIES = ("VIBES", "ETH", SHARE)
OWNERS = 4
NUMBERS = 2_000  # about two of each shape, pair, currency and amount


class NaiveLedger:
    """Balances by account code, and what was posted by key."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}
        self.posted: dict[bytes, LedgerTransaction] = {}

    def copy(self) -> NaiveLedger:
        other = NaiveLedger()
        other.balances, other.posted = dict(self.balances), dict(self.posted)
        return other

    def nonzero(self) -> dict[str, int]:
        return {code: balance for code, balance in self.balances.items() if balance}

    def post(self, transaction: LedgerTransaction) -> Verdict:
        if transaction.key in self.posted:
            if self.posted[transaction.key] != transaction:
                raise IdempotencyKeyReused
            return Verdict.DUPLICATE
        after = dict(self.balances)
        for posting in transaction.postings:
            after[posting.account] = after.get(posting.account, 0) + posting.amount_minor
        for code, left in after.items():
            if left < 0 and not code.startswith("outside:"):
                return Verdict.INSUFFICIENT
        self.balances = after
        self.posted[transaction.key] = transaction
        return Verdict.APPLIED

    def post_all(self, transactions: Sequence[LedgerTransaction]) -> list[Verdict]:
        return [self.post(transaction) for transaction in transactions]


def code(world: str, owner: int, currency: str) -> str:
    """Owner 0 is outside of the platform; `world` keeps runs on one database apart."""
    if owner == 0:
        return account("outside", world, "issue", currency)
    return account("user", f"{world}-{owner}", "available", currency)


def transaction_of(world: str, number: int) -> LedgerTransaction:
    """The transaction of that number: its content follows from its key, so the same is a retry."""
    key = derive_key(world, number)
    cause = f"test:{number}"
    shape, source, target, currency, amount = _shape_of(number)
    from_code, to_code = (code(world, owner, currency) for owner in (source, target))
    third = code(world, (source + 2) % OWNERS, currency)
    if shape == "hold":
        return hold(key, from_code, amount, cause=cause)
    if shape == "release":
        return release(key, from_code, amount, cause=cause)
    if shape == "capture":
        return capture(
            key, from_code, to_code, amount, cause=cause, purpose="sale", released_minor=1
        )
    if shape == "split":
        split = (Posting(from_code, -amount - 1), Posting(to_code, amount), Posting(third, 1))
        return LedgerTransaction(key, cause, "split", split)
    if shape == "exchange":
        other = CURRENCIES[(CURRENCIES.index(currency) + 1) % len(CURRENCIES)]
        exchange = (
            *(Posting(from_code, -amount), Posting(to_code, amount)),
            *(Posting(code(world, target, other), -2), Posting(code(world, source, other), 2)),
        )
        return LedgerTransaction(key, cause, "share-purchase", exchange)
    return transfer(key, from_code, to_code, amount, cause=cause, purpose="test")


AMOUNTS = (1, 3, 10, 10**20)
SHAPES = ("transfer", "transfer", "split", "exchange", "hold", "release", "capture")


def _shape_of(number: int) -> tuple[str, int, int, str, int]:
    number, shape = divmod(number, len(SHAPES))
    number, source = divmod(number, OWNERS)
    number, step = divmod(number, OWNERS - 1)
    number, currency = divmod(number, len(CURRENCIES))
    amount = AMOUNTS[number % len(AMOUNTS)]
    if SHAPES[shape] in {"hold", "release", "capture"}:
        source = source or 1  # what is outside needs no hold
    target = (source + 1 + step) % OWNERS
    return SHAPES[shape], source, target, CURRENCIES[currency], amount
