"""The event bus's vocabulary: positions, what a group has yet to do, what it gave up on."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from messages.envelope import Event


class Position(NamedTuple):
    """`<xid>-<id>`: the writing transaction, then the row within it. Compares as published.

    The same text is the entry's id in Redis Streams, so both sides speak of one thing.
    """

    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"


START = Position(0, 0)


def parse_position(text: str) -> Position:
    """The position that `text` names; empty text is the start. ValueError if it is malformed."""
    if not text:
        return START
    xid, separator, row = text.partition("-")
    if not (separator and xid.isdecimal() and row.isdecimal()):
        raise ValueError(f"not a position: {text!r}")
    return Position(int(xid), int(row))


class GroupPosition(msgspec.Struct, frozen=True):
    """A registered group and the position up to which its effects are committed."""

    group: str
    position: Position


class GroupLag(msgspec.Struct, frozen=True):
    """What a group has yet to handle of a stream. `unhandled` stops counting at some limit.

    `oldest_at_ms` is the time of the first event not handled; `dead` counts letters not done.
    """

    group: str
    stream: str
    position: Position
    handled: int
    unhandled: int
    oldest_at_ms: int | None
    dead: int


class DeadLetter(msgspec.Struct, frozen=True):
    """An event parked by a group. `state` is `parked`, `replay` (waits for its turn) or `done`."""

    id: int
    group: str
    event: Event
    error: str
    attempts: int
    parked_at_ms: int
    state: str
