"""Making the entries of a book's journal again that memory does not have yet, from their facts.

Each comes out as it did, or the book is lost.
"""

from __future__ import annotations

from domain.market.advance import Advance
from domain.market.entries import decode
from domain.market.state import Changes, Market
from messages.market.orders import BookAdvanced, EntryJoined, OrdersAdvanced


def again(market: Market, event: BookAdvanced) -> None:
    """An entry of one command."""
    if not _is_next(market, event):
        return
    advance = Advance(market, event.at_ms, event.reason)
    for instruction in event.instructions:
        advance.run(instruction)
    advance.finish(event.phase, event.until_ms, event.entered)
    _check(market, event)


def again_together(market: Market, event: OrdersAdvanced) -> None:
    """An entry of several."""
    if not _is_next(market, event):
        return
    advance = Advance(market, event.at_ms, together=True)
    _, _, instructions, _ = decode(event.text)
    waiting = iter(instructions)
    for part in event.parts:
        for _ in range(part.instructions):
            advance.run(next(waiting))
        advance.settle(part.entered)
    advance.finish_together(event.phase, event.until_ms)
    _check(market, event)


def _joined(market: Market, event: EntryJoined) -> None:
    """What it did follows from the entry."""


def _is_next(market: Market, event: BookAdvanced | OrdersAdvanced) -> bool:
    trading = market.trading
    assert trading is not None, "a book is opened before it advances"
    if event.number <= trading.number:
        return False
    assert event.number == trading.number + 1, "entries follow each other"
    return True


def _check(market: Market, event: BookAdvanced | OrdersAdvanced) -> None:
    trading = market.trading
    assert trading is not None, "it has just advanced"
    assert trading.chain == event.chain, "the same instructions make the same book"


CHANGES: Changes = {
    BookAdvanced: again,
    OrdersAdvanced: again_together,
    EntryJoined: _joined,
}
