"""A matching engine of the Python registry plays a stream: python matching_peer.py NAME FOLDER.

Says `ready`, then for each line `stream begin count` the seconds that `count` commands took after
the first `begin`, and the quantity that was traded in all. Each engine has one call a command, as
its users have; one that knows no replace or no immediate-or-cancel gets the calls that make it.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

ROW = struct.Struct("<BBBBi7q")
NEW, CANCEL = 0, 1
IOC = 1

# op, side, tif, symbol, order_id, owner, price, quantity
Row = tuple[int, int, int, int, int, int, int, int]
Play = Callable[[list[Row]], int]


def obook(symbols: int, orders: int) -> Play:
    """Go, through its C interface; events are read after each command, as it hands them out."""
    engine: Any = import_module("obook")
    limit, trade = engine.LIMIT, engine.EventKind.TRADE
    books = [engine.Book(max_orders=max(1 << 12, (1 << 17) // symbols)) for _ in range(symbols)]
    ids = [0] * orders
    tifs = (engine.GTC, engine.IOC)

    def play(rows: list[Row]) -> int:
        traded = 0
        for op, side, tif, symbol, order_id, owner, price, quantity in rows:
            book = books[symbol]
            if op == NEW:
                result = book.submit(owner, side, price, quantity, limit, tifs[tif])
                ids[order_id] = result.order_id
            elif op == CANCEL:
                book.cancel(ids[order_id], owner)
            else:
                ids[order_id] = book.replace(ids[order_id], owner, side, price, quantity).order_id
            traded += sum(e.qty for e in book.events() if e.kind == trade)
        return traded

    return play


def litebook(symbols: int, orders: int) -> Play:
    """Rust, prices as floats."""
    engine: Any = import_module("litebook")
    books = [engine.OrderBook(tick_size=1.0) for _ in range(symbols)]
    ids = [""] * orders
    sides = (engine.OrderType.Buy, engine.OrderType.Sell)

    def play(rows: list[Row]) -> int:
        traded = 0.0
        for op, side, tif, symbol, order_id, _, price, quantity in rows:
            book = books[symbol]
            if op != NEW:
                book.cancel(ids[order_id])
            if op != CANCEL:
                order = book.create_order(sides[side], float(price), float(quantity))
                fills = book.add(order)
                ids[order_id] = order.id
                if fills:
                    traded += sum(fill.quantity for fill in fills)
                if tif == IOC:
                    book.cancel(order.id)
        return int(traded)

    return play


def lightmatchingengine(symbols: int, orders: int) -> Play:
    """Python throughout."""
    module: Any = import_module("lightmatchingengine.lightmatchingengine")
    engine = module.LightMatchingEngine()
    ids = [0] * orders

    def play(rows: list[Row]) -> int:
        traded = 0
        for op, side, tif, symbol, order_id, _, price, quantity in rows:
            if op != NEW:
                engine.cancel_order(ids[order_id], symbol)
            if op != CANCEL:
                order, _trades = engine.add_order(symbol, price, quantity, side + 1)
                ids[order_id] = order.order_id
                traded += order.cum_qty
                if tif == IOC and order.leaves_qty:
                    engine.cancel_order(order.order_id, symbol)
        return traded

    return play


PEERS: dict[str, Callable[[int, int], Play]] = {
    "obook": obook,
    "litebook": litebook,
    "lightmatchingengine": lightmatchingengine,
}


def read(file: Path, count: int) -> list[Row]:
    """The first commands of a stream."""
    content = file.read_bytes()[: count * ROW.size]
    return [
        (op, side, tif, symbol, order_id, owner, price, quantity)
        for op, side, tif, _, _, symbol, order_id, owner, price, quantity, _, _ in ROW.iter_unpack(
            content
        )
    ]


def main(name: str, folder: str) -> None:
    """Play what is asked for, each time in books that are new."""
    make: Any = PEERS[name]
    make(1, 1)
    print("ready", flush=True)
    for line in sys.stdin:
        stream, begin, count = line.split()
        rows = read(Path(folder) / stream, int(begin) + int(count))
        symbols = 1 + max(row[3] for row in rows)
        play = make(symbols, 1 + max(row[4] for row in rows))
        first, timed = rows[: int(begin)], rows[int(begin) :]
        before = play(first)
        began = time.perf_counter()
        traded = play(timed)
        seconds = time.perf_counter() - began
        print(json.dumps([seconds, before + traded]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
