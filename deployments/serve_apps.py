"""The two Serve applications: the HTTP gateway and the realtime WebSocket door."""

from __future__ import annotations

from typing import Any

import msgspec
from ray import serve

from deployments.ray_processes import REALTIME_APP, RayProcesses
from deployments.settings import Settings

GATEWAY_APP = "gateway"
REALTIME_PREFIX = "/realtime"
MAX_REQUESTS = 1_000
# A WebSocket of the fallback route is a request under way for as long as it is open.
MAX_WEBSOCKETS = 5_000


class GatewayReplica:
    """FastAPI over the engine's ports; every context mounts its router."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc] # Serve awaits it
        from deployments.composition.gateway import open_gateway

        self._app = await open_gateway(settings, RayProcesses())

    def __serve_build_asgi_app__(self) -> Any:
        return self._app

    async def __del__(self) -> None:  # Serve awaits it
        await self._app.state.close()


class RealtimeReplica:
    """The WebSocket door: its own fast listener, and the same protocol on Serve's own route."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc] # Serve awaits it
        from deployments.composition.realtime import open_realtime

        self._server, self._app = await open_realtime(settings, RayProcesses())

    def __serve_build_asgi_app__(self) -> Any:
        return self._app

    async def scrape(self) -> bytes:
        """The Prometheus text of this replica."""
        return self._server.scrape()

    async def health(self) -> bytes:
        """The JSON of a `api.realtime.server.Health`."""
        return msgspec.json.encode(self._server.health())

    async def stop(self) -> None:
        """Tell the clients to come back, and close."""
        await self._server.stop()

    async def __del__(self) -> None:  # Serve awaits it
        await self._server.stop()


def gateway_application(settings: Settings, replica: type = GatewayReplica) -> Any:
    """The gateway, bound to its settings. Benchmarks have a replica of their own."""
    options = _options(settings.gateway_replicas, MAX_REQUESTS)
    return serve.deployment(**options)(serve.ingress()(replica)).bind(settings)


def realtime_application(settings: Settings) -> Any:
    """The realtime door, bound to its settings."""
    options = _options(settings.realtime_replicas, MAX_WEBSOCKETS)
    return serve.deployment(**options)(serve.ingress()(RealtimeReplica)).bind(settings)


def run_applications(settings: Settings) -> None:
    """Deploy both and return when they serve."""
    realtime, gateway = realtime_application(settings), gateway_application(settings)
    serve.run_many(
        [
            serve.RunTarget(realtime, name=REALTIME_APP, route_prefix=REALTIME_PREFIX),
            serve.RunTarget(gateway, name=GATEWAY_APP, route_prefix="/"),
        ]
    )


def stop_realtime(seconds: float) -> None:
    """Have a realtime replica say goodbye to its clients. TimeoutError if it takes longer."""
    serve.get_app_handle(REALTIME_APP).stop.remote().result(timeout_s=seconds)


def _options(replicas: int, requests: int) -> dict[str, Any]:
    return {
        "num_replicas": replicas,
        "max_ongoing_requests": requests,
        # As many may wait as are under way; then Serve answers 503.
        "max_queued_requests": requests,
        "ray_actor_options": {"num_cpus": 0},
        "health_check_period_s": 2,
        "health_check_timeout_s": 5,
        "graceful_shutdown_timeout_s": 3,
        # A line a request is what the metrics count already, and 30 us of the gateway's time.
        "logging_config": {"enable_access_log": False},
    }
