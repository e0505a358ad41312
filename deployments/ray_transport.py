"""The runtime's transport over Ray: a host's name is the name of its actor."""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from actors.runtime.transport import HostUnreachable
from deployments.topology import NAMESPACE


class RayTransport:
    """Finds named actors and calls them. One a process; safe for concurrent use in one loop.

    Raises HostUnreachable where the actor is dead, restarting, or unknown: the caller keeps its
    idempotency key and tries again.
    """

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}

    async def call(self, host: str, payload: bytes) -> bytes:
        """Deliver encoded commands and return the encoded answers."""
        return await self._invoke(host, "call", payload)

    async def health(self, host: str) -> bytes:
        """The host's own account of itself (see `Host.health`)."""
        return await self._invoke(host, "health")

    async def scrape(self, host: str) -> bytes:
        """The Prometheus text of the host's process."""
        return await self._invoke(host, "scrape")

    async def _invoke(self, host: str, method: str, *arguments: bytes) -> bytes:
        try:
            actor = self._actors.get(host)
            if actor is None:
                actor = self._actors[host] = ray.get_actor(host, namespace=NAMESPACE)
            result: bytes = await getattr(actor, method).remote(*arguments)
        except (RayActorError, ValueError) as error:
            self._actors.pop(host, None)
            raise HostUnreachable(host) from error
        except RayError as error:
            raise HostUnreachable(host) from error
        return result
