"""A journal is matched again entry by entry; what it cannot have been is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.market.entries import CHAIN_BYTES, entry, link
from domain.market.rematch import Rematch, Totals
from messages.market.orders import BookAdvanced, SelfTrade
from tests.unit.market_desk import ARTIST, FAN, OTHER, TICK, Desk, active


def journal() -> tuple[Desk, list[BookAdvanced]]:
    """A book with a bit of everything, and its entries."""
    desk = Desk(active(artist=5_000, fan=50), {FAN: 10**7, OTHER: 10**7})
    desk.open()
    desk.sell(ARTIST, 50, 1_010, display=7)
    desk.sell(ARTIST, 5, 1_020)
    desk.buy(FAN, 30, 1_010)
    desk.sell(FAN, 9, 1_005)
    desk.buy(FAN, 9, 1_010, self_trade=SelfTrade.DECREMENT)
    desk.replace(ARTIST, 2, 8, 1_015)
    desk.buy(OTHER, 100, 1_100)
    desk.pass_time(desk.policy.halt_ms)
    desk.pass_time(desk.policy.auction_ms)
    return desk, [event for event in desk.events if isinstance(event, BookAdvanced)]


def text(event: BookAdvanced) -> bytes:
    return entry(event.number, event.at_ms, event.instructions, event.outputs)


def test_a_journal_makes_its_book() -> None:
    desk, events = journal()
    trading = desk.market.trading
    assert trading is not None
    again = Rematch(trading.max_price, trading.capacity)
    for event in events:
        assert again.take(text(event), event.chain), again.wrong
    assert (again.number, again.chain) == (trading.number, trading.chain)
    assert again.book.state_hash() == trading.book.state_hash()
    assert again.open_orders() == {n: order.left for n, order in trading.orders.items()}
    made = [trade for e in desk.events for trade in getattr(e, "trades", ())]
    assert again.totals == Totals(
        len(made),
        sum(trade.shares for trade in made),
        sum(trade.shares * trade.price_minor for trade in made) // TICK,
    )


def test_the_order_of_entries_and_their_hashes_count() -> None:
    _, events = journal()
    again = Rematch(4_096, 20_000)
    assert not again.take(text(events[1]), events[1].chain)
    assert again.wrong == "after entry 0: entry 2 follows"
    again = Rematch(4_096, 20_000)
    assert not again.take(text(events[0]), events[1].chain)
    assert "hash" in again.wrong


@pytest.mark.parametrize(
    ("instruction", "why"),
    [
        ("not json", "cannot be read"),
        (["sing"], "an instruction is none"),
        (["new", "both", "gtc", "none", 1, 0, 200, 5], "an instruction is none"),
        (["new", "buy", "gtc", "none", 1, 0, 2**63, 5], "an instruction is none"),
        (["new", "buy", "gtc", "none", 1, 0, 200, 5], "answers otherwise"),
    ],
)
def test_what_no_book_was_told_is_refused(instruction: Any, why: str) -> None:
    body = json.dumps([1, 7, [instruction], []], separators=(",", ":")).encode()
    again = Rematch(4_096, 20_000)
    assert not again.take(body, link(bytes(CHAIN_BYTES), body))
    assert why in again.wrong
