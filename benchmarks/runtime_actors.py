"""What `benchmarks/runtime.py` runs on Ray: a host of counters, a plain actor, a replica asking."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import msgspec
import ray

from actors.runtime.codec import Health
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.limits import Limits
from benchmarks.harness import percentile
from benchmarks.runtime_kind import Add, Count, Counters, Get
from deployments.composition.common import now_ms
from deployments.composition.entities import SPARE_CONNECTIONS
from deployments.ray_actors import ALWAYS_ON, EntityHost
from deployments.ray_processes import RayProcesses
from deployments.settings import Settings
from deployments.topology import NAMESPACE, HostSpec
from storage import placement
from storage.database import open_pool

HOST, PLAIN = "bench-0", "bench-plain"
ENTITIES = 100_000
IDS = [f"counter-{number}" for number in range(ENTITIES)]
EVERY_ENTITY_CALLERS = 2_000
PATIENCE_MS = 60_000
RATE, P50, P99 = "commands/s", "p50 ms", "p99 ms"
FIRST, SAMPLE = "first answer s", "1,000 entities s"

Ask = Callable[[], Awaitable[Any]]


class CounterHost(EntityHost):
    """The engine's own host actor, with counters in it."""

    async def _open(self) -> Any:
        limits = Limits()
        pool = await open_pool(
            self._settings.postgres_url,
            max_size=limits.lanes + SPARE_CONNECTIONS,
            application_name=self._spec.name,
        )
        host = Host(self._spec.name, [Counters()], pool, now_ms, limits)
        await host.start()
        return host

    async def pid(self) -> int:
        """The process to kill."""
        return os.getpid()


class PlainCounter:
    """What an actor is without the runtime: a call a command, and everything in memory alone."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    async def add(self, entity_id: str, amount: int) -> int:
        """Add to a number."""
        number = self._counts[entity_id] = self._counts.get(entity_id, 0) + amount
        return number


class Callers:
    """A Serve replica in which concurrent callers ask, each again when it was answered."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc] # Serve awaits it
        self._pool = await open_pool(settings.postgres_url, application_name="bench-callers")
        self._processes = RayProcesses()
        reader = partial(placement.read, self._pool)
        self._handle = Handle(Counters(), self._processes, reader)
        self._plain: Any = ray.get_actor(PLAIN, namespace=NAMESPACE)
        self._added = 0
        self._ways: dict[str, Ask] = {
            "journalled": self._add,
            "in memory": self._get,
            "plain": self._call_plain,
        }

    async def prepare(self) -> None:
        """Make every entity, so that all have a journal and are in memory."""
        await placement.ensure(
            self._pool, Counters.name, dict.fromkeys(range(Counters.partitions), HOST)
        )
        await _each(self._add, IDS)

    async def measure(self, way: str, callers: int, seconds: float) -> dict[str, float]:
        """So many callers for so long."""
        ask, latencies_ms = self._ways[way], list[float]()
        began = time.perf_counter()
        end = began + seconds

        async def caller() -> None:
            while (asked := time.perf_counter()) < end:
                await ask()
                latencies_ms.append((time.perf_counter() - asked) * 1e3)

        await asyncio.gather(*(caller() for _ in range(callers)))
        elapsed = time.perf_counter() - began
        latencies_ms.sort()
        return {
            RATE: len(latencies_ms) / elapsed,
            P50: percentile(latencies_ms, 50),
            P99: percentile(latencies_ms, 99),
        }

    async def recover(self, entities: int) -> dict[str, float]:
        """Kill the host with all entities in memory, ask some at once, and prove all numbers."""
        await self._prove()
        chosen, answered_s = random.sample(IDS, entities), list[float]()
        actor: Any = ray.get_actor(HOST, namespace=NAMESPACE)
        victim = await actor.pid.remote()
        began = time.perf_counter()
        os.kill(victim, signal.SIGKILL)

        async def ask(entity_id: str) -> None:
            await self._add(entity_id)
            answered_s.append(time.perf_counter() - began)

        await asyncio.gather(*map(ask, chosen))
        assert await actor.pid.remote() != victim, "the host was not killed"
        await self._prove()
        return {FIRST: min(answered_s), SAMPLE: max(answered_s)}

    async def rest(self) -> None:
        """Have the database do now what it would do in the middle of a measurement."""
        await self._pool.execute("vacuum analyze")
        await self._pool.execute("checkpoint")

    async def _prove(self) -> None:
        """Bring every entity into memory; what was added once is there once."""
        counts: list[int] = []

        async def look(entity_id: str) -> None:
            counts.append((await self._get(entity_id)).count)

        await _each(look, IDS)
        total = sum(counts)
        assert total == self._added, f"{self._added} were added, {total} are there"
        health = msgspec.msgpack.decode(await self._processes.health(HOST), type=Health)
        assert health.entities == ENTITIES, f"{health.entities} entities are live"

    async def _add(self, entity_id: str = "") -> None:
        key = os.urandom(16)
        await self._handle.ask(
            entity_id or random.choice(IDS), Add(1), key=key, timeout_ms=PATIENCE_MS
        )
        self._added += 1

    async def _get(self, entity_id: str = "") -> Count:
        key = os.urandom(16)
        found: Count = await self._handle.ask(
            entity_id or random.choice(IDS), Get(), key=key, timeout_ms=PATIENCE_MS
        )
        return found

    async def _call_plain(self) -> None:
        await self._plain.add.remote(random.choice(IDS), 1)


async def _each(ask: Callable[[str], Awaitable[Any]], entity_ids: Iterable[str]) -> None:
    """Ask every entity, many at a time."""
    left = iter(entity_ids)

    async def caller() -> None:
        for entity_id in left:
            await ask(entity_id)

    await asyncio.gather(*(caller() for _ in range(EVERY_ENTITY_CALLERS)))


def start(settings: Settings) -> None:
    """Both actors, answering."""
    spec = HostSpec(HOST, (Counters.name,))
    remote: Any = ray.remote(CounterHost)
    host = remote.options(**ALWAYS_ON, name=HOST).remote(spec, settings)
    remote = ray.remote(PlainCounter)
    plain = remote.options(**ALWAYS_ON, name=PLAIN).remote()
    ray.get([host.health.remote(), plain.add.remote("", 0)], timeout=60)
