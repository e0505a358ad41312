"""Ray said once: the plain classes become a Serve application and named, restarting actors here."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray import serve

from deployments.settings import Settings

NAMESPACE = "vibestream"
BUS_WORKER = "bus-0"
GATEWAY_APP = "gateway"
MAX_ONGOING_REQUESTS = 1_000


class GatewayReplica:
    """FastAPI over the engine's ports; every context mounts its router."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc] # Serve awaits it
        from deployments.composition import open_gateway

        self._app = await open_gateway(settings)

    def __serve_build_asgi_app__(self) -> Any:
        return self._app


class BusWorker:
    """Relays the outbox to Redis Streams. Starts at the first call, in the actor's own loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._starting: asyncio.Task[Any] | None = None

    def __repr__(self) -> str:
        return "BusWorker"

    async def health(self) -> bytes:
        """The worker's own account of itself. The first call, also after a restart, starts it."""
        from deployments.composition import open_bus_worker

        if self._starting is None or (self._starting.done() and self._starting.exception()):
            self._starting = asyncio.create_task(open_bus_worker(self._settings))
        worker = await asyncio.shield(self._starting)
        report: bytes = await worker.health()
        return report


def gateway_application(settings: Settings) -> Any:
    """The gateway, bound to its settings."""
    deployment = serve.deployment(
        num_replicas=settings.gateway_replicas,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        # As many may wait as are under way; then Serve answers 503.
        max_queued_requests=MAX_ONGOING_REQUESTS,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=2,
        health_check_timeout_s=5,
        graceful_shutdown_timeout_s=3,
    )
    return deployment(serve.ingress()(GatewayReplica)).bind(settings)


def start_bus_worker(settings: Settings) -> Any:
    """The named bus worker, started if it is not there; Ray restarts it for ever."""
    actor: Any = ray.remote(BusWorker)
    options = {"namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True}
    return actor.options(**options, name=BUS_WORKER, num_cpus=0, max_restarts=-1).remote(settings)
