"""What consumers of calls without an answer share: each call once, not too many at a time."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

import msgspec

from messages.envelope import Event
from messages.payments.accounts import STREAM
from messages.payments.payments import CallOverdue
from messages.payments.payouts import PayoutCallDue
from storage.database import Connection

MAX_AT_ONCE = 16  # a provider that is slow must not hold all of them for long

Due = TypeVar("Due", CallOverdue, PayoutCallDue)


class OverdueCalls(ABC, Generic[Due]):
    """A consumer group whose effect is at the provider, made idempotent by the call's key."""

    group: ClassVar[str]
    due_type: ClassVar[type[msgspec.Struct]]
    streams = (STREAM,)
    transactional = False

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_AT_ONCE)

    @abstractmethod
    async def again(self, due: Due) -> None:
        """Ask the provider, if the owner still waits for it."""

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Ask providers. What comes of it is the owners' to judge, so nothing fails here."""
        name = self.due_type.__name__
        due: list[Due] = [
            msgspec.json.decode(one.body, type=self.due_type)  # type: ignore[misc]
            for one in events
            if one.type == name
        ]
        latest = {one.call.call_id: one for one in due}
        await asyncio.gather(*(self._one(one) for one in latest.values()))

    async def _one(self, due: Due) -> None:
        async with self._free:
            await self.again(due)
