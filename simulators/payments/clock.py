"""A clock that a test sets forward: `POST /_simulator/clock` with `{"advance_s": 2592000}`.

What happens from then on happens later. What is signed is signed now, as a webhook that was just
sent: its receiver's clock does not move.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Clock:
    """Seconds since the epoch."""

    def __init__(self, base: Callable[[], float] = time.time) -> None:
        self.present = base
        self._ahead_s = 0.0

    def __call__(self) -> float:
        """The moment that it is here."""
        return self.present() + self._ahead_s

    async def set(self, request: Request) -> Response:
        """Go forward."""
        try:
            ahead_s = float((await request.json())["advance_s"])
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        self._ahead_s += max(0.0, ahead_s)
        return JSONResponse({"now": self()})
