"""Records every request to a provider and its answer.

`Recorder.client` is an HTTP client that tells what went over it; `during` says what for, and
everything that is asked inside of it is recorded as part of that. Records are written behind the
answer, many in a transaction: the payment's owner has already kept that the call is made, so a
process that dies loses at most what was answered, and no record ever claims an answer that was not
there (docs/decisions/0025-payment-records.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import httpx
import msgspec
import structlog
from httpx_aiohttp import AiohttpTransport

from domain.payments.redacting import redact, redact_text
from messages.payments.exchanges import Exchange, Occasion, Outcome
from messages.payments.gateways import GatewayName
from messages.payments.payments import Source

MAX_WAITING = 10_000  # beyond it a caller waits for room: nothing is dropped
MAX_BATCH = 500
LINGER_S = 0.02
RETRY_S, MAX_RETRY_S = 0.2, 10.0
CLOSE_S = 5.0
MAX_BODY_BYTES = 256 * 1024  # of a body that is looked into
MAX_ERROR_CHARS = 64
REQUEST_REFS = ("request-id", "paypal-debug-id", "x-request-id")
KEYS = ("idempotency-key", "paypal-request-id", "x-idempotency-key")
NOT_DONE = frozenset({401, 403, 429})
NOT_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

Save = Callable[[Sequence[Exchange]], Awaitable[None]]
_occasion: ContextVar[Occasion | None] = ContextVar("payment_occasion", default=None)

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def during(occasion: Occasion) -> Iterator[None]:
    """What is asked of providers inside is recorded as part of this."""
    token = _occasion.set(occasion)
    try:
        yield
    finally:
        _occasion.reset(token)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A request that ended, as the wire had it."""

    gateway: GatewayName
    occasion: Occasion | None
    request: httpx.Request
    response: httpx.Response | None
    error: str
    outcome: Outcome
    started_at_ms: int
    duration_ms: int


