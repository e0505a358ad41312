"""The lines that a state's hash is made of: one for each live order, in order of priority."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from kernels.matching.layout import SIDES, STPS, TIFS


def state_lines(rows: Any) -> list[str]:
    """A line for each of these RESTING rows: `symbol,side,price,order_id,quantity,owner`.

    Then, for an iceberg, `,hidden,display`; for a stop that waits, `,stop,trigger,tif,stp,display`;
    for an order with a date, `,expires,ms`.
    """
    return [_line(*row) for row in rows.tolist()]


def state_hash(lines: Iterable[str]) -> str:
    """SHA-256 of the lines, joined by newlines, in hexadecimal."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _line(*row: int) -> str:
    side, tif, stp, _, stop, symbol, order_id, owner, price, quantity, hidden, display, until = row
    line = f"{symbol},{SIDES[side]},{price},{order_id},{quantity},{owner}"
    if stop:
        line += f",stop,{stop},{TIFS[tif]},{STPS[stp]},{display}"
    elif display:
        line += f",{hidden},{display}"
    return f"{line},expires,{until}" if until else line
