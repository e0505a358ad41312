"""Waiting before another try."""

from __future__ import annotations

import asyncio
import random

import redis.exceptions

from bus.store import EventStore
from messages.errors import Transient

_BROKER_AWAY = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
)


class Backoff:
    """Pauses that double from `first_s` to `longest_s`, each cut short by up to half at random."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first = first_s
        self._longest = longest_s
        self._tries = 0

    def reset(self) -> None:
        """It worked."""
        self._tries = 0

    def pause_s(self) -> float:
        """The next pause."""
        pause = min(self._first * 2.0 ** min(self._tries, 30), self._longest)
        self._tries += 1
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    async def wait(self) -> None:
        """Sleep for the next pause."""
        await asyncio.sleep(self.pause_s())


def is_transient(error: BaseException, store: EventStore) -> bool:
    """Whether the error says "later" and nothing about the event that was being handled."""
    return isinstance(error, (Transient, *_BROKER_AWAY)) or store.is_transient(error)