class Recorder:
    """Keeps exchanges by `save`, which must do nothing for one that is kept already.

    digest_key: of the digests of cards' tokens.  new_id: a fresh UUID string.
    """

    task_name = "payment-recorder"

    def __init__(
        self,
        save: Save,
        clock_ms: Callable[[], int],
        new_id: Callable[[], str],
        digest_key: bytes,
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.clock_ms = clock_ms
        self.lost = 0
        self._save = save
        self._new_id = new_id
        self._digest_key = digest_key
        self._max_waiting = max_waiting
        self._waiting: list[Exchange] = []
        self._room = asyncio.Condition()
        self._writer: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def client(self, gateway: GatewayName, **options: Any) -> httpx.AsyncClient:
        """An HTTP client to a provider. `options`: those of httpx.AsyncClient."""
        return RecordingClient(self, gateway, **options)

    async def put(self, ended: _Ended) -> None:
        """Have an exchange written soon. Waits while too many are waiting."""
        async with self._room:
            await self._room.wait_for(
                lambda: len(self._waiting) < self._max_waiting or self._closing.is_set()
            )
            self._waiting.append(self._exchange(ended))
            if self._writer is None or self._writer.done():
                self._writer = asyncio.create_task(self._write(), name="payment recorder")

    async def run(self) -> None:
        """Stay until cancelled, then close: for whoever supervises the tasks of a process."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def flush(self) -> None:
        """Return once everything that was put is written."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    async def close(self) -> None:
        """Write what waits, for a few seconds at most; what is lost then is counted and told."""
        self._closing.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self.flush()
        if self._writer is not None and not self._writer.done():
            self._writer.cancel()
            await asyncio.wait([self._writer])
        self.lost = len(self._waiting)
        if self.lost:
            log.error("exchanges with providers are lost", lost=self.lost)

    async def _write(self) -> None:
        pause = RETRY_S
        while self._waiting:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), LINGER_S)
            batch = self._waiting[:MAX_BATCH]
            try:
                await self._save(batch)
            except Exception as error:  # noqa: BLE001 - nothing may be lost for it
                log.warning("exchanges are not written yet", error=repr(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_RETRY_S)
                continue
            pause = RETRY_S
            async with self._room:
                del self._waiting[: len(batch)]
                self._room.notify_all()

    def _exchange(self, ended: _Ended) -> Exchange:
        request, response = ended.request, ended.response
        return Exchange(
            exchange_id=self._new_id(),
            gateway=ended.gateway,
            occasion=ended.occasion or Occasion(Source.CALL),
            key=_header(request.headers, KEYS),
            method=request.method,
            path=self._path(request.url),
            request=self._body(request.headers, _sent(request)),
            status=response.status_code if response is not None else None,
            answer=self._body(response.headers, _got(response)) if response is not None else None,
            request_ref=redact_text(_header(response.headers, REQUEST_REFS)) if response else "",
            started_at_ms=ended.started_at_ms,
            duration_ms=ended.duration_ms,
            outcome=ended.outcome,
            error=ended.error[:MAX_ERROR_CHARS],
        )

    def _path(self, url: httpx.URL) -> str:
        query = redact(_pairs(url.query.decode("ascii", "replace")), self._digest)
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        path = "/".join(redact_text(part) for part in url.path.split("/"))
        return f"{path}?{asked}" if asked else path

    def _body(self, headers: httpx.Headers, body: bytes) -> str | None:
        if not body:
            return None
        if len(body) > MAX_BODY_BYTES:
            return f'"<{len(body)} bytes>"'
        try:
            if "x-www-form-urlencoded" in headers.get("content-type", ""):
                value: Any = _pairs(body.decode())
            else:
                value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return f'"<{len(body)} bytes>"'
        return msgspec.json.encode(redact(value, self._digest)).decode()

    def _digest(self, text: str) -> str:
        return hmac.digest(self._digest_key, text.encode(), "sha256").hex()[:24]


class RecordingClient(httpx.AsyncClient):
    """Sends as httpx does, and tells the recorder of everything that was sent.

    aiohttp carries it: its parser is compiled, which halves what a request costs. But the transport
    calls every broken connection one that was never made, and whether a request was sent decides
    about money: that is set right here.
    """

    def __init__(
        self,
        recorder: Recorder,
        gateway: GatewayName,
        *,
        verify: ssl.SSLContext | bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**{"transport": AiohttpTransport(verify=verify), **options})
        self._recorder = recorder
        self._gateway = gateway

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """As httpx, whose errors it raises."""
        started_at_ms, began = self._recorder.clock_ms(), time.perf_counter()
        response: httpx.Response | None = None
        outcome, error = Outcome.UNKNOWN, "cancelled"
        try:
            response = await self._send(request, **options)
        except Exception as failure:
            error = type(failure).__name__
            outcome = Outcome.NOT_SENT if isinstance(failure, NOT_REACHED) else Outcome.UNKNOWN
            raise
        else:
            outcome, error = _outcome(response.status_code), ""
            return response
        finally:
            took_ms = int((time.perf_counter() - began) * 1_000)
            await self._recorder.put(
                _Ended(self._gateway, _occasion.get(), request, response, error, outcome,
                       started_at_ms, took_ms)
            )  # fmt: skip

    async def _send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            return await super().send(request, **options)
        except NOT_REACHED as error:
            cause = error.__cause__
            if isinstance(cause, aiohttp.ClientConnectorError):
                raise httpx.ConnectError(str(cause), request=request) from cause
            if isinstance(cause, aiohttp.ConnectionTimeoutError) or cause is None:
                raise
            raise httpx.ReadError(str(cause), request=request) from cause


def _outcome(status: int) -> Outcome:
    if status < 400:
        return Outcome.ANSWERED
    if status in NOT_DONE:
        return Outcome.NOT_SENT
    return Outcome.DECLINED if status < 500 else Outcome.UNKNOWN


def _header(headers: httpx.Headers, names: Sequence[str]) -> str:
    return next((headers[name] for name in names if name in headers), "")


def _sent(request: httpx.Request) -> bytes:
    try:
        return request.content
    except httpx.RequestNotRead:
        return b""


def _got(response: httpx.Response) -> bytes:
    try:
        return response.content
    except (httpx.ResponseNotRead, httpx.StreamClosed):
        return b""


def _pairs(form: str) -> dict[str, Any]:
    """A form's fields, each under the last of its names: `metadata[payment_id]` is payment_id.

    The whole name is kept where it is the same for several fields.
    """
    found: dict[str, Any] = {}
    for name, value in parse_qsl(form):
        parts = [part for part in name.replace("]", "").split("[") if part]
        last = next((part for part in reversed(parts) if not part.isdigit()), name)
        found.setdefault(last, value)
    return found
