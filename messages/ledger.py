"""The ledger's vocabulary: accounts by code, postings, transactions.

An account code is `<owner kind>:<owner id>:<purpose>/<currency>`, for example
`user:0197…:available/VIBES`, `pool:0197…:balance/VIBES`, `user:0197…:held/SHARE:0197…`. Codes whose
owner kind is `outside` stand for the world beyond the platform (`outside:treasury:issue/VIBES`,
`outside:stripe:clearing/USD`) and are the only ones that may go below zero.
"""

from __future__ import annotations

import msgspec

from messages.errors import Invalid

OUTSIDE = "outside:"


class MalformedTransaction(Invalid):
    """A ledger transaction breaks a rule on its own, whatever the balances are."""

    code = "ledger-malformed"


class BadAccountCode(MalformedTransaction):
    """An account code is `<owner kind>:<owner id>:<purpose>/<currency>`."""

    code = "ledger-account-code"


class UnknownCurrency(MalformedTransaction):
    """The ledger does not know this currency."""

    code = "ledger-currency"


class Unbalanced(MalformedTransaction):
    """The postings of a transaction sum to zero in each currency."""

    code = "ledger-unbalanced"


class AmountTooLarge(MalformedTransaction):
    """The amount, or the balance that it would lead to, is beyond what the ledger can hold."""

    code = "ledger-amount"


class Posting(msgspec.Struct, frozen=True, array_like=True):
    """One line of a transaction: `amount_minor` is added to `account` (negative: taken from it)."""

    account: str
    amount_minor: int


class LedgerTransaction(msgspec.Struct, frozen=True, array_like=True):
    """Postings that sum to zero per currency, applied together or not at all, once per `key`.

    `cause` names what made it happen (`reward:<session id>`), `purpose` is one of DOMAIN's purposes
    (`listen-reward`, `refund`, …).
    """

    key: bytes
    cause: str
    purpose: str
    postings: tuple[Posting, ...]


def account(owner_kind: str, owner_id: str, purpose: str, currency: str) -> str:
    """Compose an account code."""
    return f"{owner_kind}:{owner_id}:{purpose}/{currency}"


def currency_of(account_code: str) -> str:
    """The currency an account holds, which is what follows the first slash of its code."""
    return account_code.split("/", 1)[1]


def may_be_negative(account_code: str) -> bool:
    """Only accounts of the outside world may owe."""
    return account_code.startswith(OUTSIDE)


def transfer(
    key: bytes, source: str, target: str, amount_minor: int, *, cause: str, purpose: str
) -> LedgerTransaction:
    """The two-line transaction that moves `amount_minor` > 0 from `source` to `target`."""
    assert amount_minor > 0, "a transfer moves a positive amount"
    lines = (Posting(source, -amount_minor), Posting(target, amount_minor))
    return LedgerTransaction(key, cause, purpose, lines)
