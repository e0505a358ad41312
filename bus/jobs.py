"""Work that comes round by itself: one worker does it, the others stand by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bus.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every `every_s` seconds. Its name is its lease's.

    run: does a bounded part of what waits and returns how much that was. While it is not 0 it is
    called again at once.
    """

    name: str
    every_s: float
    run: Callable[[], Awaitable[int]]


class JobRunner:
    """Does a job for ever while it holds the job's lease."""

    def __init__(self, job: Job, wiring: Wiring) -> None:
        self.task_name = f"job/{job.name}"
        self._job = job
        self._store = wiring.store
        self._metrics = wiring.metrics

    async def run(self) -> None:
        """Raises what the job raises, and when the lease is lost: run it again."""
        leading = self._metrics.leading.labels(self.task_name)
        async with self._store.lease(f"bus/{self.task_name}"):
            with leading.track_inprogress():
                while True:
                    if not await self._job.run():
                        await asyncio.sleep(self._job.every_s)
