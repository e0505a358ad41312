"""Ray said once: the plain classes of `actors/` and `bus/` become named, restarting actors here."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from deployments.settings import Settings
from deployments.topology import NAMESPACE, HostSpec

# num_cpus 0: these share the machine with Serve replicas and are placed by name, not by core.
# Their memory is declared because Ray puts an actor that needs nothing on a random node, whatever
# strategy it was given.
# Ray restarts them for ever. No task retries: handles know better than Ray when a command must go
# to another host. Concurrency is bounded by the mailboxes, which refuse with a typed answer.
ALWAYS_ON: dict[str, Any] = {
    "namespace": NAMESPACE,
    "lifetime": "detached",
    "get_if_exists": True,
    "num_cpus": 0,
    "memory": 100 * 1024 * 1024,
    "max_restarts": -1,
    "max_task_retries": 0,
    "max_concurrency": 1_000,
}
RETRY_SECONDS = 0.5


class Started:
    """A service that lives in the actor's event loop. `_open` builds it.

    Ray runs `__init__` outside of the loop, also after a restart, so the actor sends itself the
    call that starts it; what is asked meanwhile waits.
    """

    def __init__(self) -> None:
        self._service: asyncio.Task[Any] | None = None
        ray.get_runtime_context().current_actor.start.remote()

    async def _open(self) -> Any:
        raise NotImplementedError

    async def start(self) -> None:
        """Start, and try again until it succeeds."""
        while True:
            try:
                await self._ready()
            except Exception:  # noqa: BLE001 - a server that is away comes back
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _ready(self) -> Any:
        if self._service is None or (self._service.done() and self._service.exception()):
            self._service = asyncio.create_task(self._open())
        return await asyncio.shield(self._service)

    async def health(self) -> bytes:
        """The service's own account of itself."""
        report: bytes = await (await self._ready()).health()
        return report

    async def scrape(self) -> bytes:
        """The Prometheus text of this process."""
        text: bytes = await (await self._ready()).scrape()
        return text


class EntityHost(Started):
    """Owns partitions of entity kinds."""

    def __init__(self, spec: HostSpec, settings: Settings) -> None:
        self._spec, self._settings = spec, settings
        super().__init__()

    def __repr__(self) -> str:
        return f"EntityHost({self._spec.name}: {', '.join(self._spec.kinds)})"

    async def _open(self) -> Any:
        from deployments.composition.entities import open_host

        return await open_host(self._spec, self._settings)

    async def call(self, payload: bytes) -> bytes:
        """Encoded commands in, encoded answers out (`Host.call`)."""
        answers: bytes = await (await self._ready()).call(payload)
        return answers


class BusWorker(Started):
    """Relays the outbox and runs the consumers."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings
        super().__init__()

    def __repr__(self) -> str:
        return f"BusWorker({self._name})"

    async def _open(self) -> Any:
        from deployments.composition.bus import open_bus_worker
        from deployments.ray_processes import RayProcesses

        return await open_bus_worker(self._name, self._settings, RayProcesses())


class Supervision(Started):
    """Watches the hosts and moves the partitions of the lost."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name, self._settings = name, settings
        super().__init__()

    def __repr__(self) -> str:
        return f"Supervisor({self._name})"

    async def _open(self) -> Any:
        from deployments.composition.entities import open_supervisor
        from deployments.ray_processes import RayProcesses

        return await open_supervisor(self._settings, RayProcesses())


def start_host(spec: HostSpec, settings: Settings, node_id: str) -> Any:
    """The named host actor, started on the node if it is not there."""
    return _actor(EntityHost, spec.name, node_id).remote(spec, settings)


def start_bus_worker(name: str, settings: Settings, node_id: str) -> Any:
    """The named bus worker, started on the node if it is not there."""
    return _actor(BusWorker, name, node_id).remote(name, settings)


def start_supervisor(name: str, settings: Settings, node_id: str) -> Any:
    """The named supervisor, started on the node if it is not there."""
    return _actor(Supervision, name, node_id).remote(name, settings)


def _actor(service: type, name: str, node_id: str) -> Any:
    actor: Any = ray.remote(service)
    # Soft: when the node dies, Ray brings the actor back on another.
    where = NodeAffinitySchedulingStrategy(node_id, soft=True)
    return actor.options(**ALWAYS_ON, name=name, scheduling_strategy=where)
