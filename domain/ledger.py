"""The ledger's rules: what a transaction must look like, and what becomes of it.

Pure. `storage.ledger.post` reads the balances of a batch under lock, asks `settle` for the verdicts
and writes what was applied.

A hold sets value aside for something that may or may not happen (an open order, a pending payout):
a transfer from an account to the `held` account of the same owner and currency. Releasing it moves
the value back, capturing it moves it on. A `held` account is the sum of its owner's open holds, so
whoever takes a hold remembers its amount and gives back or captures no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from messages.errors import IdempotencyKeyReused
from messages.keys import KEY_BYTES, derive_key
from messages.ledger import (
    AmountTooLarge,
    BadAccountCode,
    LedgerTransaction,
    MalformedTransaction,
    Posting,
    Unbalanced,
    UnknownCurrency,
    account,
    currency_of,
    may_be_negative,
    transfer,
)
from messages.money import is_currency

HELD = "held"

MAX_TRANSACTIONS = 2_000  # in one batch
MAX_POSTINGS = 1_000  # in one transaction
MAX_CAUSE_CHARS = 200
# The largest payment is a million units and the finest unit 10^-18, so 25 digits are in use.
MAX_AMOUNT_MINOR = 10**30
# What numeric(38, 0) holds. An account gets there after 100 million of the largest amounts.
MAX_BALANCE_MINOR = 10**38 - 1

_CODE = re.compile(
    r"[a-z][a-z0-9-]{0,31}:[A-Za-z0-9_.-]{1,64}:[a-z][a-z0-9-]{0,31}/[A-Za-z0-9_.:-]{1,80}",
    re.ASCII,
)
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)


class Verdict(StrEnum):
    """What became of a transaction."""

    APPLIED = "applied"
    # Its key was posted before, with the same content: nothing changes.
    DUPLICATE = "duplicate"
    # It would take an account below zero: nothing of it is applied, and its key stays free.
    INSUFFICIENT = "insufficient"


class Settlement(NamedTuple):
    """A verdict per transaction, and what each touched account gains or loses by all of them."""

    verdicts: list[Verdict]
    deltas: dict[str, int]


def settle(
    balances: Mapping[str, int],
    transactions: Sequence[LedgerTransaction],
    known: Collection[bytes] = frozenset(),
    *,
    together: bool = False,
) -> Settlement:
    """Decide a batch, in order, each transaction on what the ones before it left.

    Args:
        balances: of every account the batch names, in minor units; an absent one is empty.
        transactions: checked ones (`check_batch`).
        known: the keys among theirs that were posted before.
        together: all are applied if all of them leave no account below zero, whatever their order.

    Raises:
        AmountTooLarge: a balance would outgrow MAX_BALANCE_MINOR.
    """
    if together and (whole := _together(balances, transactions, known)) is not None:
        return whole
    seen = set(known)
    deltas: dict[str, int] = {}
    verdicts = []
    for transaction in transactions:
        if transaction.key in seen:
            verdicts.append(Verdict.DUPLICATE)
            continue
        gains = _gains(transaction.postings)
        after = {code: balances.get(code, 0) + deltas.get(code, 0) + gains[code] for code in gains}
        if any(left < 0 and not may_be_negative(code) for code, left in after.items()):
            verdicts.append(Verdict.INSUFFICIENT)
            continue
        if max(map(abs, after.values())) > MAX_BALANCE_MINOR:
            raise AmountTooLarge("a balance would outgrow 38 digits", key=transaction.key.hex())
        for code, gain in gains.items():
            deltas[code] = deltas.get(code, 0) + gain
        seen.add(transaction.key)
        verdicts.append(Verdict.APPLIED)
    return Settlement(verdicts, deltas)


def _together(
    balances: Mapping[str, int],
    transactions: Sequence[LedgerTransaction],
    known: Collection[bytes],
) -> Settlement | None:
    """All of a batch, if it leaves no account below zero. Raises AmountTooLarge."""
    fresh = {one.key: one for one in transactions if one.key not in known}
    deltas = _gains([posting for one in fresh.values() for posting in one.postings])
    after = {code: balances.get(code, 0) + gain for code, gain in deltas.items()}
    if any(left < 0 and not may_be_negative(code) for code, left in after.items()):
        return None
    if after and max(map(abs, after.values())) > MAX_BALANCE_MINOR:
        raise AmountTooLarge("a balance would outgrow 38 digits")
    verdicts = []
    for one in transactions:
        is_first = fresh.pop(one.key, None) is not None
        verdicts.append(Verdict.APPLIED if is_first else Verdict.DUPLICATE)
    return Settlement(verdicts, deltas)


def _gains(postings: Sequence[Posting]) -> dict[str, int]:
    """What each account gains by all of its lines together (a loss is below zero)."""
    gains: dict[str, int] = {}
    for posting in postings:
        gains[posting.account] = gains.get(posting.account, 0) + posting.amount_minor
    return gains


def check_batch(transactions: Sequence[LedgerTransaction]) -> None:
    """Refuse a batch that no balance could make right.

    Raises:
        MalformedTransaction: or one of its subclasses; `key` in its params says which transaction.
        IdempotencyKeyReused: two of them share a key and differ otherwise.
    """
    if len(transactions) > MAX_TRANSACTIONS:
        raise MalformedTransaction(f"a batch has at most {MAX_TRANSACTIONS} transactions")
    first: dict[bytes, LedgerTransaction] = {}
    for transaction in transactions:
        check(transaction)
        if first.setdefault(transaction.key, transaction) != transaction:
            raise key_reused(transaction.key)


def check(transaction: LedgerTransaction) -> None:
    """Refuse a transaction that no balance could make right. Raises MalformedTransaction."""
    key = transaction.key
    if len(key) != KEY_BYTES:
        raise MalformedTransaction(f"a key has {KEY_BYTES} bytes", key=key.hex())
    if not 0 < len(transaction.cause) <= MAX_CAUSE_CHARS or not transaction.cause.isprintable():
        raise MalformedTransaction(
            f"a cause has 1 to {MAX_CAUSE_CHARS} printable characters", key=key.hex()
        )
    if not _purpose_is_valid(transaction.purpose):
        raise MalformedTransaction("a purpose is a word like `listen-reward`", key=key.hex())
    if not 2 <= len(transaction.postings) <= MAX_POSTINGS:
        raise MalformedTransaction(f"a transaction has 2 to {MAX_POSTINGS} lines", key=key.hex())
    sums: dict[str, int] = {}
    for posting in transaction.postings:
        currency = currency_held(posting.account)
        _check_amount(posting.amount_minor, key)
        sums[currency] = sums.get(currency, 0) + posting.amount_minor
    if any(sums.values()):
        raise Unbalanced(key=key.hex(), sums=", ".join(f"{v} {c}" for c, v in sums.items()))


def _check_amount(amount_minor: int, key: bytes) -> None:
    # True is an int to Python; a float or a Decimal would round on its way to the database.
    if type(amount_minor) is not int or amount_minor == 0:
        raise MalformedTransaction("an amount is an integer other than zero", key=key.hex())
    if abs(amount_minor) > MAX_AMOUNT_MINOR:
        raise AmountTooLarge("an amount has at most 31 digits", key=key.hex())


# The same few accounts come again and again, and a pattern costs more than all else in a check.
@lru_cache(maxsize=65_536)
def currency_held(account_code: str) -> str:
    """The currency of a well-formed account code. Raises BadAccountCode or UnknownCurrency."""
    if not _CODE.fullmatch(account_code):
        raise BadAccountCode(account=account_code[:200])
    currency = currency_of(account_code)
    if not is_currency(currency):
        raise UnknownCurrency(account=account_code, currency=currency)
    return currency


@lru_cache(maxsize=256)
def _purpose_is_valid(purpose: str) -> bool:
    return _PURPOSE.fullmatch(purpose) is not None


def key_reused(key: bytes) -> IdempotencyKeyReused:
    """The error for a key that stands for another transaction already."""
    return IdempotencyKeyReused("this key belongs to another ledger transaction", key=key.hex())


def held_account(account_code: str) -> str:
    """Where value of `account_code` waits while it is on hold: its owner's `held` account."""
    owner_kind, owner_id, purpose_and_currency = account_code.split(":", 2)
    return account(owner_kind, owner_id, HELD, currency_of(purpose_and_currency))


