"""API keys that were looked up lately."""

from __future__ import annotations

from collections import OrderedDict

from integrations.tokens import Claims

FRESH_MS = 1_000
COUNTED_MS = 60_000
REMEMBERED = 1_024


class RecentKeys:
    """What was found of the keys that were used lately, by the whole token."""

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[int, Claims]] = OrderedDict()

    def get(self, token: str, now_ms: int) -> Claims | None:
        """Who the token speaks for, if that was looked up within the last second."""
        looked_up_ms, claims = self._found.get(token, (0, None))
        return claims if abs(now_ms - looked_up_ms) < FRESH_MS else None

    def counted_for(self, token: str, now_ms: int) -> Claims | None:
        """Whose limits a request with this token counts under: what it was lately, no more."""
        looked_up_ms, claims = self._found.get(token, (0, None))
        return claims if abs(now_ms - looked_up_ms) < COUNTED_MS else None

    def put(self, token: str, claims: Claims, now_ms: int) -> None:
        """Remember who the token speaks for."""
        self._found[token] = (now_ms, claims)
        self._found.move_to_end(token)
        if len(self._found) > REMEMBERED:
            self._found.popitem(last=False)
