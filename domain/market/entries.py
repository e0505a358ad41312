"""The entries of a book's journal: what a book is told and answers, as text, chained by hashes.

All of it is public; `docs/contexts/market.md` says how anyone can make the chain again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from domain.market.book import Book
from messages.market.orders import Instruction, Output

CHAIN_BYTES = 32
_TELL: dict[str, Callable[[Any, Any], Iterable[Any]]] = {
    "new": lambda book, told: book.submit(
        told.order_id,
        told.side,
        told.tif,
        told.stp,
        told.owner,
        told.price,
        told.quantity,
        display=told.display,
        stop=told.stop,
        expires_at_ms=told.expires,
    ),
    "cancel": lambda book, told: book.cancel(told.order_id, told.owner),
    "replace": lambda book, told: book.replace(
        told.order_id, told.owner, told.price, told.quantity, told.tif, told.stp
    ),
    "expire": lambda book, told: book.expire(told.expires),
    "uncross": lambda book, told: book.uncross(told.price),
    "auction": lambda book, told: _collect(book),
}
_encode = msgspec.json.Encoder().encode
Entry = tuple[int, int, tuple[Instruction, ...], tuple[Output, ...]]
decode = msgspec.json.Decoder(Entry).decode  # what `entry` made. Raises msgspec.DecodeError.


def _collect(book: Book) -> Iterable[Output]:
    book.set_auction(True)
    return ()


def entry(
    number: int, at_ms: int, instructions: Sequence[Instruction], outputs: Sequence[Output]
) -> bytes:
    """The public part of an entry: compact JSON, `[number, at_ms, instructions, outputs]`."""
    return _encode((number, at_ms, instructions, outputs))


def tell(book: Book, told: Instruction) -> tuple[Output, ...]:
    """Have a book whose events are Outputs do an instruction; its answer."""
    return tuple(_TELL[told.op](book, told))


def link(chain: bytes, body: bytes) -> bytes:
    """The chain after an entry: BLAKE2b-256 of the chain before it, then the entry."""
    return blake2b(chain + body, digest_size=CHAIN_BYTES).digest()
