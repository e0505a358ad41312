"""A provider's HTTP, bounded in time and size. What it does not answer well is Unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from integrations.breaker import CircuitBreaker
from messages.errors import Unavailable

CALL_S = 5.0  # a whole call, whatever trickles in meanwhile
MAX_ANSWER_BYTES = 256 * 1024
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=5, keepalive_expiry=30)
HEADERS = {"accept": "application/json", "user-agent": "vibestream"}


class Answer(msgspec.Struct, frozen=True):
    """A JSON object that a provider answered with status 200 or 4xx."""

    status: int
    content: dict[str, Any]


def open_http() -> httpx.AsyncClient:
    """A client that follows no redirects, keeps no cookies and asks no proxy of the environment."""
    timeout = httpx.Timeout(CALL_S, connect=2.0)
    return httpx.AsyncClient(timeout=timeout, limits=LIMITS, headers=HEADERS, trust_env=False)


class ProviderHttp:
    """Calls to one provider, behind one breaker."""

    def __init__(
        self, client: httpx.AsyncClient, breaker: CircuitBreaker, call_s: float = CALL_S
    ) -> None:
        self._client = client
        self._breaker = breaker
        self._call_s = call_s

    async def get(self, url: str) -> dict[str, Any]:
        """The JSON object at an address. Raises Unavailable."""
        answer = await self._send("GET", url, None)
        if answer.status != HTTPStatus.OK:
            raise Unavailable(f"{url} answers {answer.status}")
        return answer.content

    async def post(self, url: str, form: Mapping[str, str]) -> Answer:
        """The answer to a form, good or refused. Raises Unavailable."""
        return await self._send("POST", url, form)

    async def _send(self, method: str, url: str, form: Mapping[str, str] | None) -> Answer:
        self._breaker.check()
        try:
            async with asyncio.timeout(self._call_s):
                status, body = await self._exchange(method, url, form)
            answer = Answer(status, msgspec.json.decode(body, type=dict[str, Any]))
        except (httpx.HTTPError, TimeoutError, msgspec.MsgspecError, _NoAnswerError) as error:
            self._breaker.failed()
            raise Unavailable(f"the provider does not answer: {type(error).__name__}") from error
        self._breaker.succeeded()
        return answer

    async def _exchange(
        self, method: str, url: str, form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        async with self._client.stream(method, url, data=form) as response:
            if response.is_server_error or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                raise _NoAnswerError(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise _NoAnswerError("too long")
            return response.status_code, bytes(body)


class _NoAnswerError(Exception):
    """What came is no answer."""
