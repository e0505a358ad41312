"""Watches hosts and moves the partitions of the lost. One supervisor acts at a time.

Safety does not depend on it: a move raises the epochs, so an owner that was only thought lost
cannot commit any more. A supervisor that is wrong costs time, never a double owner.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import asyncpg
import msgspec
import structlog
from prometheus_client import generate_latest

from actors.runtime.codec import Health
from actors.runtime.limits import SupervisorLimits
from actors.runtime.metrics import SupervisorMetrics
from actors.runtime.placement import assign, moves
from actors.runtime.transport import HostUnreachable, Transport
from storage import placement
from storage.database import Pool
from storage.placement import Incident

logger = structlog.get_logger(__name__)

CONNECT_S = 5.0
_decode_health = msgspec.msgpack.Decoder(Health).decode


class Watched:
    """What the supervisor knows of a host."""

    __slots__ = ("answering_since_ms", "health", "is_live", "seen_ms")

    def __init__(self, now_ms: int) -> None:
        # Innocent until proven lost: a supervisor that starts moves nothing before it knows.
        self.is_live = True
        self.seen_ms = now_ms
        self.answering_since_ms: int | None = None
        self.health: Health | None = None


class Plan(msgspec.Struct, frozen=True):
    """What should be where. `hosts`: the desired hosts of each kind; `partitions`: their number."""

    hosts: Mapping[str, Sequence[str]]
    partitions: Mapping[str, int]

    def names(self) -> list[str]:
        """All hosts."""
        return sorted({name for names in self.hosts.values() for name in names})


class Supervisor:
    """Keeps the partitions of every kind on hosts that answer."""

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        transport: Transport,
        clock: Callable[[], int],
        limits: SupervisorLimits | None = None,
        metrics: SupervisorMetrics | None = None,
    ) -> None:
        self._plan = plan
        self._pool = pool
        self._transport = transport
        self._clock = clock
        self._limits = limits or SupervisorLimits()
        self.metrics = metrics or SupervisorMetrics()
        self._watched: dict[str, Watched] = {}
        self._lock: asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Supervise from now on, or wait to take over from the one that does."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Supervise no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._let_go()

    async def health(self) -> bytes:
        """JSON: whether this one leads, and what it knows of each host."""
        hosts = {
            name: {"live": watched.is_live, "seen_ms": watched.seen_ms, "health": watched.health}
            for name, watched in self._watched.items()
        }
        return msgspec.json.encode({"leading": self._lock is not None, "hosts": hosts})

    async def scrape(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.metrics.registry)

    async def round(self) -> None:
        """One look at everything. `start` does this again and again."""
        if not await self._leads():
            return
        now_ms = self._clock()
        for name in self._plan.names():
            self._watched.setdefault(name, Watched(now_ms))
        answers = await asyncio.gather(*(self._ask(name) for name in self._watched))
        now_ms = self._clock()
        changes = {
            name: change
            for name, health in zip(self._watched, answers, strict=True)
            if (change := self._note(name, health, now_ms))
        }
        await self._report(changes, await self._rebalance(now_ms), now_ms)

    async def _run(self) -> None:
        while True:
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001 - the next round may fare better
                logger.warning("supervision_failed", error=repr(error))
                await self._let_go()
            await asyncio.sleep(self._limits.interval_ms / 1000)

    async def _leads(self) -> bool:
        """Whether this supervisor holds the lock. It is lost with its connection."""
        if self._lock is not None:
            await self._lock.execute("select 1")  # raises once the connection, or the pool, is gone
            return True
        await self._let_go()
        connection = await self._pool.acquire(timeout=CONNECT_S)
        if not await placement.try_lead(connection):
            await self._pool.release(connection)
            return False
        self._lock = connection
        self._watched.clear()
        self.metrics.leading.set(1)
        for kind, hosts in self._plan.hosts.items():
            wanted = assign(kind, self._plan.partitions[kind], hosts)
            await placement.ensure(connection, kind, wanted)
        return True

    async def _let_go(self) -> None:
        connection, self._lock = self._lock, None
        self.metrics.leading.set(0)
        if connection is not None:
            with suppress(Exception):
                connection.terminate()
            with suppress(Exception):
                await self._pool.release(connection)

    async def _ask(self, name: str) -> Health | None:
        try:
            async with asyncio.timeout(self._limits.health_ms / 1000):
                return _decode_health(await self._transport.health(name))
        except (HostUnreachable, TimeoutError):
            return None
        except Exception as error:  # noqa: BLE001 - a host that cannot tell how it is, is not well
            logger.warning("host_unwell", host=name, error=repr(error))
            return None

    def _note(self, name: str, health: Health | None, now_ms: int) -> str:
        """Remember how a host fared; what is new about it, if anything."""
        watched, limits = self._watched[name], self._limits
        if health is None or health.retired:
            watched.answering_since_ms = None
            if watched.is_live and now_ms - watched.seen_ms >= limits.lost_after_ms:
                watched.is_live = False
                self.metrics.losses.labels(name).inc()
                self.metrics.live.labels(name).set(0)
                return "lost"
            return ""
        before, watched.health = watched.health, health
        watched.seen_ms = now_ms
        if watched.answering_since_ms is None:
            watched.answering_since_ms = now_ms
        self.metrics.live.labels(name).set(1)
        if not watched.is_live:
            if now_ms - watched.answering_since_ms < limits.trust_after_ms:
                return ""
            watched.is_live = True
            return "returned"
        if before is not None and before.incarnation != health.incarnation:
            self.metrics.restarts.labels(name).inc()
            return "restarted"
        return ""

    async def _rebalance(self, now_ms: int) -> list[tuple[str, str]]:
        """Put every partition where the live hosts should have it: (from, to) of each move."""
        assert self._lock is not None
        done: list[tuple[str, str]] = []
        for kind, hosts in self._plan.hosts.items():
            live = [name for name in hosts if self._watched[name].is_live]
            if not live:
                continue  # nowhere is no better than where they are
            present = await placement.read(self._lock, kind)
            wanted = moves(present, assign(kind, self._plan.partitions[kind], live))
            if not wanted:
                continue
            moved = await placement.move(self._lock, kind, wanted, now_ms)
            done += [(present[partition], wanted[partition]) for partition in moved]
            self.metrics.moves.labels(kind).inc(len(moved))
            logger.warning("partitions_moved", kind=kind, partitions=len(moved), hosts=live)
        return done

    async def _report(
        self, changes: Mapping[str, str], moved: Sequence[tuple[str, str]], now_ms: int
    ) -> None:
        """Write down what happened to hosts, each with the partitions it lost or was given."""
        assert self._lock is not None
        for name, change in changes.items():
            count = sum(name in pair for pair in moved)
            logger.warning("host_" + change, host=name, partitions_moved=count)
            await placement.report(self._lock, Incident(now_ms, name, change, count))
        for name, count in Counter(source for source, _ in moved).items():
            if not changes:  # the plan itself is new
                await placement.report(self._lock, Incident(now_ms, name, "rebalanced", count))
