"""The port to those who publish exchange rates."""

from __future__ import annotations

from typing import Protocol

from messages.payments.exchange import PublishedRates


class ExchangeRates(Protocol):
    """A publisher of reference rates."""

    async def fetch(self) -> PublishedRates:
        """The latest rates. Raises Unavailable, also for an answer that is none."""

    async def close(self) -> None:
        """Let go of connections."""
