"""The outermost layer of the gateway, one plain ASGI middleware so that a request pays for it once.

Request id (taken over if sane, echoed, bound to the logs), the doors (`api/doors.py`), size limit
of bodies as they stream and the time that they may take, security headers, metrics by route
template, and the last catch of anything unexpected.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cors import Pairs
from api.doors import Doors
from api.metrics import HttpMetrics
from api.problems import from_http, from_unexpected

REQUEST_ID = b"x-request-id"
COOKIES = "set_cookies"  # of the request's state: cookies that the answer sets, whatever it is
SANE_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-site"),
)
# Headers that a route may set itself.
DEFAULT_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"cache-control", b"no-store"),
)
# Of documents, which alone can open windows, embed or ask for devices.
DOCUMENT_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (
        b"permissions-policy",
        b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
)


class Limits(NamedTuple):
    """body_bytes, body_s: of any request's body.  bodies: sizes of routes that have their own, and
    watch the time themselves, by (method, path)."""

    body_bytes: int
    bodies: Mapping[tuple[str, str], int]
    body_s: float


class Edge:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: HttpMetrics,
        doors: Doors,
        limits: Limits,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._doors = doors
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = dict(reversed(scope["headers"]))  # of a repeated field the first, as routes see it
        exchange = _Exchange(scope, receive, send, head, self._limits)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        started = time.perf_counter()
        try:
            refused, exchange.headers = await self._doors.admit(scope, head)
            if refused is None:
                exchange.check_declared_length(head)
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await refused(scope, receive, exchange.send)
        except (BodyTooLarge, BodyTooSlow) as error:
            await exchange.fail(from_http(scope, error))
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - the last resort: a bug becomes a problem
            await exchange.fail(from_unexpected(scope, error))
        finally:
            seconds = time.perf_counter() - started
            self._metrics.observe(scope, exchange.status, seconds)


class BodyTooLarge(HTTPException):
    """The body is longer than this route takes. Raised through the route while it reads."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"The body may have at most {limit} bytes.", {"connection": "close"})


class BodyTooSlow(HTTPException):
    """The body did not arrive in time. Raised through the route while it reads."""

    def __init__(self, seconds: float) -> None:
        super().__init__(408, f"A body must arrive in {seconds:g} s.", {"connection": "close"})


class _Exchange:
    """One request and its response."""

    __slots__ = (
        *("_deadline", "_left", "_limit", "_receive", "_scope", "_seconds", "_send"),
        *("headers", "request_id", "status"),
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        head: Mapping[bytes, bytes],
        limits: Limits,
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        own = limits.bodies.get((scope["method"], scope["path"]))
        self._limit = self._left = limits.body_bytes if own is None else own
        # A route with a limit of its own watches its time itself.
        has_body = own is None and (b"content-length" in head or b"transfer-encoding" in head)
        self._seconds = limits.body_s
        now_s = asyncio.get_running_loop().time()
        self._deadline = now_s + limits.body_s if has_body else None
        self.status = 0
        self.headers: Pairs = []
        given = head.get(REQUEST_ID, b"")
        sane = SANE_ID.fullmatch(given)
        self.request_id = given.decode() if sane else uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.request_id

    def check_declared_length(self, head: Mapping[bytes, bytes]) -> None:
        """Refuse by Content-Length before a byte is read."""
        value = head.get(b"content-length", b"")
        if value.isdigit() and int(value) > self._limit:
            raise BodyTooLarge(self._limit)

    async def receive(self) -> Message:
        if self._deadline is None:
            message = await self._receive()
        else:
            message = await self._receive_in_time()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLarge(self._limit)
        return message

    async def _receive_in_time(self) -> Message:
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow(self._seconds) from None
        if not message.get("more_body", False):
            self._deadline = None  # what is awaited from now on is that the client goes
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            headers.append((REQUEST_ID, self.request_id.encode()))
            headers.extend(self.headers)
            headers.extend(SECURITY_HEADERS)
            present = dict(headers)
            headers.extend(pair for pair in DEFAULT_HEADERS if pair[0] not in present)
            if present.get(b"content-type", b"").startswith(b"text/html"):
                headers.extend(DOCUMENT_HEADERS)
            cookies = self._scope["state"].get(COOKIES, ())
            headers.extend((b"set-cookie", cookie) for cookie in cookies)
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
