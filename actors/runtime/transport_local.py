"""Hosts of this very process, for tests and single-process tools. A host can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Protocol

from actors.runtime.transport import HostUnreachable


class LocalHost(Protocol):
    """What is called: a `Host`, or a stand-in."""

    async def call(self, payload: bytes) -> bytes:
        """Answer commands."""

    async def health(self) -> bytes:
        """Tell how it is."""


class LocalTransport:
    """Calls hosts as Ray would: a killed host's callers get HostUnreachable at once."""

    def __init__(self) -> None:
        self._hosts: dict[str, tuple[LocalHost, asyncio.Future[None]]] = {}
        self.calls = 0

    def add(self, name: str, host: LocalHost) -> None:
        """Make `host` the one that is called `name`; calls under way to an earlier one go on."""
        self._hosts[name] = (host, asyncio.get_running_loop().create_future())

    def kill(self, name: str) -> None:
        """From now on the host is unreachable, for those who wait for it as well."""
        _, killed = self._hosts.pop(name)
        killed.set_result(None)

    async def call(self, host: str, payload: bytes) -> bytes:
        """`Host.call`. Raises HostUnreachable."""
        self.calls += 1
        found, killed = self._find(host)
        return await _unless(killed, host, found.call(payload))

    async def health(self, host: str) -> bytes:
        """`Host.health`. Raises HostUnreachable."""
        found, killed = self._find(host)
        return await _unless(killed, host, found.health())

    def _find(self, name: str) -> tuple[LocalHost, asyncio.Future[None]]:
        try:
            return self._hosts[name]
        except KeyError:
            raise HostUnreachable(name) from None


async def _unless(
    killed: asyncio.Future[None], host: str, answering: Coroutine[None, None, bytes]
) -> bytes:
    """What `answering` returns, unless the host is killed first."""
    call = asyncio.ensure_future(answering)
    try:
        await asyncio.wait((call, killed), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        call.cancel()
        raise
    if call.done():
        return call.result()
    call.cancel()
    raise HostUnreachable(host)
