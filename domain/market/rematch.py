"""Matching a book's journal again: whoever has it can check every answer the book gave.

Needs nothing but the entries and the book's sizes, so it is what `make verify` runs and what anyone
may do with the public export.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from domain.market.book import Book
from domain.market.entries import CHAIN_BYTES, decode, link, tell
from messages.market.orders import Output


class Totals(NamedTuple):
    """What a journal's trades amount to. value_ticks: the sum of price times shares."""

    trades: int
    shares: int
    value_ticks: int


class Rematch:
    """A book that is made again. After `wrong` was set once, nothing that follows counts."""

    def __init__(self, max_price: int, capacity: int) -> None:
        self.book = Book(capacity, max_price, Output)
        self.number = 0
        self.chain = bytes(CHAIN_BYTES)
        self.totals = Totals(0, 0, 0)
        self.wrong = ""

    def take(self, text: bytes, chain: bytes) -> bool:
        """Match the next entry; whether it says what the book says, and is chained to the last."""
        try:
            number, _, instructions, outputs = decode(text)
        except msgspec.DecodeError:
            return self._fail("the entry cannot be read")
        if number != self.number + 1:
            return self._fail(f"entry {number} follows")
        if (made := link(self.chain, text)) != chain:
            return self._fail("the entry is not what its hash was made over")
        self.number, self.chain = number, made
        try:
            found = tuple([output for told in instructions for output in tell(self.book, told)])
        except (KeyError, struct.error):  # a word or a number that no book was ever told
            return self._fail("an instruction is none")
        if found != outputs:
            return self._fail("the book answers otherwise")
        for output in outputs:
            if output.kind == "trade":
                trades, shares, value = self.totals
                value += output.price * output.quantity
                self.totals = Totals(trades + 1, shares + output.quantity, value)
        return True

    def open_orders(self) -> dict[int, int]:
        """What the orders that rest or wait still want, by number."""
        return {order.order_id: order.quantity + order.hidden for order in self.book.resting()}

    def _fail(self, why: str) -> bool:
        self.wrong = f"after entry {self.number}: {why}"
        return False
