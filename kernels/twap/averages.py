"""Time-weighted averages at every tick of a history, over several windows, in one pass a window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.compile import njit

Integers = npt.NDArray[np.int64]

NO_PRICE = -1
MILLI = 1_000
LENGTH, STEP, LEAST_KNOWN = range(3)  # the columns of a window
MAX_WINDOW_MS = 1 << 28  # of a window times the unit: 37 hours in half ticks
MAX_VALUE = 1 << 31


@njit(error_model="numpy")
def _milli(total: int, divisor: int, inverse: float) -> int:
    """1000 * total / divisor to the nearest integer (half up), for total < 2^58, divisor < 2^29.

    inverse: of the divisor, nearly. Processors multiply doubles many times as fast as they divide
    64-bit integers, so quotients are guesses: of the first it is enough to be near, for the second
    divides what it left. The second may be one too low, and is mended. Too high it cannot be: its
    dividend is below 2^41, so short of a whole number it is so by more than a double's precision.
    """
    whole = np.int64(total * inverse)
    rest = total - whole * divisor
    dividend = 2 * MILLI * rest + divisor
    part = np.int64(dividend * (0.5 * inverse))
    left = dividend - part * 2 * divisor
    if left >= 2 * divisor:
        part += 1
    return int(whole * MILLI + part)


@njit(error_model="numpy")
def _symbol(at_ms: Integers, values: Integers, window: Integers, unit: int, out: Integers) -> None:
    """One symbol's averages over one window. There is at least one tick.

    head and tail are sums of value * time up to the tick and up to the tick in force where the
    window begins, and the same of the time that is known; they may wrap, their difference does not.
    The tail follows the head through the same ticks: each is read twice and nothing is kept.
    """
    length, step, least = window[LENGTH], window[STEP], max(window[LEAST_KNOWN], 1)
    full = length * unit
    inverse = 1.0 / full
    head = head_known = tail = tail_known = np.int64(0)
    now, value = at_ms[0], values[0]
    at, since, held = 0, now, value
    until = now  # since when the tick after `at` is in force
    if len(at_ms) > 1:
        until = max(now, at_ms[1])
    for tick in range(len(at_ms)):
        passed = max(at_ms[tick] - now, 0)
        head += value * passed
        head_known += passed * (value != 0)
        now, value = now + passed, values[tick]
        start = now - length
        if step > 1:
            start -= start % step
        while until <= start and at < tick:
            passed = until - since
            tail += held * passed
            tail_known += passed * (held != 0)
            at += 1
            since, held = until, values[at]
            until = max(until, at_ms[at + 1])
        early = max(start - since, 0)
        known = head_known - tail_known - early * (held != 0)
        divisor = known * unit
        if known < least:
            out[tick] = NO_PRICE
        elif divisor == full:
            out[tick] = _milli(head - tail - held * early, divisor, inverse)
        else:
            out[tick] = _milli(head - tail - held * early, divisor, 1.0 / divisor)


@njit()
def _all(
    starts: Integers,
    at_ms: Integers,
    values: Integers,
    windows: Integers,
    unit: int,
    out: Integers,
) -> None:
    for symbol in range(len(starts) - 1):
        first, end = starts[symbol], starts[symbol + 1]
        if first == end:
            continue
        for row in range(len(windows)):
            _symbol(at_ms[first:end], values[first:end], windows[row], unit, out[row, first:end])


def averages(
    starts: Integers,
    at_ms: Integers,
    values: Integers,
    windows: Integers,
    *,
    unit: int = 1,
    out: Integers | None = None,
) -> Integers:
    """(windows, ticks): the average over each window that ends at each tick, in thousandths.

    starts: where each symbol's ticks begin, and the end of the last's.  at_ms: a tick that is older
    than the one before it counts as of the same moment.  values: hold from their tick to the next;
    from 0 to MAX_VALUE, and 0 says that nothing is known.  windows: rows of length_ms, step_ms,
    least_known_ms; a window begins at a multiple of its step, as domain/market has it (1: exactly
    `length_ms` ago), and with less than `least_known_ms` of it known the average is NO_PRICE.
    unit: how many of the values' units are one (2 for half ticks).  out: room for the result, to
    be used again from block to block.

    Exact integers, rounded to the nearest (half up): the same on any machine. O(ticks * windows)
    time and, beside the result, no memory. A tick's own value counts from the next on. Raises
    ValueError for windows, values or a unit out of range, or room of another shape.
    """
    if unit < 1 or (windows[:, :LEAST_KNOWN] < 1).any():
        raise ValueError("a unit, a window's length and its step are at least 1")
    if (windows[:, LENGTH] + windows[:, STEP]).max(initial=0) * unit > MAX_WINDOW_MS:
        raise ValueError(f"a window with its step, in units, is at most {MAX_WINDOW_MS}")
    if len(values) and not 0 <= values.min() <= values.max() <= MAX_VALUE:
        raise ValueError(f"a value is 0 to {MAX_VALUE}")
    shape = (len(windows), len(at_ms))
    out = np.empty(shape, np.int64) if out is None else out
    if out.shape != shape:
        raise ValueError("the room is not the result's")
    with np.errstate(over="ignore"):  # where it is not compiled: sums may wrap
        _all(starts, at_ms, values, windows, unit, out)
    return out
