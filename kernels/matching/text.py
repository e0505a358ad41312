"""Replay files: commands from lines of CSV, events to lines of CSV, without an object a line.

The reader takes a block of whole lines and stops at the first that is not a command, with what is
wrong with it. Fields that an operation does not use may be empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.compile import inner, njit
from kernels.matching.layout import (
    COMMAND,
    KINDS,
    MARKET,
    NEW,
    REASONS,
    SIDES,
    STPS,
    TIFS,
    ZERO,
    int64,
)

Bytes = npt.NDArray[np.uint8]

COLUMNS = b"op,side,tif,stp,symbol,owner,price,quantity,order_id"
EVENT_COLUMNS = (
    b"kind,seq,symbol,side,reason,price,quantity,order_id,maker_order_id,owner,maker_owner"
)
REPLAY_OPS = ("new", "cancel", "replace")
FIELDS = 9
LONGEST_EVENT = 240  # bytes of a line, with nine numbers of twenty digits and the longest words
SHORTEST_COMMAND = 20  # bytes of a line, less than the shortest has
WORD_BYTES = 16
COMMA, NEWLINE, RETURN, MINUS, DIGIT = 44, 10, 13, 45, 48
LEAST_TENTHS, LAST_DIGIT = -((1 << 63) // 10), 7

PROBLEMS = (
    "", "has not nine fields", "names no op", "names no side", "names no tif", "names no stp",
    "has a symbol", "has an owner", "has a price", "has a quantity", "has an order_id",
)  # fmt: skip
NOT_A_NUMBER = " that is no whole number of 64 bits"
FIRST_NUMBER = 4  # of the fields


def problem(code: int) -> str:
    """What is wrong with a line, in words."""
    return PROBLEMS[code] + (NOT_A_NUMBER if code > FIRST_NUMBER + 1 else "")


def _table(*lists: tuple[str, ...]) -> Bytes:
    """Words by list and code: a length, then the bytes."""
    table = np.zeros((len(lists), max(map(len, lists)), WORD_BYTES), np.uint8)
    for row, words in zip(table, lists, strict=True):
        for cell, word in zip(row, words, strict=False):
            cell[0] = len(word)
            cell[1 : 1 + len(word)] = list(word.encode())
    return table


WORDS_IN = _table(REPLAY_OPS, SIDES, TIFS, STPS)
WORDS_OUT = _table(KINDS, SIDES, REASONS)
# The fields that must not be empty, by op; a market order needs no price.
NEEDED = np.array([0b111111111, 0b100100001, 0b111101101], np.int64)
PRICE_FIELD = 1 << 6


@inner()
def _word(text: Bytes, begin: int, end: int, words: Bytes) -> int:
    """The code of a word, or -1."""
    for code in range(len(words)):
        length = int64(words[code, 0])
        if length == end - begin and length > 0:
            is_same = True
            for at in range(length):
                if text[begin + at] != words[code, 1 + at]:
                    is_same = False
                    break
            if is_same:
                return code
    return -1


@inner()
def _number(text: Bytes, begin: int, end: int) -> tuple[int, bool]:
    """The whole number in decimal, and whether it is one that 64 bits hold.

    Gathered below zero, where there is room for one more.
    """
    is_negative = text[begin] == MINUS
    at = begin + 1 if is_negative else begin
    last = LAST_DIGIT + 1 if is_negative else LAST_DIGIT
    value, is_number = ZERO, at < end
    while at < end and is_number:
        digit = int64(text[at]) - DIGIT
        is_number = 0 <= digit <= 9 and (
            value > LEAST_TENTHS or (value == LEAST_TENTHS and digit <= last)
        )
        if is_number:
            value = 10 * value - digit
        at += 1
    return value if is_negative else -value, is_number


@inner()
def _set_number(row: Any, field: int, value: int) -> None:
    if field == 4:
        row.symbol = value
    elif field == 5:
        row.owner = value
    elif field == 6:
        row.price = value
    elif field == 7:
        row.quantity = value
    else:
        row.order_id = value


@inner()
def _set_word(row: Any, field: int, code: int) -> None:
    if field == 0:
        row.op = code
    elif field == 1:
        row.side = code
    elif field == 2:
        row.tif = code
    else:
        row.stp = code


@inner()
def _line(text: Bytes, begin: int, end: int, row: Any, words: Bytes) -> int:
    """Read text[begin:end] into a row. Returns 0, or the code of a problem."""
    field, start, given = 0, begin, 0
    for at in range(begin, end + 1):
        if at < end and text[at] != COMMA:
            continue
        if field == FIELDS:
            return 1
        if at > start:
            given |= 1 << field
            if field < FIRST_NUMBER:
                code = _word(text, start, at, words[field])
                if code < 0:
                    return field + 2
                _set_word(row, field, code)
            else:
                value, is_number = _number(text, start, at)
                if not is_number:
                    return field + 2
                _set_number(row, field, value)
        field, start = field + 1, at + 1
    if field != FIELDS:
        return 1
    return _missing(row, given)


@inner()
def _missing(row: Any, given: int) -> int:
    """The problem of the first field that the op needs and the line has not."""
    if not given & 1:
        return 2
    needed = int64(NEEDED[row.op])
    if row.op == NEW and row.tif == MARKET:
        needed &= ~PRICE_FIELD
    for field in range(FIELDS):
        if needed & ~given & (1 << field):
            return field + 2
    return 0


@njit()
def _read(text: Bytes, rows: Any, words: Bytes) -> tuple[int, int]:
    """Read whole lines; the rows read, and the problem of the line after them or 0."""
    count, begin = 0, 0
    while begin < len(text):
        end = begin
        while end < len(text) and text[end] != NEWLINE:
            end += 1
        stop = end - 1 if end > begin and text[end - 1] == RETURN else end
        why = _line(text, begin, stop, rows[count], words)
        if why != 0:
            return count, why
        count += 1
        begin = end + 1
    return count, 0


@inner()
def _put_word(text: Bytes, at: int, words: Bytes, code: int) -> int:
    length = int64(words[code, 0])
    for step in range(length):
        text[at + step] = words[code, 1 + step]
    text[at + length] = COMMA
    return at + length + 1


@inner()
def _put_number(text: Bytes, at: int, value: int) -> int:
    """Write a number and a comma. The least of all is its own opposite, as an unsigned one."""
    left = np.uint64(value)
    if value < 0:
        text[at] = MINUS
        at += 1
        left = np.uint64(0) - left
    digits, rest = 1, left // np.uint64(10)
    while rest != np.uint64(0):
        digits += 1
        rest //= np.uint64(10)
    for place in range(digits - 1, -1, -1):
        text[at + place] = DIGIT + int64(left % np.uint64(10))
        left //= np.uint64(10)
    text[at + digits] = COMMA
    return at + digits + 1


@njit()
def _write(events: Any, text: Bytes, words: Bytes) -> int:
    """Write a line an event; there is room. Returns the bytes written."""
    at = 0
    for index in range(len(events)):
        event = events[index]
        at = _put_word(text, at, words[0], event.kind)
        at = _put_number(text, at, event.seq)
        at = _put_number(text, at, event.symbol)
        at = _put_word(text, at, words[1], event.side)
        at = _put_word(text, at, words[2], event.reason)
        at = _put_number(text, at, int64(event.price))
        at = _put_number(text, at, event.quantity)
        at = _put_number(text, at, event.order_id)
        at = _put_number(text, at, event.maker_order_id)
        at = _put_number(text, at, event.owner)
        at = _put_number(text, at, event.maker_owner)
        text[at - 1] = NEWLINE
    return at


def read_lines(block: bytes) -> tuple[Any, int]:
    """Commands of whole lines, as COMMAND, and 0; or those before a bad line, and its problem."""
    text = np.frombuffer(block, np.uint8)
    rows = np.zeros(block.count(b"\n") + 1, COMMAND)
    count, why = _read(text, _records(rows), WORDS_IN)
    return rows[: int(count)], int(why)


class Writer:
    """Makes lines of events in memory of its own, for so many events at a time."""

    def __init__(self, events: int) -> None:
        self._text = np.zeros(events * LONGEST_EVENT, np.uint8)

    def lines(self, events: Any) -> memoryview:
        """The lines of the events, until asked again."""
        return self._text[: int(_write(_records(events), self._text, WORDS_OUT))].data


def _records(rows: Any) -> Any:
    """As attributes are read without the compiler."""
    return rows if hasattr(_read, "signatures") else rows.view(np.recarray)
