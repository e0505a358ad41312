"""One dedicated connection that holds the bus's leases and hears its notifications.

A lease is a session-level advisory lock. When its holder's process dies, PostgreSQL drops the lock
with the connection and a standby, which asks for it a few times a second, has it at once. When the
connection is lost while the process lives, the holder's work is cancelled. A lease keeps two from
working at the same thing most of the time; what makes that *safe* is the compare-and-set of the
inbox and of the stream, not the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import asyncpg
import structlog

from messages.errors import Unavailable
from storage.database import CONNECTION_ERRORS, SERVER_SETTINGS
from storage.outbox import NOTIFY_CHANNEL

TRY_LEASES = """
select name from unnest($1::text[]) as name where pg_try_advisory_lock(hashtextextended(name, 0))"""
RELEASE = "select pg_advisory_unlock(hashtextextended($1, 0))"

RETRY_SECONDS = 0.1
BEAT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
# The server drops a client that vanished without a word (a lost node) within about 10 s.
KEEPALIVE = {
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "application_name": "vibestream bus session",
}

log = structlog.get_logger(__name__)


class Lease:
    """`async with session.lease(name):` waits for the lease, then runs the body as its holder.

    If the lease is lost the body is cancelled and Unavailable is raised from the `async with`.
    """

    def __init__(self, session: BusSession, name: str) -> None:
        self.name = name
        self._session = session
        self._lost = False
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self.granted = asyncio.Event()

    async def __aenter__(self) -> Lease:
        await self._session.want(self)
        try:
            await self.granted.wait()
        except BaseException:
            await self._session.give_up(self)
            raise
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        if self._lost:
            raise Unavailable(f"the lease {self.name} was lost")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        assert task is not None
        await self._session.give_up(self)
        if self._lost and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise Unavailable(f"the lease {self.name} was lost")

    def lose(self) -> None:
        """The connection that held the lock is gone."""
        self._lost = True
        self.granted.set()
        if self._task is not None:
            self._task.cancel()


class BusSession:
    """Keeps the connection, and comes back by itself when it is lost."""

    def __init__(self, url: str, present_url: Callable[[], str] | None = None) -> None:
        """present_url: what the URL is by now, asked for each new connection."""
        self._url = present_url or (lambda: url)
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._busy = asyncio.Lock()
        self._changed = asyncio.Event()
        self._wanted: dict[str, Lease] = {}
        self._held: dict[str, Lease] = {}
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep the connection."""
        self._keeper = asyncio.create_task(self._keep(), name="bus session")

    async def close(self) -> None:
        """Give everything up."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def lease(self, name: str) -> Lease:
        """A lease to enter. In one session a name may be in use once at a time."""
        return Lease(self, name)

    @contextlib.contextmanager
    def wakes(self, stream: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever something was written to the stream (or may have been)."""
        event = asyncio.Event()
        listeners = self._listeners.setdefault(stream, set())
        listeners.add(event)
        try:
            yield event
        finally:
            listeners.discard(event)

    async def want(self, lease: Lease) -> None:
        """Ask for a lease until it is granted."""
        taken = lease.name in self._wanted or lease.name in self._held
        assert not taken, f"{lease.name} is in use by this session"
        self._wanted[lease.name] = lease
        self._changed.set()

    async def give_up(self, lease: Lease) -> None:
        """Stop asking for a lease, or let go of it."""
        if self._wanted.get(lease.name) is lease:
            del self._wanted[lease.name]
        if self._held.get(lease.name) is lease:
            # Shielded: a caller that is being cancelled must not leave the lock behind.
            await asyncio.shield(self._unlock(lease))

    async def _unlock(self, lease: Lease) -> None:
        async with self._busy:
            if self._held.pop(lease.name, None) is lease and self._connection is not None:
                with contextlib.suppress(*CONNECTION_ERRORS, asyncpg.PostgresError):
                    await self._connection.execute(RELEASE, lease.name, timeout=ANSWER_SECONDS)
                    return
                self._connection.terminate()

    async def _keep(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001 - whatever it was, the session must come back
                log.warning("bus session lost", error=repr(error))
            finally:
                self._drop()
            await asyncio.sleep(RETRY_SECONDS)

    async def _serve(self) -> None:
        settings = {**SERVER_SETTINGS, **KEEPALIVE}
        connection = await asyncpg.connect(
            self._url(), timeout=ANSWER_SECONDS, server_settings=settings
        )
        try:
            connection.add_termination_listener(lambda _: self._changed.set())
            await connection.add_listener(NOTIFY_CHANNEL, self._on_notify)
            self._connection = connection
            self._wake_all()
            while not connection.is_closed():
                await self._ask(connection)
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS if self._wanted else BEAT_SECONDS):
                        await self._changed.wait()
        finally:
            connection.terminate()

    async def _ask(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Try for the leases that are wanted. With none wanted it is the session's heartbeat."""
        async with self._busy:
            names = list(self._wanted)
            rows = await connection.fetch(TRY_LEASES, names, timeout=ANSWER_SECONDS)
            for (name,) in rows:
                lease = self._wanted.pop(name, None)
                if lease is None:  # given up while we asked
                    await connection.execute(RELEASE, name, timeout=ANSWER_SECONDS)
                    continue
                self._held[name] = lease
                lease.granted.set()

    def _drop(self) -> None:
        self._connection = None
        held, self._held = self._held, {}
        for lease in held.values():
            lease.lose()

    def _on_notify(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        for stream in str(payload).split(","):
            for event in self._listeners.get(stream, ()):
                event.set()

    def _wake_all(self) -> None:
        for listeners in self._listeners.values():
            for event in listeners:
                event.set()
