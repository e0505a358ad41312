"""The engine's processes as the others see them, over Ray: a process's name is its actor's name."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
import ray
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from actors.runtime.transport import HostUnreachable
from deployments.topology import NAMESPACE

REALTIME_APP = "realtime"


class RayProcesses:
    """Reaches named actors and the realtime application. One a process, used in one loop.

    It is the runtime's Transport. Every method raises HostUnreachable where the process is dead,
    restarting or unknown; whoever sent a command keeps its idempotency key and tries again.
    """

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}
        self._realtime: Any = None

    async def call(self, host: str, payload: bytes) -> bytes:
        """Deliver encoded commands and return the encoded answers."""
        return await self._invoke(host, "call", payload)

    async def health(self, host: str) -> bytes:
        """The process's own account of itself."""
        return await self._invoke(host, "health")

    async def scrape(self, name: str) -> bytes:
        """The Prometheus text of the process."""
        return await self._invoke(name, "scrape")

    async def scrape_realtime(self) -> bytes:
        """The Prometheus text of one realtime replica."""
        return await self._ask_realtime("scrape")

    async def count_connections(self) -> int:
        """The open connections of one realtime replica; HostUnreachable if it is unwell."""
        health = msgspec.json.decode(await self._ask_realtime("health"))
        if not health["ok"]:
            raise HostUnreachable(REALTIME_APP)
        return int(health["connections"])

    async def _ask_realtime(self, method: str) -> bytes:
        try:
            if self._realtime is None:
                self._realtime = serve.get_app_handle(REALTIME_APP)
            answer: Awaitable[bytes] = getattr(self._realtime, method).remote()
            return await answer
        except (RayError, RayServeException) as error:
            self._realtime = None
            raise HostUnreachable(REALTIME_APP) from error

    async def _invoke(self, name: str, method: str, *arguments: bytes) -> bytes:
        actor = self._actors.get(name) or self._find(name)
        try:
            result: bytes = await getattr(actor, method).remote(*arguments)
        except RayTaskError:
            raise  # the process is well and has a defect
        except RayError as error:
            self._actors.pop(name, None)
            raise HostUnreachable(name) from error
        return result

    def _find(self, name: str) -> Any:
        try:
            actor = ray.get_actor(name, namespace=NAMESPACE)
        except (RayError, ValueError) as error:
            raise HostUnreachable(name) from error
        self._actors[name] = actor
        return actor
