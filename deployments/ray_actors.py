"""Ray said once: the plain classes of `actors/` and `bus/` become named, restarting Ray actors here."""

from __future__ import annotations

import asyncio
from typing import Any

import ray

from deployments.settings import Settings
from deployments.topology import BUS_WORKER, NAMESPACE, SUPERVISOR, HostSpec

# num_cpus=0: these processes share the machine with Serve replicas and are placed by name, not by
# core. Ray restarts them for ever; callers retry with the same idempotency key (no task retries: the
# handle knows better than Ray when a command must go to another host).
ALWAYS_ON: dict[str, Any] = {
    "namespace": NAMESPACE,
    "lifetime": "detached",
    "get_if_exists": True,
    "num_cpus": 0,
    "max_restarts": -1,
    "max_task_retries": 0,
    "max_concurrency": 1000,
}


class Started:
    """A service that starts in the actor's own event loop, at the first call, once.

    Ray runs `__init__` outside the loop and calls nothing after a restart, so each method awaits
    `_ready()`; the supervisor's health calls see to it that the first one comes soon.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._starting: asyncio.Task[Any] | None = None

    async def _start(self) -> Any:
        raise NotImplementedError

    async def _ready(self) -> Any:
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        try:
            return await asyncio.shield(self._starting)
        except BaseException:
            if self._starting is not None and self._starting.done():
                self._starting = None
            raise

    async def health(self) -> bytes:
        """The service's own account of itself."""
        report: bytes = await (await self._ready()).health()
        return report

    async def scrape(self) -> bytes:
        """Prometheus text of this process."""
        text: bytes = await (await self._ready()).scrape()
        return text


class EntityHost(Started):
    """Owns partitions of entity kinds."""

    def __init__(self, spec: HostSpec, settings: Settings) -> None:
        super().__init__(settings)
        self._spec = spec

    def __repr__(self) -> str:
        return f"EntityHost({self._spec.name}: {', '.join(self._spec.kinds)})"

    async def _start(self) -> Any:
        from deployments.composition import open_host

        return await open_host(self._spec, self._settings)

    async def call(self, payload: bytes) -> bytes:
        """Encoded commands in, encoded answers out (see `actors.runtime`)."""
        host = self._starting.result() if self._is_up() else await self._ready()
        answers: bytes = await host.call(payload)
        return answers

    def _is_up(self) -> bool:
        return (
            self._starting is not None
            and self._starting.done()
            and self._starting.exception() is None
        )


class BusWorker(Started):
    """Relays the outbox and runs the consumers: sagas and janitors."""

    def __repr__(self) -> str:
        return "BusWorker"

    async def _start(self) -> Any:
        from deployments.composition import open_bus_worker

        return await open_bus_worker(self._settings)


class Supervision(Started):
    """Watches hosts and bus workers, brings them back, moves the partitions of the lost."""

    def __repr__(self) -> str:
        return "Supervisor"

    async def _start(self) -> Any:
        from deployments.composition import open_supervisor

        return await open_supervisor(self._settings)


def start_host(spec: HostSpec, settings: Settings, **options: Any) -> Any:
    """The named host actor, started if it is not there."""
    actor = ray.remote(**{**ALWAYS_ON, "scheduling_strategy": "SPREAD", **options})(EntityHost)
    return actor.options(name=spec.name).remote(spec, settings)


def start_bus_worker(settings: Settings) -> Any:
    """The named bus worker, started if it is not there."""
    return ray.remote(**ALWAYS_ON)(BusWorker).options(name=BUS_WORKER).remote(settings)


def start_supervisor(settings: Settings) -> Any:
    """The named supervisor, started if it is not there."""
    return ray.remote(**ALWAYS_ON)(Supervision).options(name=SUPERVISOR).remote(settings)