def hold(
    key: bytes, source: str, amount_minor: int, *, cause: str, purpose: str = "hold"
) -> LedgerTransaction:
    """Set aside `amount_minor` > 0 of what `source` has."""
    return transfer(key, source, held_account(source), amount_minor, cause=cause, purpose=purpose)


def release(
    key: bytes, source: str, amount_minor: int, *, cause: str, purpose: str = "release"
) -> LedgerTransaction:
    """Give back to `source` what is left of a hold on it: `amount_minor` > 0."""
    return transfer(key, held_account(source), source, amount_minor, cause=cause, purpose=purpose)


def capture(
    key: bytes,
    source: str,
    target: str,
    amount_minor: int,
    *,
    cause: str,
    purpose: str,
    released_minor: int = 0,
) -> LedgerTransaction:
    """Pay `amount_minor` > 0 to `target` out of a hold on `source`.

    `released_minor` >= 0 goes back to `source` at once, when less was due than had been set aside.
    """
    assert amount_minor > 0, "a capture pays a positive amount"
    assert released_minor >= 0, "a release gives back"
    lines = [
        Posting(held_account(source), -amount_minor - released_minor),
        Posting(target, amount_minor),
    ]
    if released_minor:
        lines.append(Posting(source, released_minor))
    return LedgerTransaction(key, cause, purpose, tuple(lines))


