"""A circuit breaker: a service that does not answer is left alone for a while.

Closed, it lets every call through; after so many failures in a row it opens, and after a pause one
call may try (M. Nygard, Release It!, 2007).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from messages.errors import Unavailable

FAILURES = 5
PAUSE_S = 10.0


class CircuitBreaker:
    """Opens after `failures` in a row; after `pause_s` it lets one call through to try."""

    def __init__(
        self,
        failures: int = FAILURES,
        pause_s: float = PAUSE_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._pause_s = pause_s
        self._now_s = now_s
        self._failed = 0
        self._opens_at_s = 0.0

    @property
    def lets_through(self) -> bool:
        """Whether a call may be tried now."""
        return self._left_s() <= 0

    def check(self) -> None:
        """Before a call. Raises Unavailable while the breaker is open."""
        left_s = self._left_s()
        if left_s > 0:
            raise Unavailable(retry_after_ms=max(1, round(left_s * 1_000)))
        self._opens_at_s = self._now_s() + self._pause_s  # the others wait for the one that tries

    def succeeded(self) -> None:
        """The service answered."""
        self._failed = 0

    def failed(self) -> None:
        """It did not."""
        self._failed += 1
        self._opens_at_s = self._now_s() + self._pause_s

    def _left_s(self) -> float:
        return self._opens_at_s - self._now_s() if self._failed >= self._limit else 0.0
