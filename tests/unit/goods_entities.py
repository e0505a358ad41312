"""What drops and ventures in memory share: people, money, a ledger that says no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from messages.errors import InsufficientFunds
from messages.ledger import LedgerTransaction, currency_of, may_be_negative
from tests.unit.rewards_entities import Entity

ARTIST = "0197a000-0000-7000-8000-0000000000ff"
TREASURY = "outside:treasury:issue/USD"


@dataclass
class Affording(Entity):
    """Where the ledger would refuse what is reserved, nothing is decided."""

    def afford(self, reserved: Iterable[LedgerTransaction]) -> None:
        after = Counter(self.ledger.balances)
        for one in reserved:
            for posting in one.postings:
                after[posting.account] += posting.amount_minor
        if any(left < 0 and not may_be_negative(code) for code, left in after.items()):
            raise InsufficientFunds


def user(number: int) -> str:
    return f"0197a000-0000-7000-8000-{number:012d}"


def some_id(number: int) -> str:
    return f"0197c000-0000-7000-8000-{number:012d}"


def fund(entity: Entity, user_id: str, amount_minor: int = 10**9) -> None:
    entity.ledger.balances[f"user:{user_id}:available/USD"] += amount_minor
    entity.ledger.balances[TREASURY] -= amount_minor


def check_sums(entity: Entity) -> None:
    """Every currency sums to zero."""
    totals: Counter[str] = Counter()
    for code, amount in entity.ledger.balances.items():
        totals[currency_of(code)] += amount
    assert set(totals.values()) <= {0}
