"""Who holds how many shares of an issue, what they cost, and what open orders may add.

The ledger has the shares themselves; this is their owner's memory of it, which answers who may buy
how much and who holds what at a record date without asking. Every change goes with the ledger
transaction that moves the same shares. Cost is kept by the average-cost method.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Holding(msgspec.Struct, array_like=True):
    """A user's shares of one issue. Changed in place, by facts only.

    available, held, locked: shares, as in the ledger's accounts of those names.  buying: shares
    that open buy orders may still add.  cost_minor: what the shares cost, fees and all.
    realised_minor: proceeds of the shares that were sold, less what those had cost.
    """

    available: int = 0
    held: int = 0
    locked: int = 0
    buying: int = 0
    cost_minor: int = 0
    realised_minor: int = 0

    @property
    def shares(self) -> int:
        """All that the user owns."""
        return self.available + self.held + self.locked

    @property
    def exposure(self) -> int:
        """All that the user would own if every open buy order were filled: what the cap is on."""
        return self.shares + self.buying

    def acquire(self, shares: int, cost_minor: int) -> None:
        """Shares came in, ready to be sold."""
        self.available += shares
        self.cost_minor += cost_minor

    def dispose(self, shares: int, proceeds_minor: int) -> None:
        """Held shares were sold."""
        assert 0 < shares <= self.held, "sold more than was held"
        cost_minor = self.cost_minor * shares // self.shares
        self.held -= shares
        self.cost_minor -= cost_minor
        self.realised_minor += proceeds_minor - cost_minor

    def hold(self, shares: int) -> None:
        """An order may take them (below zero: it no longer may)."""
        self.available -= shares
        self.held += shares
        assert min(self.available, self.held) >= 0, "held more than is there"

    def lock(self, shares: int) -> None:
        """They may not be sold (below zero: they may again)."""
        self.available -= shares
        self.locked += shares
        assert min(self.available, self.locked) >= 0, "locked more than is there"


Holders = dict[str, Holding]  # by user id, in the order in which they first came to hold some


def owners(holders: Mapping[str, Holding]) -> dict[str, int]:
    """The users who own shares, and how many."""
    return {user_id: h.shares for user_id, h in holders.items() if h.shares}
