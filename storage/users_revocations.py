"""Which sessions ended lately, known without asking: followed in PostgreSQL as they end.

An access token outlives its session by up to its lifetime, so each replica keeps the sessions that
ended within that time. PostgreSQL tells of an end when its transaction commits (NOTIFY), which
takes milliseconds. Notifications are lost with the connection that hears them, so whoever connects
reads all that ended within the time, and then, every two seconds, what ended in the last few: that
also finds a connection that only seems to be there. Redis has no part in this.

Whoever has heard nothing for STALE_S refuses to judge tokens (503): nobody could tell then whether
a session still stands, and without PostgreSQL hardly a route works anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from typing import Any

import asyncpg
import structlog

from messages.errors import Unavailable
from messages.users_sessions import SessionEnded
from storage.database import SERVER_SETTINGS
from storage.users_sessions import NOTIFY_CHANNEL, ended_since

KEEP_MS = 17 * 60_000  # an access token's lifetime, and more than clocks differ by
RECENT_MS = 15_000  # a transaction commits this long after it looked at the clock, or is ended
BEAT_S = 2.0
STALE_S = 30.0
RETRY_S = 0.2
ANSWER_S = 5.0

Listener = Callable[[Collection[str]], None]

log = structlog.get_logger(__name__)


class Revocations:
    """The sessions whose access tokens are void."""

    def __init__(self, url: Callable[[], str], clock: Callable[[], int]) -> None:
        """url: asked for each connection, because passwords change."""
        self._url, self._clock = url, clock
        self._ended: dict[str, int] = {}
        self._heard = 0.0
        self._listeners: list[Listener] = []
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what ended, and follow. Raises what a connection raises that cannot be made."""
        connection = await self._connect()
        self._follower = asyncio.create_task(self._keep(connection), name="revocations")

    async def close(self) -> None:
        """Follow no longer."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)

    def check(self, session_id: str) -> None:
        """Raise SessionEnded if the session has; Unavailable if that cannot be known."""
        if session_id in self._ended:
            raise SessionEnded
        if self.age_s() > STALE_S:
            raise Unavailable("it is not known which sessions have ended")

    def age_s(self) -> float:
        """Seconds since PostgreSQL last answered."""
        return time.monotonic() - self._heard

    def on_ended(self, listener: Listener) -> None:
        """Have the listener told of the sessions that end from now on, each once."""
        self._listeners.append(listener)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        settings = {**SERVER_SETTINGS, "application_name": "vibestream revocations"}
        connection = await asyncpg.connect(self._url(), timeout=ANSWER_S, server_settings=settings)
        try:
            # Listen first: what ends in between is heard of twice rather than never.
            await connection.add_listener(NOTIFY_CHANNEL, self._on_notify)
            await self._read(connection, KEEP_MS)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _keep(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        while True:
            try:
                await self._serve(connection)
            except Exception as error:  # noqa: BLE001 - whatever it was, it must come back
                log.warning("revocations lost", error=repr(error))
            finally:
                connection.terminate()
            connection = await self._connect_again()

    async def _connect_again(self) -> asyncpg.Connection[asyncpg.Record]:
        while True:
            await asyncio.sleep(RETRY_S)
            with contextlib.suppress(Exception):  # until it is there
                return await self._connect()

    async def _serve(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not connection.is_closed():
            await self._read(connection, RECENT_MS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await lost.wait()

    async def _read(self, connection: asyncpg.Connection[asyncpg.Record], window_ms: int) -> None:
        now_ms = self._clock()
        async with asyncio.timeout(ANSWER_S):
            found = await ended_since(connection, now_ms - window_ms)
        self._learn(found)
        self._heard = time.monotonic()
        past = [each for each, at_ms in self._ended.items() if at_ms <= now_ms - KEEP_MS]
        for session_id in past:
            del self._ended[session_id]

    def _on_notify(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._learn({str(payload): self._clock()})

    def _learn(self, ended: dict[str, int]) -> None:
        new = ended.keys() - self._ended.keys()
        if not new:
            return
        self._ended.update({session_id: ended[session_id] for session_id in new})
        for listener in self._listeners:
            listener(new)
