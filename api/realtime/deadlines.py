"""The time that calls may take. It is the same for all, so the oldest is the next to be late: one
timer watches them, where a timer for each would cost more than many a call."""

from __future__ import annotations

import asyncio
from collections import deque


class Watched:
    """A task that has to be done in time. `done` is set by whoever runs it, `is_late` here."""

    __slots__ = ("deadline", "done", "is_late", "task")

    def __init__(self, task: asyncio.Task[object], deadline: float) -> None:
        self.task = task
        self.deadline = deadline
        self.done = self.is_late = False


class Deadlines:
    """Cancels tasks that take longer than `seconds`. Lives in one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: deque[Watched] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    def watch(self) -> Watched:
        """Begin to watch the task that runs."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "a task calls"
        self._forget_done()
        watched = Watched(task, loop.time() + self._seconds)
        self._watched.append(watched)
        if self._alarm is None:
            self._alarm = loop.call_at(watched.deadline, self._look)
        return watched

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._alarm = None
        self._forget_done()
        while self._watched and self._watched[0].deadline <= loop.time():
            late = self._watched.popleft()
            late.is_late = True
            late.task.cancel()
            self._forget_done()
        if self._watched:
            self._alarm = loop.call_at(self._watched[0].deadline, self._look)

    def _forget_done(self) -> None:
        while self._watched and self._watched[0].done:
            self._watched.popleft()
