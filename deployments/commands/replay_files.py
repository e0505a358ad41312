"""A replay: a file's commands through a market made for them, events and final state out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from kernels.matching.digest import state_hash, state_lines
from kernels.matching.layout import COMMAND, EVENT, NEW, Array
from kernels.matching.market import Market
from kernels.matching.text import COLUMNS, EVENT_COLUMNS, Writer, problem, read_lines

MAX_PRICE = 4096
MAX_SYMBOLS = 4096
BLOCK_BYTES = 1 << 22
EVENTS = 1 << 16


class BadLineError(Exception):
    """A line of a replay file that says no command."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line} {why}")


def read(file: BinaryIO) -> Array:
    """All commands of a replay file. Raises BadLineError."""
    header = file.readline().rstrip(b"\r\n")
    if header != COLUMNS:
        raise BadLineError(1, f"is not the header {COLUMNS.decode()}")
    parts, line = [np.zeros(0, COMMAND)], 2
    for block in _blocks(file):
        rows, why = read_lines(block)
        parts.append(rows)
        line += len(rows)
        if why:
            raise BadLineError(line, problem(why))
    return np.concatenate(parts)


def replay(commands: Array, write: Callable[[Any], Any]) -> None:
    """Apply the commands to an empty market, writing a header, the events, and the state's line.

    Symbols are those below MAX_SYMBOLS; there is room for every order.
    """
    market = market_for(commands)
    events, writer = np.zeros(EVENTS, EVENT), Writer(EVENTS)
    market.give_events(events)
    market.give_commands(commands)
    write(EVENT_COLUMNS + b"\n")
    while True:
        try:
            used = market.run()
        except BufferError:
            events, writer = np.zeros(2 * market.needed, EVENT), Writer(2 * market.needed)
            market.give_events(events)
            continue
        write(writer.lines(events[:used]))
        if market.is_done:
            break
    write(f"state,{market_hash(market)}\n".encode())


def market_for(commands: Array) -> Market:
    """An empty market with the symbols that the commands name, and room for all of their orders."""
    orders = int(np.count_nonzero(commands["op"] == NEW))
    highest = int(commands["symbol"].max(initial=0))
    return Market(1 + min(highest, MAX_SYMBOLS - 1), MAX_PRICE, max(1, orders))


def market_hash(market: Market) -> str:
    """The state's hash: all live orders, symbols ascending."""
    symbols = len(market.state.phases)
    rows = (market.dump(symbol) for symbol in range(symbols))
    return state_hash(line for each in rows for line in state_lines(each))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in blocks of whole lines."""
    rest = b""
    while block := file.read(BLOCK_BYTES):
        whole, newline, after = block.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = after
        else:
            rest += block
    if rest:
        yield rest
