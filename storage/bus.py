"""All that the bus asks of PostgreSQL, as one object (`bus/store.py` is the port it fills)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import asyncpg

from messages.bus import DeadLetter, GroupLag, GroupPosition, Position
from messages.envelope import Event
from storage import dead_letters, inbox, outbox
from storage.bus_session import BusSession, Lease
from storage.database import PLANNED_ANEW, Connection, Pool, open_pool

POOL_SIZE = 16
CLOSE_SECONDS = 5.0

# What says "later" and nothing about the event: the server or the network is away, or two
# transactions met. OSError as a whole would take in a handler's FileNotFoundError, and
# asyncpg.InterfaceError a statement with the wrong number of arguments: those do not pass.
TRANSIENT_ERRORS = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    asyncpg.PostgresConnectionError,
    # A server that dies as a statement is sent: asyncpg finds its own protocol in mid-operation.
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
_CLOSED = ("closed", "closing", "released")


class BusLags:
    """How far behind the groups are, read from a pool that is the caller's."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def lags(self, streams: Sequence[str]) -> list[GroupLag]:
        """See storage.inbox."""
        return await inbox.lags(self._pool, streams)

    async def count_after(self, stream: str, after: Position) -> int:
        """See storage.inbox."""
        return await inbox.count_after(self._pool, stream, after)


class BusStore(BusLags):
    """The bus's tables, leases and wake-ups. `open` it; it needs a loop."""

    def __init__(self, pool: Pool, session: BusSession) -> None:
        super().__init__(pool)
        self._session = session

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        max_size: int = POOL_SIZE,
        present_url: Callable[[], str] | None = None,
    ) -> BusStore:
        """Connect. Raises one of storage.database.CONNECTION_ERRORS if there is no server."""
        pool = await open_pool(
            url,
            max_size=max_size,
            application_name="vibestream bus",
            # The default asks the server to forget session state on each release: a round trip a
            # batch for state that nobody sets.
            reset=_keep_session,
            settings=PLANNED_ANEW,
            present_url=present_url,
        )
        session = BusSession(url, present_url)
        session.start()
        return cls(pool, session)

    async def close(self) -> None:
        """Give up the leases and close the connections."""
        await self._session.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection with a transaction open, committed at the end of the block."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection without a transaction."""
        async with self._pool.acquire() as connection:
            yield connection

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same statement may well succeed later."""
        if isinstance(error, asyncpg.InterfaceError):
            return any(word in str(error) for word in _CLOSED)
        return isinstance(error, TRANSIENT_ERRORS)

    def lease(self, name: str) -> Lease:
        """See storage.bus_session.Lease."""
        return self._session.lease(name)

    def wakes(self, stream: str) -> contextlib.AbstractContextManager[Any]:
        """An asyncio.Event that is set when the stream may have something new."""
        return self._session.wakes(stream)

    # The outbox.

    async def read_settled(self, stream: str, after: Position, limit: int) -> list[Event]:
        """See storage.outbox."""
        return await outbox.read_settled(self._pool, stream, str(after), limit)

    async def newest_settled(self, stream: str) -> Position | None:
        """See storage.outbox."""
        return await outbox.newest_settled(self._pool, stream)

    async def read_types(
        self, stream: str, between: tuple[Position, Position], types: Sequence[str], limit: int
    ) -> list[Event]:
        """See storage.outbox."""
        return await outbox.read_types(self._pool, stream, between, types, limit)

    async def has_after(self, stream: str, after: Position) -> bool:
        """See storage.outbox."""
        return await outbox.has_after(self._pool, stream, after)

    async def settled_position(self) -> Position:
        """See storage.outbox."""
        return await outbox.settled_position(self._pool)

    async def next_xid(self) -> int:
        """See storage.outbox."""
        return await outbox.next_xid(self._pool)

    async def nth_newest(self, stream: str, n: int) -> Position | None:
        """See storage.outbox."""
        return await outbox.nth_newest(self._pool, stream, n)

    async def purge(self, stream: str, up_to: Position, before_ms: int, limit: int) -> int:
        """See storage.outbox."""
        return await outbox.purge(self._pool, stream, up_to, before_ms, limit)

    # The inbox.

    async def register(self, group: str, stream: str, start: Position, now_ms: int) -> None:
        """See storage.inbox."""
        await inbox.register(self._pool, group, stream, start, now_ms)

    async def position(self, group: str, stream: str) -> Position:
        """Up to where the group's effects are committed. LookupError if it is not registered."""
        found = await inbox.position(self._pool, group, stream)
        if found is None:
            raise LookupError(f"the group {group} is not registered for {stream}")
        return found

    async def advance(
        self,
        connection: Connection,
        group: str,
        stream: str,
        step: tuple[Position, Position],
        handled: int,
        now_ms: int,
    ) -> bool:
        """See storage.inbox."""
        return await inbox.advance(connection, group, stream, step, handled, now_ms)

    async def groups(self, stream: str) -> list[GroupPosition]:
        """See storage.inbox."""
        return await inbox.groups(self._pool, stream)

    # Dead letters.

    async def park(
        self,
        connection: Connection,
        group: str,
        event: Event,
        error: str,
        attempts: int,
        now_ms: int,
    ) -> None:
        """See storage.dead_letters."""
        await dead_letters.park(connection, group, event, error, attempts, now_ms)

    async def replays(self, group: str, stream: str, limit: int) -> list[DeadLetter]:
        """See storage.dead_letters."""
        return await dead_letters.replays(self._pool, group, stream, limit)

    async def close_letter(self, connection: Connection, letter_id: int) -> bool:
        """See storage.dead_letters."""
        return await dead_letters.close(connection, letter_id)

    async def park_again(self, letter_id: int, error: str, now_ms: int) -> None:
        """See storage.dead_letters."""
        await dead_letters.park_again(self._pool, letter_id, error, now_ms)

    async def purge_letters(self, before_ms: int) -> int:
        """See storage.dead_letters."""
        return await dead_letters.purge(self._pool, before_ms)


async def _keep_session(_connection: Any) -> None:
    """Nothing to reset."""
