"""The compiled entries: called on the address of a table of addresses.

Numba takes two microseconds to look at a tuple of arrays, longer than a command takes; at one
integer it hardly looks. The table has address and length of each array of the state and of what a
call works on, then the words of its progress. Read-only input is only ever read.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import types

from kernels.compile import inner, njit
from kernels.matching import rows
from kernels.matching.layout import (
    ARRAY_TYPES,
    CHANGE,
    COMMAND,
    EVENT,
    LEVEL,
    ORDER,
    RESTING,
    SIDE,
    State,
)
from kernels.matching.run import run
from kernels.matching.words import intrinsic

STATE_ARRAYS = len(ARRAY_TYPES)
COMMANDS, EVENTS, CHANGES_OUT, RESTING_ROWS, ARRAYS = range(STATE_ARRAYS, STATE_ARRAYS + 5)
PROGRESS = 2 * ARRAYS  # the first of the words of progress
SYMBOL, SIDE_ASKED = 4, 5  # of the words of progress
WORDS = PROGRESS + 8

carray: Any = numba.carray  # type: ignore[attr-defined]


@intrinsic
def _pointer(_typing: Any, _address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@inner(forceinline=True)
def _table(address: int) -> Any:
    return carray(_pointer(address), (WORDS,), np.int64)


@inner(forceinline=True)
def _state(t: Any) -> State:
    return State(
        carray(_pointer(t[0]), (t[1],), ORDER), carray(_pointer(t[2]), (t[3],), LEVEL),
        carray(_pointer(t[4]), (t[5],), SIDE), carray(_pointer(t[6]), (t[7],), np.uint64),
        carray(_pointer(t[8]), (t[9],), np.uint64), carray(_pointer(t[10]), (t[11],), np.int32),
        carray(_pointer(t[12]), (t[13],), np.int32), carray(_pointer(t[14]), (t[15],), np.int32),
        carray(_pointer(t[16]), (t[17],), np.uint8), carray(_pointer(t[18]), (t[19],), np.int64),
        carray(_pointer(t[20]), (t[21],), np.int64),
    )  # fmt: skip


@njit()
def run_at(address: int) -> int:
    """`run` on a table's arrays."""
    t = _table(address)
    commands = carray(_pointer(t[2 * COMMANDS]), (t[2 * COMMANDS + 1],), COMMAND)
    events = carray(_pointer(t[2 * EVENTS]), (t[2 * EVENTS + 1],), EVENT)
    return run(_state(t), commands, events, t[PROGRESS:])


@njit()
def take_changes_at(address: int) -> int:
    """`take_changes` on a table's arrays."""
    t = _table(address)
    out = carray(_pointer(t[2 * CHANGES_OUT]), (t[2 * CHANGES_OUT + 1],), CHANGE)
    return rows.take_changes(_state(t), out)


@njit()
def best_levels_at(address: int) -> int:
    """`best_levels` on a table's arrays; symbol and side are words of progress."""
    t = _table(address)
    out = carray(_pointer(t[2 * CHANGES_OUT]), (t[2 * CHANGES_OUT + 1],), CHANGE)
    return rows.best_levels(_state(t), out, t[PROGRESS + SYMBOL], t[PROGRESS + SIDE_ASKED])


@njit()
def dump_at(address: int) -> int:
    """`dump` on a table's arrays; the symbol is a word of progress."""
    t = _table(address)
    out = carray(_pointer(t[2 * RESTING_ROWS]), (t[2 * RESTING_ROWS + 1],), RESTING)
    return rows.dump(_state(t), out, t[PROGRESS + SYMBOL])


@njit()
def load_at(address: int) -> int:
    """`load` on a table's arrays."""
    t = _table(address)
    resting = carray(_pointer(t[2 * RESTING_ROWS]), (t[2 * RESTING_ROWS + 1],), RESTING)
    rows.load(_state(t), resting)
    return 0
