"""Runs relays, consumers, jobs and the trimmer as supervised tasks of one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from bus.consumer import Consumer
from bus.handler import Handler, sifted, starts_now
from bus.health import StreamLag, bus_lag, show
from bus.jobs import Job, JobRunner
from bus.limits import Limits
from bus.metrics import BusMetrics
from bus.relay import Relay
from bus.retry import Backoff, is_transient
from bus.sifter import Sifter
from bus.store import EventStore
from bus.stream import EventStream
from bus.trim import Trimmer
from bus.wiring import Wiring
from messages.bus import START

WATCH_SECONDS = 5.0

log = structlog.get_logger(__name__)


class TaskHealth(msgspec.Struct, frozen=True):
    """A task of the worker. `error` is its last, empty if it never had one."""

    task: str
    restarts: int
    error: str


class WorkerHealth(msgspec.Struct, frozen=True):
    """The worker's own account of itself."""

    name: str
    running: bool
    tasks: tuple[TaskHealth, ...]
    lags: tuple[StreamLag, ...]


class ForeignHistoryError(Exception):
    """The database was copied to a server whose transaction ids are below those in its tables."""


class Part(Protocol):
    """A task to supervise: it runs for ever, and again when it raised."""

    @property
    def task_name(self) -> str:
        """What it is called in the health report and the metrics."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""


class Worker:
    """A relay per stream, a consumer per group and stream, jobs, the trimmer, each under a lease.

    Any number of workers may run the same list, in any processes: for each task one is active and
    the others stand by.
    """

    def __init__(
        self,
        name: str,
        store: EventStore,
        broker: EventStream,
        handlers: Sequence[Handler],
        streams: Sequence[str],
        clock_ms: Callable[[], int],
        *,
        registry: CollectorRegistry | None = None,
        limits: Limits | None = None,
    ) -> None:
        names = [handler.group for handler in handlers]
        assert len(set(names)) == len(names), f"two handlers share a group name: {names}"
        self.name = name
        self.metrics = BusMetrics(registry or CollectorRegistry())
        self._store = store
        self._broker = broker
        self._handlers = tuple(handlers)
        self._jobs: list[Job] = []
        followed = (stream for handler in handlers for stream in handler.streams)
        self._streams = sorted({*streams, *followed})
        self._clock_ms = clock_ms
        self._limits = limits or Limits()
        self._wiring = Wiring(store, broker, clock_ms, self.metrics, self._limits)
        self._also: list[Part] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._states: dict[str, TaskHealth] = {}
        self._lags: tuple[StreamLag, ...] = ()
        self._stopping = False

    def add_jobs(self, *jobs: Job) -> None:
        """What comes round by itself, beside the bus's own. Before `start`."""
        assert not self._tasks, "the worker was started before"
        self._jobs += jobs

    def also(self, part: Part) -> None:
        """Supervise another task, which needs no lease, beside the bus's own. Before `start`."""
        assert not self._tasks, "the worker was started before"
        self._also.append(part)

    async def start(self) -> None:
        """Register the groups and start the tasks. Raises if PostgreSQL is away or a copy."""
        assert not self._tasks, "the worker was started before"
        await self._register()
        for part in self._parts():
            self._spawn(part.task_name, part.run)
        self._spawn("watch", self._watch)

    async def stop(self) -> None:
        """Cancel the tasks and give the leases back. What was not committed is done again."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def lag(self) -> list[StreamLag]:
        """How far behind each group is, asked now."""
        return await bus_lag(self._store, self._broker, self._streams, self._clock_ms())

    def status(self) -> WorkerHealth:
        """Tasks as they are, lags as they were a few seconds ago."""
        running = bool(self._tasks) and not any(task.done() for task in self._tasks)
        return WorkerHealth(self.name, running, tuple(self._states.values()), self._lags)

    async def health(self) -> bytes:
        """`status()` as JSON."""
        return msgspec.json.encode(self.status())

    async def scrape(self) -> bytes:
        """Prometheus text of the worker's registry."""
        return generate_latest(self.metrics.registry)

    async def _register(self) -> None:
        for handler in self._handlers:
            start = START
            if starts_now(handler):
                start = await self._store.settled_position()
            for stream in handler.streams:
                await self._store.register(handler.group, stream, start, self._clock_ms())
        await self._check_history()

    async def _check_history(self) -> None:
        """Positions count one server's transactions; on a younger server all would stand still."""
        next_xid = await self._store.next_xid()
        for stream in self._streams:
            groups = await self._store.groups(stream)
            if any(group.position.xid >= next_xid for group in groups):
                raise ForeignHistoryError(f"{stream}: see docs/contexts/bus.md, Restore")

    def _parts(self) -> list[Part]:
        wiring = self._wiring
        parts: list[Part] = [Relay(stream, wiring) for stream in self._streams]
        for handler in self._handlers:
            parts += [self._consumer(handler, name) for name in handler.streams]
        parts += [JobRunner(job, wiring) for job in self._jobs]
        return [*parts, Trimmer(self._streams, wiring), *self._also]

    def _consumer(self, handler: Handler, stream: str) -> Consumer:
        types = sifted(handler).get(stream)
        if types is None:
            return Consumer(self.name, handler, stream, self._wiring)
        return Sifter(self.name, handler, stream, types, self._wiring)

    def _spawn(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self._states[name] = TaskHealth(name, 0, "")
        self._tasks.append(asyncio.create_task(self._supervise(name, run), name=f"bus {name}"))

    async def _supervise(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        pause = Backoff(self._limits.retry_pause_s, self._limits.retry_pause_max_s)
        loop = asyncio.get_running_loop()
        while not self._stopping:
            began = loop.time()
            error: BaseException | None = None
            try:
                await run()
            except asyncio.CancelledError as cancelled:
                # A lease that is lost cancels its holder and takes that back, but where the two
                # crossed an echo of it arrives here. Anyone else's cancellation ends the task.
                if _is_cancelled():
                    raise
                error = cancelled
            except Exception as failure:  # noqa: BLE001 - the task must come back
                error = failure
            restarts = self._states[name].restarts + 1
            self._states[name] = TaskHealth(name, restarts, repr(error))
            self.metrics.restarts.labels(name).inc()
            known = error is None or is_transient(error, self._store)
            trace = None if known else error
            log.warning("task restarts", task=name, error=repr(error), exc_info=trace)
            if loop.time() - began > self._limits.retry_pause_max_s:
                pause.reset()
            await pause.wait()

    async def _watch(self) -> None:
        while True:
            self._lags = tuple(await self.lag())
            show(self._lags, self.metrics)
            await asyncio.sleep(WATCH_SECONDS)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
