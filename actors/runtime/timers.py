"""Turns due timers into commands of their entities."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from actors.runtime.kind import EntityKind
from actors.runtime.limits import Limits
from actors.runtime.mail import Item, Timer
from actors.runtime.metrics import HostMetrics
from actors.runtime.ownership import Identity
from messages.envelope import Answer
from messages.keys import derive_key
from storage import reminders
from storage.database import Pool

logger = structlog.get_logger(__name__)


class TimerPoll:
    """Looks for the due timers of a kind's partitions that are placed on this host, owned or not.

    It is the sender of their commands. A timer is gone when the batch that handled it commits, so a
    crash at any moment leaves it due.
    """

    def __init__(
        self,
        kind: EntityKind[Any, Any, Any],
        identity: Identity,
        pool: Pool,
        clock: Callable[[], int],
        limits: Limits,
        metrics: HostMetrics,
        post: Callable[[list[Item]], None],
    ) -> None:
        self._kind = kind
        self._identity = identity
        self._pool = pool
        self._clock = clock
        self._limits = limits
        self._fired = metrics.reminders.labels(kind.name)
        self._post = post
        self._under_way: list[Timer | None] = []
        self._left = 0
        self._all_done = asyncio.Event()

    def answered(self, index: int, answer: Answer) -> None:
        """A command is done; whatever the answer, the next poll sees what is still due."""
        self._left -= 1
        if answer.code == "":
            self._fired.inc()
        if self._left == 0:
            self._all_done.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            full = False
            try:
                full = await self._poll() == self._limits.reminders_a_poll
            except Exception as error:  # noqa: BLE001 - the database is away, or restarting
                logger.warning("timer_poll_failed", kind=self._kind.name, error=repr(error))
            if not full:
                await asyncio.sleep(self._limits.reminder_poll_ms / 1000)

    async def _poll(self) -> int:
        """Have the due timers handled, and wait for it. How many there were."""
        if self._identity.retired:
            return 0
        kind = self._kind.name
        found = await reminders.due(
            self._pool, kind, self._identity.name, self._clock(), self._limits.reminders_a_poll
        )
        if not found:
            return 0
        self._left = len(found)
        self._all_done.clear()
        self._post(
            [
                Item(
                    self,
                    index,
                    derive_key("reminder", kind, due.entity_id, due.name, due.due_at_ms),
                    due.entity_id,
                    due.partition,
                    b"",
                    Timer(due.entity_id, due.name, due.due_at_ms),
                )
                for index, due in enumerate(found)
            ]
        )
        await self._all_done.wait()
        return len(found)
