"""How far from its references a price may be. In ticks.

The static band is around SETTLE, which is slow: an order outside it is refused. The dynamic band is
around INDEX, which follows the hour: a trade outside it does not happen, the book halts and opens
again by an auction.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from domain.policy import BPS


class Band(NamedTuple):
    """The lowest and the highest price that are inside."""

    low: int
    high: int

    def holds(self, price: int) -> bool:
        """Whether a price is inside."""
        return self.low <= price <= self.high


@lru_cache(maxsize=4_096)  # an order asks for it some six times, at a price that seldom moves
def around(reference: int, bps: int, max_price: int) -> Band:
    """The band of `bps` around a reference, within what the book can hold.

    It holds the reference and, so that a cheap share can move at all, a tick to either side.
    """
    low = -(-reference * (BPS - bps) // BPS)
    high = reference * (BPS + bps) // BPS
    return Band(max(1, min(low, reference - 1)), min(max_price - 1, max(high, reference + 1)))