def net(transfers: Iterable[LedgerTransaction], key: bytes, cause: str) -> list[LedgerTransaction]:
    """Transfers of two lines each as their sums: one for each pair of accounts that is not zero.

    The sums are the lines of as few transactions as hold them, of the first one's purpose. `key`
    and `cause` are those of what made all of them happen.
    """
    sums: dict[tuple[str, str], int] = {}
    purpose = ""
    for one in transfers:
        (source, taken), (target, _) = ((p.account, p.amount_minor) for p in one.postings)
        pair = (source, target) if source < target else (target, source)
        sums[pair] = sums.get(pair, 0) + (taken if pair[0] == source else -taken)
        purpose = purpose or one.purpose
    lines = [
        (Posting(first, amount), Posting(second, -amount))
        for (first, second), amount in sums.items()
        if amount
    ]
    size = MAX_POSTINGS // 2
    return [
        LedgerTransaction(
            derive_key("net", key, start),
            cause,
            purpose,
            tuple(chain(*lines[start : start + size])),
        )
        for start in range(0, len(lines), size)
    ]


class Difference(NamedTuple):
    """Something that a correct ledger cannot contain.

    kind: what is wrong (`DIFFERENCES` says it in words).
    subject: the account's code, the transaction's id and currency, or the currency.
    expected, found: minor units, or numbers of lines.
    """

    kind: str
    subject: str
    expected: int
    found: int


DIFFERENCES = {
    "balance": "an account's balance is not the sum of its postings",
    "negative": "an account that may not be below zero is",
    "unbalanced": "a transaction's postings do not sum to zero in a currency",
    "currency": "the balances of all accounts of a currency do not sum to zero",
    "incomplete": "a transaction does not have the number of postings it was written with",
    "orphan": "a posting has no transaction, or no account",
    "account": "an account's currency or right to owe is not what its code says",
}
