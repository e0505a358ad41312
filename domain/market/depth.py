"""What everyone sees of a book: the shares at each price, numbered changes, and a checksum.

The checksum is the sum, modulo 2^32, of the CRC-32 of `<side>:<price_minor>:<shares>` over all
levels (side `buy` or `sell`). It does not depend on an order, so a change costs what changed, and
anyone who applies the changes can compare.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from messages.market.orders import DepthLevel, Side

_MASK = 0xFFFF_FFFF


def digest(level: DepthLevel) -> int:
    """A level's part of the checksum; an empty one has none."""
    return _digest(level.side, level.price_minor, level.shares)


def _digest(side: Side, price_minor: int, shares: int) -> int:
    return crc32(f"{side.value}:{price_minor}:{shares}".encode()) if shares else 0


def checksum(levels: Iterable[DepthLevel]) -> int:
    """The checksum of a whole book."""
    return sum(map(digest, levels)) & _MASK


class Depth:
    """The levels of a book. `number`: of the last change that was told."""

    __slots__ = ("checksum", "levels", "number")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.checksum = 0
        self.levels: dict[tuple[Side, int], int] = {}

    def put(self, level: DepthLevel) -> bool:
        """Take over a level as it is now. Whether it was another before."""
        place = (level.side, level.price_minor)
        before = self.levels.get(place, 0)
        if before == level.shares:
            return False
        old = _digest(level.side, level.price_minor, before)
        self.checksum = (self.checksum - old + digest(level)) & _MASK
        if level.shares:
            self.levels[place] = level.shares
        else:
            del self.levels[place]
        return True

    def side(self, side: Side, most: int = 0) -> tuple[DepthLevel, ...]:
        """The levels of a side, best first, `most` of them (0: all)."""
        prices = [price for found, price in self.levels if found is side]
        prices.sort(reverse=side is Side.BUY)
        shown = prices[:most] if most else prices
        return tuple(DepthLevel(side, price, self.levels[side, price]) for price in shown)
