"""The outermost layer of the gateway, one plain ASGI middleware so that a request pays for it once.

Request id (taken over if sane, echoed, bound to the logs), size limit of bodies as they stream,
security headers, metrics by route template, and the last catch of anything unexpected.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import HttpMetrics
from api.problems import from_http, from_unexpected

REQUEST_ID = b"x-request-id"
SANE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-site"),
)
# Headers that a route may set itself.
DEFAULT_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")


class Edge:
    """Wraps the application. `limits` are body sizes in bytes by (method, path)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: HttpMetrics,
        max_body_bytes: int,
        limits: Mapping[tuple[str, str], int],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limit(scope))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        started = time.perf_counter()
        try:
            exchange.check_declared_length()
            await self._app(scope, exchange.receive, exchange.send)
        except BodyTooLarge as error:
            await exchange.fail(from_http(scope, error))
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - the last resort: a bug becomes a problem
            await exchange.fail(from_unexpected(scope, error))
        finally:
            seconds = time.perf_counter() - started
            self._metrics.observe(scope, exchange.status, seconds)

    def _limit(self, scope: Scope) -> int:
        return self._limits.get((scope["method"], scope["path"]), self._max_body_bytes)


class BodyTooLarge(HTTPException):
    """The body is longer than this route takes. Raised through the route while it reads."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"The body may have at most {limit} bytes.", {"connection": "close"})


class _Exchange:
    """One request and its response."""

    __slots__ = ("_left", "_limit", "_receive", "_scope", "_send", "request_id", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._limit = self._left = limit
        self.status = 0
        given = next((value for key, value in scope["headers"] if key == REQUEST_ID), b"")
        sane = SANE_ID.fullmatch(given)
        self.request_id = given.decode() if sane else uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.request_id

    def check_declared_length(self) -> None:
        """Refuse by Content-Length before a byte is read."""
        for key, value in self._scope["headers"]:
            if key == b"content-length" and value.isdigit() and int(value) > self._limit:
                raise BodyTooLarge(self._limit)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLarge(self._limit)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            headers.append((REQUEST_ID, self.request_id.encode()))
            headers.extend(SECURITY_HEADERS)
            present = {key for key, _ in headers}
            headers.extend(pair for pair in DEFAULT_HEADERS if pair[0] not in present)
            if self._scope.get("scheme") == "https":
                headers.append(HSTS)
            message = {**message, "headers": headers}
        await self._send(message)

    async def fail(self, response: Any) -> None:
        """Answer with `response`, or, when an answer has begun, break off so that it shows."""
        if self.status:
            self.status = 500
            raise BrokenResponseError
        await response(self._scope, self._receive, self.send)


class BrokenResponseError(Exception):
    """An error after the response had begun; the server closes the connection."""
