"""The port to PostgreSQL, which knows the truth of the bus. `storage.bus.BusStore` fills it.

Methods that are given a `connection` take part in the transaction open on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import asyncpg

from messages.bus import DeadLetter, GroupLag, GroupPosition, Position
from messages.envelope import Event

if TYPE_CHECKING:
    Connection: TypeAlias = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
else:
    Connection = asyncpg.Connection


class EventStore(Protocol):
    """Outbox, inbox, dead letters, leases and wake-ups."""

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """A connection with a transaction open, committed at the end of the block."""
        ...

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection without a transaction."""
        ...

    def is_transient(self, error: BaseException) -> bool:
        """Whether the store was away, as opposed to refusing."""
        ...

    def lease(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Wait to be the only holder; the body is cancelled and Unavailable raised on its loss."""
        ...

    def wakes(self, stream: str) -> AbstractContextManager[Any]:
        """An asyncio.Event that is set when the stream may have something new."""
        ...

    async def read_settled(self, stream: str, after: Position, limit: int) -> list[Event]:
        """The next events that no late transaction can come before, in order."""
        ...

    async def newest_settled(self, stream: str) -> Position | None:
        """The stream's last position that no late transaction can come before; None: none yet."""
        ...

    async def read_types(
        self, stream: str, between: tuple[Position, Position], types: Sequence[str], limit: int
    ) -> list[Event]:
        """The events of some types above a position, up to a settled one, in order."""
        ...

    async def has_after(self, stream: str, after: Position) -> bool:
        """Whether committed events stand after the position, settled or not."""
        ...

    async def settled_position(self) -> Position:
        """The end of the settled past."""
        ...

    async def next_xid(self) -> int:
        """The transaction id that the database has not reached yet."""
        ...

    async def nth_newest(self, stream: str, n: int) -> Position | None:
        """The position that exactly `n` events stand above, if there are more."""
        ...

    async def purge(self, stream: str, up_to: Position, before_ms: int, limit: int) -> int:
        """Delete some of the oldest events at or below `up_to` and older than `before_ms`."""
        ...

    async def register(self, group: str, stream: str, start: Position, now_ms: int) -> None:
        """Make a group known; one that is known keeps its position."""
        ...

    async def position(self, group: str, stream: str) -> Position:
        """Up to where the group's effects are committed."""
        ...

    async def advance(
        self,
        connection: Connection,
        group: str,
        stream: str,
        step: tuple[Position, Position],
        handled: int,
        now_ms: int,
    ) -> bool:
        """Move a group from `step[0]` to `step[1]`. False if it is elsewhere: do not commit."""
        ...

    async def groups(self, stream: str) -> list[GroupPosition]:
        """The groups registered for a stream."""
        ...

    async def lags(self, streams: Sequence[str]) -> list[GroupLag]:
        """What each group of the streams has yet to handle."""
        ...

    async def count_after(self, stream: str, after: Position) -> int:
        """Committed events after a position, up to some limit."""
        ...

    async def park(
        self,
        connection: Connection,
        group: str,
        event: Event,
        error: str,
        attempts: int,
        now_ms: int,
    ) -> None:
        """Record that the group gave up on the event."""
        ...

    async def replays(self, group: str, stream: str, limit: int) -> list[DeadLetter]:
        """The group's letters to handle again, in the order of their positions."""
        ...

    async def close_letter(self, connection: Connection, letter_id: int) -> bool:
        """Close a letter with its effect. False if it was closed before: do not commit."""
        ...

    async def park_again(self, letter_id: int, error: str, now_ms: int) -> None:
        """The replay failed as well."""
        ...

    async def purge_letters(self, before_ms: int) -> int:
        """Delete letters that are done and older."""
        ...
