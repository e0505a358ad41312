"""Matching by price and time, compiled: many books, batches of commands in, events out.

`Market` is the face of the kernel; `layout` says what commands, events and levels look like in
memory. `docs/contexts/market-matching.md` has the rules.
"""

from kernels.matching.digest import state_hash, state_lines
from kernels.matching.layout import (
    AUCTION,
    BUY,
    CANCEL,
    CHANGE,
    COMMAND,
    EVENT,
    EXPIRE,
    KINDS,
    MAX_SLICES,
    NEW,
    OPS,
    REASONS,
    REPLACE,
    RESTING,
    SELL,
    SIDES,
    STPS,
    TIFS,
    UNCROSS,
)
from kernels.matching.market import MIN_EVENTS, Market, compile_all

__all__ = [
    "AUCTION",
    "BUY",
    "CANCEL",
    "CHANGE",
    "COMMAND",
    "EVENT",
    "EXPIRE",
    "KINDS",
    "MAX_SLICES",
    "MIN_EVENTS",
    "NEW",
    "OPS",
    "REASONS",
    "REPLACE",
    "RESTING",
    "SELL",
    "SIDES",
    "STPS",
    "TIFS",
    "UNCROSS",
    "Market",
    "compile_all",
    "state_hash",
    "state_lines",
]
