"""The port through which handles and the supervisor reach hosts. Implementations: `_local`, Ray."""

from __future__ import annotations

from typing import Protocol


class HostUnreachable(ConnectionError):  # noqa: N818 - a state of affairs, like its siblings
    """The host is dead, restarting or unknown. Whether it did what it was asked is unknown, too."""


class Transport(Protocol):
    """Calls hosts by name. Every method raises HostUnreachable."""

    async def call(self, host: str, payload: bytes) -> bytes:
        """`Host.call`."""

    async def health(self, host: str) -> bytes:
        """`Host.health`."""
