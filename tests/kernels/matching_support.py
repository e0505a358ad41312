"""The kernel and its twin fed with the same commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kernels.matching import (
    CHANGE,
    COMMAND,
    EVENT,
    KINDS,
    OPS,
    REASONS,
    SIDES,
    STPS,
    TIFS,
    Market,
)
from tests.kernels.naive import market as naive
from tests.kernels.naive.market import Command, Event


def encoded(commands: Sequence[Command]) -> Any:
    """Commands as the kernel reads them."""
    rows = np.zeros(len(commands), COMMAND)
    for row, c in zip(rows, commands, strict=True):
        row["op"], row["side"] = OPS.index(c.op), SIDES.index(c.side)
        row["tif"], row["stp"] = TIFS.index(c.tif), STPS.index(c.stp)
        for name in ("stop", "symbol", "order_id", "owner", "price", "quantity", "display"):
            row[name] = getattr(c, name)
        row["expires"] = c.expires
    return rows


def decoded(events: Any) -> list[Event]:
    """Events in words."""
    return [
        Event(
            KINDS[kind], seq, symbol, SIDES[side], REASONS[reason], price, quantity, order_id,
            maker, owner, maker_owner,
        )
        for kind, side, reason, _, price, seq, symbol, order_id, maker, owner, maker_owner,
        quantity in events.tolist()
    ]  # fmt: skip


def played(
    market: Market, commands: Any, events: int = 4096, first_seq: int = 0
) -> Iterator[list[Event]]:
    """Run commands through a buffer of so many events; each bufferful."""
    buffer = np.zeros(events, EVENT)
    market.give_events(buffer)
    market.give_commands(commands, first_seq)
    while True:
        yield decoded(buffer[: market.run()])
        if market.is_done:
            return


def said(market: Market, commands: Sequence[Command], **more: int) -> list[Event]:
    """All events of the commands."""
    return [event for part in played(market, encoded(commands), **more) for event in part]


def told(twin: naive.Market, commands: Sequence[Command], first_seq: int = 0) -> list[Event]:
    """All events of the twin."""
    return [e for at, c in enumerate(commands) for e in twin.apply(first_seq + at, c)]


def orders(market: Market) -> list[tuple[Any, ...]]:
    """All live orders of the kernel, in the order of the twin's `live`."""
    return [
        (order_id, owner, symbol, SIDES[side], price, quantity, hidden, stop, display, expires)
        for at in range(len(market.state.phases))
        for side, _, _, _, stop, symbol, order_id, owner, price, quantity, hidden, display,
        expires in market.dump(at).tolist()
    ]  # fmt: skip


def orders_of_twin(twin: naive.Market) -> list[tuple[Any, ...]]:
    """The same of the twin."""
    return [
        (
            o.order_id, o.owner, o.symbol, o.side, o.price, o.shown, o.hidden, o.stop, o.display,
            o.expires,
        )
        for o in twin.live()
    ]  # fmt: skip


def levels(market: Market, symbol: int, side: str) -> list[tuple[int, int, int]]:
    """Price, shown quantity and orders of each level, best first."""
    out = np.zeros(market.state.orders.shape[0], CHANGE)
    count = market.best_levels(out, symbol, SIDES.index(side))
    return [(price, quantity, orders) for _, _, price, orders, quantity in out[:count].tolist()]


def check_same(market: Market, twin: naive.Market) -> None:
    """Every order, level and best price of the kernel is that of the twin."""
    assert orders(market) == orders_of_twin(twin)
    for symbol in range(twin.symbols):
        for side in SIDES:
            assert levels(market, symbol, side) == twin.levels(symbol, side)
    check_sound(market)


def check_sound(market: Market) -> None:
    """What the kernel keeps besides agrees with its orders."""
    state, width = market.state, market.state.meta[1]
    for row_side, side in enumerate(state.sides):
        at = 2 * np.arange(width) + 2 * width * (row_side // 2) + row_side % 2
        own = state.levels[at]
        prices = np.flatnonzero(own["orders"])
        assert side["orders"] == own["orders"].sum()
        ends = (0, -1) if row_side % 2 else (-1, 0)
        empty = width if row_side % 2 else 0
        assert side["best"] == (prices[ends[0]] if len(prices) else empty)
        slots = [slot for level in own[prices] for slot in _queue(state, level)]
        slices = sum(
            1 + -(-int(state.orders["aside"][slot]) // int(state.orders["display"][slot]))
            if state.orders["special"][slot] & 1
            else 1
            for slot in slots
        )
        assert side["slices"] == slices
        assert not np.any(own["quantity"][own["orders"] == 0])
    assert np.count_nonzero(state.ids) == market.live


def _queue(state: Any, level: Any) -> list[int]:
    slots, slot, before = [], int(level["head"]), 0
    while slot:
        assert state.orders["prev"][slot] == before
        slots.append(slot)
        slot, before = int(state.orders["next"][slot]), slot
    assert level["tail"] == before
    assert len(slots) == level["orders"]
    return slots
