"""A consumer that wants few of a stream's events: it looks for them in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bus.consumer import Consumer
from bus.handler import Handler
from bus.wiring import Wiring


class Sifter(Consumer):
    """Hands a stream's events of some types to a group's handler while it holds the group's lease.

    What a busy stream publishes would pass through broker and consumer one by one, to be thrown
    away. The table is read in the stream's order up to what is settled, like the relay reads it,
    and the group's position moves past what is no concern of it.
    """

    def __init__(
        self, name: str, handler: Handler, stream: str, types: Sequence[str], wiring: Wiring
    ) -> None:
        super().__init__(name, handler, stream, wiring)
        self._types = types

    async def turn(self) -> None:
        """One look."""
        at, limit = self._delivery.position, self._limits.handle_batch
        newest = await self._store.newest_settled(self._stream)
        if newest is not None and newest > at:
            between = (at, newest)
            events = await self._store.read_types(self._stream, between, self._types, limit)
            if events:
                await self._delivery.deliver(events)
            if len(events) == limit:
                return
            await self._delivery.skip_to(newest)
        await self._replay_when_due()
        await asyncio.sleep(self._limits.sift_s)
