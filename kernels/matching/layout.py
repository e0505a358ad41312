"""What lies where: orders, levels, sides, commands and events as plain memory.

All of a market's state is one `State`, a tuple of arrays that are made once. Nothing is null but
slot 0, so that fresh memory is an empty book and pages that no order touches are never fetched.

- Row: a ladder of prices with a buying and a selling side. Symbol s has row s for what rests, and
  row symbols + s for stops that wait: there the trigger is the price, and the sides are swapped
  (the buy stop to wake first is the lowest, as an ask is).
- Level: 2·(row·width + price) + side, both sides of a price in one cache line. Its orders are a
  doubly linked queue, first come, first served.
- Bits: a tree of words over the levels of a side that hold orders, sixty-four to one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LINE_BYTES = 64
MAX_WIDTH = 1 << 18  # three words deep
MAX_LEVELS = 1 << 30
MAX_ORDERS = (1 << 30) - 1
MAX_QUANTITY = (1 << 63) - 1  # of a level, and so of an order
MAX_SLICES = 100  # of an iceberg: bounds what one command can cause

int64: Any = np.int64  # what counts and indexes are, compiled or not


def _codes(count: int) -> list[Any]:
    """0, 1, 2 …, typed: Numba would compile a function once for each literal it is called with."""
    return [int64(code) for code in range(count)]


BUY, SELL = _codes(2)
NEW, CANCEL, REPLACE, EXPIRE, UNCROSS, AUCTION = _codes(6)
GTC, IOC, FOK, POST, MARKET = _codes(5)
NONE, CANCEL_NEWEST, CANCEL_OLDEST, CANCEL_BOTH, DECREMENT = _codes(5)
ZERO = int64(0)

OPS = ("new", "cancel", "replace", "expire", "uncross", "auction")
SIDES = ("buy", "sell")
TIFS = ("gtc", "ioc", "fok", "post", "market")
STPS = ("none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement")
KINDS = ("ack", "trade", "cancelled", "rejected", "replaced", "decremented", "triggered")
REASONS = (
    "", "symbol", "quantity", "price", "duplicate", "post_only", "fok", "unknown", "owner", "ioc",
    "user", "stp", "capacity", "stop", "display", "expiry", "auction", "expired", "malformed",
)  # fmt: skip
ACK, TRADE, CANCELLED, REJECTED, REPLACED, DECREMENTED, TRIGGERED = _codes(len(KINDS))
(
    FINE, R_SYMBOL, R_QUANTITY, R_PRICE, R_DUPLICATE, R_POST_ONLY, R_FOK, R_UNKNOWN, R_OWNER, R_IOC,
    R_USER, R_STP, R_CAPACITY, R_STOP, R_DISPLAY, R_EXPIRY, R_AUCTION, R_EXPIRED, R_MALFORMED,
) = _codes(len(REASONS))  # fmt: skip

# Words of `State.meta`.
(
    SYMBOLS, WIDTH, WIDTH_BITS, MAX_PRICE, CAPACITY, LIVE, FREE, FRESH, CHANGES, DATED,
    ELECTING, LOW, HIGH, SEQ, TREE, IDS_MASK,
) = range(16)  # fmt: skip

# An order: `aside` is what an iceberg hides, or the limit of a stop that waits.
ORDER = np.dtype(
    [
        ("order_id", "i8"), ("owner", "i8"), ("quantity", "i8"), ("aside", "i8"),
        ("display", "i8"), ("expires", "i8"), ("next", "i4"), ("prev", "i4"), ("level", "i4"),
        ("tif", "u1"), ("stp", "u1"), ("special", "u1"), ("spare", "u1"),
    ]
)  # fmt: skip
# A level: `mark` is set while it is in the list of changes.
LEVEL = np.dtype(
    [
        ("quantity", "i8"), ("hidden", "i8"), ("head", "i4"), ("tail", "i4"), ("orders", "i4"),
        ("mark", "i4"),
    ]
)  # fmt: skip
# A side of a row: best price (0 bids, `width` asks when empty); `slices` bounds its trades.
SIDE = np.dtype([("best", "i4"), ("orders", "i4"), ("slices", "i8")])
COMMAND = np.dtype(
    [
        ("op", "u1"), ("side", "u1"), ("tif", "u1"), ("stp", "u1"), ("stop", "i4"),
        ("symbol", "i8"), ("order_id", "i8"), ("owner", "i8"), ("price", "i8"),
        ("quantity", "i8"), ("display", "i8"), ("expires", "i8"),
    ]
)  # fmt: skip
EVENT = np.dtype(
    [
        ("kind", "u1"), ("side", "u1"), ("reason", "u1"), ("spare", "u1"), ("price", "i4"),
        ("seq", "i8"), ("symbol", "i8"), ("order_id", "i8"), ("maker_order_id", "i8"),
        ("owner", "i8"), ("maker_owner", "i8"), ("quantity", "i8"),
    ]
)  # fmt: skip
CHANGE = np.dtype([("symbol", "i4"), ("side", "i4"), ("price", "i4"), ("orders", "i4"),
                   ("quantity", "i8")])  # fmt: skip
# An order as it rests or waits, in order of priority: what brings a book back.
RESTING = np.dtype(
    [
        ("side", "u1"), ("tif", "u1"), ("stp", "u1"), ("spare", "u1"), ("stop", "i4"),
        ("symbol", "i8"), ("order_id", "i8"), ("owner", "i8"), ("price", "i8"),
        ("quantity", "i8"), ("hidden", "i8"), ("display", "i8"), ("expires", "i8"),
    ]
)  # fmt: skip

# What makes an order special: its fields must be looked at when it shrinks or leaves.
ICEBERG, DATED_ORDER = 1, 2

Array = npt.NDArray[Any]


class State(NamedTuple):
    """The arrays of a market; `meta` holds its sizes and counters, by the names above.

    orders: one slot an order, slot 0 unused. ids: open addressing, hash above slot. changes: levels
    that changed since they were last taken. dates, dated_at: heap of slots by expiry, and each
    slot's place in it. phases: 1 where a call auction collects. demand: of the auction, by price.
    """

    orders: Any
    levels: Any
    sides: Any
    bits: npt.NDArray[np.uint64]
    ids: npt.NDArray[np.uint64]
    changes: npt.NDArray[np.int32]
    dates: npt.NDArray[np.int32]
    dated_at: npt.NDArray[np.int32]
    phases: npt.NDArray[np.uint8]
    demand: npt.NDArray[np.int64]
    meta: npt.NDArray[np.int64]


ARRAY_TYPES = (
    ORDER, LEVEL, SIDE, np.dtype("u8"), np.dtype("u8"), np.dtype("i4"), np.dtype("i4"),
    np.dtype("i4"), np.dtype("u1"), np.dtype("i8"), np.dtype("i8"),
)  # fmt: skip


class Taker(NamedTuple):
    """An order on its way into the book. `quantity` is all of it."""

    seq: int
    symbol: int
    side: int
    tif: int
    stp: int
    order_id: int
    owner: int
    price: int
    quantity: int
    display: int
    expires: int


def make_state(symbols: int, max_price: int, capacity: int) -> State:
    """An empty market for so many symbols, prices 1 to max_price - 1, and orders in all.

    Memory is taken as it is touched: at most 64 bytes an order, 24 to 48 its id, 128 a price of a
    symbol. Raises ValueError for sizes beyond the limits.
    """
    width = max(LINE_BYTES, 1 << (max_price - 1).bit_length())
    if not (symbols >= 1 and max_price >= 2 and width <= MAX_WIDTH):
        raise ValueError(f"{symbols} symbols of {max_price} prices; at most {MAX_WIDTH} prices")
    if 4 * symbols * width > MAX_LEVELS or not 1 <= capacity <= MAX_ORDERS:
        raise ValueError(f"{capacity} orders, {symbols} symbols of {width} prices are too many")
    rows, slots = 2 * symbols, capacity + 1
    tree = 1 + max(1, width >> 12) + (width >> 6)
    ids = 1 << (2 * slots - 1).bit_length()
    meta = np.zeros(16, np.int64)
    state = State(
        _records(slots, ORDER), _records(2 * rows * width, LEVEL), _records(2 * rows, SIDE),
        np.zeros(2 * rows * tree, np.uint64), _aligned(ids, np.dtype("u8")),
        np.zeros(2 * symbols * width, np.int32), np.zeros(slots, np.int32),
        np.zeros(slots, np.int32), np.zeros(symbols, np.uint8), np.zeros(width, np.int64), meta,
    )  # fmt: skip
    state.sides["best"][SELL::2] = width
    for at, value in (
        (SYMBOLS, symbols), (WIDTH, width), (WIDTH_BITS, width.bit_length() - 1), (FRESH, 1),
        (MAX_PRICE, max_price), (CAPACITY, capacity), (TREE, tree), (IDS_MASK, ids - 1),
        (ELECTING, -1),
    ):  # fmt: skip
        meta[at] = value
    return state


def _records(count: int, dtype: np.dtype[Any]) -> Any:
    return _aligned(count, dtype).view(np.recarray)


def _aligned(count: int, dtype: np.dtype[Any]) -> Array:
    """Zeros whose first element begins a cache line."""
    memory = np.zeros(count * dtype.itemsize + LINE_BYTES, np.uint8)
    begin = -memory.ctypes.data % LINE_BYTES
    return memory[begin : begin + count * dtype.itemsize].view(dtype)
