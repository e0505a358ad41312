"""The two Serve applications: the HTTP gateway and the realtime WebSocket door."""

from __future__ import annotations

from typing import Any

from ray import serve

from deployments.settings import Settings

GATEWAY_APP = "gateway"
REALTIME_APP = "realtime"
REALTIME_PREFIX = "/realtime"


class Gateway:
    """FastAPI over the engine's ports; every context mounts its router."""

    async def __init__(self, settings: Settings) -> None:
        from deployments.composition import open_gateway

        self._gateway = await open_gateway(settings)

    def __serve_build_asgi_app__(self) -> Any:  # noqa: PLW3201 - Serve's name for a late-bound app
        return self._gateway.app

    async def scrape(self) -> bytes:
        """Prometheus text of this replica."""
        return await self._gateway.scrape()


class Realtime:
    """The WebSocket door: its own fast listener, and the same protocol on Serve's own route."""

    async def __init__(self, settings: Settings) -> None:
        from deployments.composition import open_realtime

        self._realtime = await open_realtime(settings)

    def __serve_build_asgi_app__(self) -> Any:  # noqa: PLW3201
        return self._realtime.app

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        self._realtime.check_health()

    async def scrape(self) -> bytes:
        """Prometheus text of this replica."""
        return await self._realtime.scrape()


def gateway_application(settings: Settings) -> Any:
    """The gateway, bound to its settings."""
    options = _options(settings.gateway_replicas)
    return serve.deployment(**options)(serve.ingress()(Gateway)).bind(settings)


def realtime_application(settings: Settings) -> Any:
    """The realtime door, bound to its settings."""
    options = _options(settings.realtime_replicas, max_ongoing_requests=5_000)
    return serve.deployment(**options)(serve.ingress()(Realtime)).bind(settings)


def _options(replicas: int, max_ongoing_requests: int = 1_000) -> dict[str, Any]:
    return {
        "num_replicas": replicas,
        "max_ongoing_requests": max_ongoing_requests,
        # Beyond the requests under way as many may wait; then Serve answers 503.
        "max_queued_requests": max_ongoing_requests,
        "ray_actor_options": {"num_cpus": 0},
        "health_check_period_s": 2,
        "health_check_timeout_s": 5,
        "graceful_shutdown_timeout_s": 3,
    }
