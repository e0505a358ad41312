"""The realtime door put together: hub, feed, operations, listener; start, stop, health, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Collection, Coroutine, Iterable, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import structlog

from api.realtime.arrivals import Arrivals
from api.realtime.connection import Connection, Outlet
from api.realtime.feed import Feed
from api.realtime.hub import Hub
from api.realtime.limits import Limits
from api.realtime.listener import Listener
from api.realtime.machine import Authenticate, Moment
from api.realtime.metrics import RealtimeMetrics
from api.realtime.operations import Operations
from api.realtime.protocol import SUBPROTOCOL, CloseCode

SLICES = 8  # each connection is looked at once a second, an eighth of them at a time
STOP_GRACE_S = 3.0
GAUGES = (
    "connections",
    "channels",
    "history_events",
    "history_bytes",
    "feed_age_seconds",
)

log = structlog.get_logger(__name__)


class Refused(NamedTuple):
    """Why an upgrade is answered with something else."""

    status: HTTPStatus
    detail: str
    retry_after_s: int | None = None


class Health(msgspec.Struct, frozen=True):
    """What the door says of itself. `feed_age_s`: since the broker last answered."""

    ok: bool
    connections: int
    channels: int
    feed_up: bool
    feed_age_s: float
    cursor: dict[str, str]


class RealtimeServer:
    """One replica's door.

    host, port: of its own listener (port 0: any free one; None: no listener, ASGI only).
    allowed_origins: what browsers' pages may connect from; `*` admits all.
    `arrivals` says how often a network may connect; while it is None, as often as it likes.
    """

    def __init__(
        self,
        hub: Hub,
        operations: Operations,
        authenticate: Authenticate,
        feed: Feed | None,
        *,
        host: str = "127.0.0.1",
        port: int | None = 0,
        metrics: RealtimeMetrics | None = None,
        allowed_origins: frozenset[str] = frozenset(),
    ) -> None:
        self.hub = hub
        self.operations = operations
        self.authenticate = authenticate
        self.feed = feed
        self.limits: Limits = hub.limits
        self.metrics = metrics or RealtimeMetrics()
        self.clock = operations.clock
        self._listener = Listener(self, host, port) if port is not None else None
        self._origins = allowed_origins
        self.arrivals: Arrivals | None = None
        self._slices: tuple[set[Connection], ...] = tuple(set() for _ in range(SLICES))
        self._next_slice = 0
        self._emptied = asyncio.Event()
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self.metrics.watch(self._numbers, GAUGES)

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, and follow the bus. OSError if the port is taken."""
        # Before the first client: a resume on a hub that follows nothing yet would skip events.
        if self.feed is not None:
            await self.feed.start(self.hub, self.metrics)
        if self._listener is not None:
            await self._listener.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Take no more, tell the clients to come back, wait a little for what is under way."""
        self._stopping = True
        if self._listener is not None:
            self._listener.stop_accepting()
        spread = self.limits.bye_spread_ms
        for connection in self.connections():
            connection.say_bye(secrets.randbelow(spread) if spread else 0)
        await self._finish({call for c in self.connections() for call in c.calls()})
        for connection in self.connections():
            connection.close(CloseCode.SERVER_RESTART, "server restarts")
        await self._empty()
        await self._finish(self._tasks)
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        if self.feed is not None:
            await self.feed.stop()
        await self.hub.close()
        for connection in self.connections():
            connection.cut_off()

    @property
    def port(self) -> int:
        """The listener's port. Only after `start`."""
        assert self._listener is not None, "this door has no listener of its own"
        return self._listener.port

    def health(self) -> Health:
        """Whether clients can connect and events arrive."""
        feed_up = self.feed is None or self.feed.up
        return Health(
            ok=not self._stopping and feed_up,
            connections=len(self),
            channels=self.hub.channels,
            feed_up=feed_up,
            feed_age_s=self.feed.age_s() if self.feed else 0.0,
            cursor=self.hub.cursor(),
        )

    def scrape(self) -> bytes:
        """Prometheus text of the door."""
        return self.metrics.text(self.operations.metrics.registry)

    # --- connections ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(map(len, self._slices))

    def connections(self) -> list[Connection]:
        """All that are open or closing."""
        return [connection for part in self._slices for connection in part]

    def refuse(self, origin: str | None, subprotocols: str) -> Refused | None:
        """Why an upgrade is refused; None: it is not.

        `subprotocols` is the header as it came. A client that names none gets `vibestream.v1`.
        """
        refused: Refused | None = None
        retry = self.limits.retry_after_s
        offered = [name.strip() for name in subprotocols.split(",") if name.strip()]
        if origin is not None and not self._origins & {origin, "*"}:
            refused = Refused(HTTPStatus.FORBIDDEN, "origin not allowed")
        elif offered and SUBPROTOCOL not in offered:
            refused = Refused(HTTPStatus.BAD_REQUEST, f"this server speaks {SUBPROTOCOL}")
        elif self._stopping:
            refused = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "stopping", retry)
        elif len(self) >= self.limits.max_connections:
            refused = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", retry)
        if refused is not None:
            self.metrics.refused.labels(refused.status.name.lower()).inc()
        return refused

    def too_often_ms(self, peer: str, forwarded_for: Sequence[str]) -> int:
        """How long the client behind `peer` must wait before it connects again; 0: it may now."""
        wait_ms = 0 if self.arrivals is None else self.arrivals.wait_ms(peer, forwarded_for)
        if wait_ms:
            self.metrics.refused.labels("too_often").inc()
        return wait_ms

    def open(self, outlet: Outlet, door: str) -> Connection:
        """A client connected. `door` is the transport's name."""
        connection = Connection(self, outlet, str(uuid4()))
        min(self._slices, key=len).add(connection)
        self.metrics.opened.labels(door).inc()
        return connection

    def end_sessions(self, ended: Collection[str]) -> None:
        """Close the connections of sessions that have ended."""
        for connection in self.connections():
            connection.sessions_ended(ended)

    def forget(self, connection: Connection, code: int) -> None:
        """A connection is over."""
        for part in self._slices:
            if connection in part:
                part.discard(connection)
                self.metrics.closed.labels(str(code)).inc()
        if not len(self):
            self._emptied.set()

    def moment(self) -> Moment:
        """Now."""
        return Moment(self.clock(), time.monotonic_ns() // 1_000_000)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that outlives its connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1 / SLICES)
            self._next_slice = (self._next_slice + 1) % SLICES
            for connection in list(self._slices[self._next_slice]):
                connection.tick()

    async def _finish(self, tasks: Iterable[asyncio.Future[Any]]) -> None:
        """Give tasks a little time, then end them."""
        pending = set(tasks)
        if pending:
            _, pending = await asyncio.wait(pending, timeout=STOP_GRACE_S)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _empty(self) -> None:
        """Wait until the clients have answered the close, or their time is over."""
        self._emptied.clear()
        if len(self):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_GRACE_S):
                    await self._emptied.wait()

    def _numbers(self) -> dict[str, float]:
        return {
            "connections": len(self),
            "messages_received": self.metrics.received,
            "channels": self.hub.channels,
            "history_events": len(self.hub.history),
            "history_bytes": self.hub.history.size_bytes,
            "feed_age_seconds": self.feed.age_s() if self.feed else 0.0,
            **{f"hub_{name}": value for name, value in asdict(self.hub.counts).items()},
        }
