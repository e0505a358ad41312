"""Which pages of other origins may call the gateway (the Fetch standard's CORS protocol).

Only the operator's list. `*` admits every page, and then none with credentials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ANY = "*"
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    b"Accept-Language, Authorization, Content-Type, Idempotency-Key, Range, X-Request-ID"
)
EXPOSED = (
    b"Content-Range, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, "
    b"WWW-Authenticate, X-Request-ID"
)
PREFLIGHT_S = b"7200"  # the most that browsers keep
VARY = (b"vary", b"Origin")

Pairs = list[tuple[bytes, bytes]]


class Cors:
    """The rules for a list of origins."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any = ANY.encode() in self._origins

    def headers(self, head: Mapping[bytes, bytes]) -> Pairs:
        """What the response to a request of this head carries."""
        origin = head.get(b"origin")
        if not self._origins:
            return []
        if origin is None or not (self._any or origin in self._origins):
            return [VARY]
        return [*self._allowed(origin), (b"access-control-expose-headers", EXPOSED)]

    def preflight(self, method: str, head: Mapping[bytes, bytes]) -> Pairs | None:
        """What a preflight is answered with; None if the request is none.

        A page that is not on the list is answered without a permission, and the browser refuses.
        """
        if method != "OPTIONS" or b"access-control-request-method" not in head:
            return None
        origin = head.get(b"origin", b"")
        if not (self._any or origin in self._origins):
            return [VARY]
        return [
            *self._allowed(origin),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", PREFLIGHT_S),
        ]

    def _allowed(self, origin: bytes) -> Pairs:
        if origin in self._origins:
            return [
                VARY,
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
            ]
        return [VARY, (b"access-control-allow-origin", b"*")]
