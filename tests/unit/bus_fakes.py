"""PostgreSQL and Redis as the bus knows them, in memory, with the faults that they have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bus.stream import Entry, GroupMissingError
from messages.bus import START, DeadLetter, GroupLag, GroupPosition, Position, parse_position
from messages.envelope import Event
from messages.errors import Unavailable


@dataclass
class Transaction:
    """What a transaction will have done once it commits."""

    effects: list[str] = field(default_factory=list)
    moves: list[tuple[tuple[str, str], Position]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


class FakeStore:
    """Settled events, inbox and letters. `faults` says what becomes of the next commits."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.positions: dict[tuple[str, str], Position] = {}
        self.effects: list[str] = []
        self.letters: list[DeadLetter] = []
        self.faults: list[str] = []

    def add(self, event: Event) -> None:
        self.events.append(event)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        transaction = Transaction()
        yield transaction
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "lost before":
            raise ConnectionError("the connection broke before the commit arrived")
        self.effects += transaction.effects
        self.positions.update(transaction.moves)
        self.letters += transaction.letters
        if fault == "lost after":
            raise ConnectionError("the connection broke before the answer arrived")

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        yield self

    def is_transient(self, error: BaseException) -> bool:
        return isinstance(error, ConnectionError)

    @contextlib.asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[None]:
        yield

    @contextlib.contextmanager
    def wakes(self, stream: str) -> Iterator[asyncio.Event]:
        yield asyncio.Event()

    async def read_settled(self, stream: str, after: Position, limit: int) -> list[Event]:
        return [e for e in self.events if parse_position(e.position) > after][:limit]

    async def newest_settled(self, stream: str) -> Position | None:
        return parse_position(self.events[-1].position) if self.events else None

    async def read_types(
        self, stream: str, between: tuple[Position, Position], types: Sequence[str], limit: int
    ) -> list[Event]:
        after, up_to = between
        found = await self.read_settled(stream, after, len(self.events))
        found = [e for e in found if parse_position(e.position) <= up_to and e.type in types]
        return found[:limit]

    async def has_after(self, stream: str, after: Position) -> bool:
        return bool(await self.read_settled(stream, after, 1))

    async def settled_position(self) -> Position:
        return parse_position(self.events[-1].position) if self.events else START

    async def next_xid(self) -> int:
        return (await self.settled_position()).xid + 1

    async def nth_newest(self, stream: str, n: int) -> Position | None:
        return parse_position(self.events[-n - 1].position) if len(self.events) > n else None

    async def purge(self, stream: str, up_to: Position, before_ms: int, limit: int) -> int:
        return 0

    async def register(self, group: str, stream: str, start: Position, now_ms: int) -> None:
        self.positions.setdefault((group, stream), start)

    async def position(self, group: str, stream: str) -> Position:
        return self.positions[group, stream]

    async def advance(
        self,
        connection: Any,
        group: str,
        stream: str,
        step: tuple[Position, Position],
        handled: int,
        now_ms: int,
    ) -> bool:
        if self.positions[group, stream] != step[0]:
            return False
        connection.moves.append(((group, stream), step[1]))
        return True

    async def groups(self, stream: str) -> list[GroupPosition]:
        return [GroupPosition(g, p) for (g, s), p in self.positions.items() if s == stream]

    async def lags(self, streams: Sequence[str]) -> list[GroupLag]:
        return []

    async def count_after(self, stream: str, after: Position) -> int:
        return len(await self.read_settled(stream, after, 10**9))

    async def park(
        self, connection: Any, group: str, event: Event, error: str, attempts: int, now_ms: int
    ) -> None:
        letter = DeadLetter(len(self.letters) + 1, group, event, error, attempts, now_ms, "parked")
        connection.letters.append(letter)

    async def replays(self, group: str, stream: str, limit: int) -> list[DeadLetter]:
        return []

    async def close_letter(self, connection: Any, letter_id: int) -> bool:
        return True

    async def park_again(self, letter_id: int, error: str, now_ms: int) -> None:
        raise NotImplementedError

    async def purge_letters(self, before_ms: int) -> int:
        return 0


class FakeBroker:
    """One stream. `away` counts calls that will fail."""

    def __init__(self) -> None:
        self.away = 0
        self.mirrored: list[str] = []
        self.forget()

    def forget(self) -> None:
        """Everything is lost."""
        self.entries: list[Entry] = []
        self.last = START
        self.delivered: dict[str, Position] = {}
        self.pending: dict[str, list[Position]] = {}

    def snapshot(self) -> dict[str, Any]:
        """What a file of this moment would hold."""
        return {
            "entries": list(self.entries),
            "last": self.last,
            "delivered": dict(self.delivered),
            "pending": {group: list(ids) for group, ids in self.pending.items()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """A restart from that file."""
        self.__dict__.update(saved)

    def _reach(self) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("away")

    async def top(self, stream: str) -> Position:
        self._reach()
        return self.last

    async def publish(self, stream: str, top: Position, events: Sequence[Event]) -> Position:
        if self.last == top:
            for event in events:
                position = parse_position(event.position)
                assert position > self.last
                self.entries.append(Entry(position, self.last, event))
                self.last = position
        self._reach()  # the answer is what gets lost
        return self.last

    async def begin(self, stream: str, top: Position, start: Position) -> Position:
        self._reach()
        if self.last == top:
            if top != START:
                self.forget()
            self.last = start
        return self.last

    async def open_group(self, stream: str, group: str, start: Position) -> None:
        self._reach()
        self.delivered.setdefault(group, start)
        self.pending.setdefault(group, [])

    async def claim(self, stream: str, group: str, consumer: str, limit: int) -> list[Entry]:
        self._check(group)
        there = {entry.position: entry for entry in self.entries}
        self.pending[group] = [p for p in self.pending[group] if p in there]
        return [there[p] for p in self.pending[group][:limit]]

    async def read(
        self, stream: str, group: str, consumer: str, limit: int, block_ms: int
    ) -> list[Entry]:
        self._check(group)
        found = [e for e in self.entries if e.position > self.delivered[group]][:limit]
        if found:
            self.delivered[group] = found[-1].position
            self.pending[group] += [entry.position for entry in found]
        return found

    async def acknowledge(self, stream: str, group: str, positions: Sequence[Position]) -> None:
        self._check(group)
        self.pending[group] = [p for p in self.pending[group] if p not in positions]

    async def retire(self, stream: str, group: str, consumer: str) -> None:
        self._check(group)

    async def length(self, stream: str) -> int:
        return len(self.entries)

    async def trim_below(self, stream: str, position: Position) -> int:
        before = len(self.entries)
        self.entries = [entry for entry in self.entries if entry.position >= position]
        return before - len(self.entries)

    async def trim_to(self, stream: str, limit: int) -> int:
        before = len(self.entries)
        self.entries = self.entries[-limit:]
        return before - len(self.entries)

    async def mirror_dead(self, group: str, event: Event, error: str) -> None:
        self._reach()
        self.mirrored.append(event.event_id)

    async def close(self) -> None:
        pass

    def _check(self, group: str) -> None:
        self._reach()
        if group not in self.delivered:
            raise GroupMissingError(group)
