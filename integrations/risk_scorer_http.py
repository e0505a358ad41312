"""An external scorer over HTTP: `POST` of a JSON question, answered by `{"score": 0…100}`.

The body is signed as Stripe signs its webhooks (`VibeStream-Signature: t=…,v1=…`, HMAC-SHA256 over
`t.body`). The whole exchange has a quarter of a second; five failures in a row open the circuit.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from http import HTTPStatus
from typing import Annotated

import httpx
import msgspec

from domain.payments.risk import External
from integrations.breaker import CircuitBreaker
from integrations.risk_scorer import Question
from messages.errors import Unavailable

SIGNATURE = "vibestream-signature"
CALL_S = 0.25
MAX_ANSWER_BYTES = 16 * 1_024
KEPT_CHARS = 2_000


class _Answer(msgspec.Struct):
    score: Annotated[int, msgspec.Meta(ge=0, le=100)]


class _BadAnswerError(Exception):
    """What came is no answer; why is its text."""


def sign(secret: str, body: bytes, at_s: int) -> str:
    """The signature header of a body sent at a moment (seconds of the epoch)."""
    digest = hmac.digest(secret.encode(), f"{at_s}.".encode() + body, "sha256").hex()
    return f"t={at_s},v1={digest}"


class HttpRiskScorer:
    """A scorer at a URL. `secret` signs what it is sent."""

    def __init__(
        self,
        url: str,
        secret: str,
        client: httpx.AsyncClient | None = None,
        *,
        breaker: CircuitBreaker | None = None,
        call_s: float = CALL_S,
    ) -> None:
        self._url, self._secret, self._call_s = url, secret, call_s
        self._client = client or httpx.AsyncClient(timeout=call_s, trust_env=False)
        self._breaker = breaker or CircuitBreaker()

    async def ask(self, question: Question) -> External:
        """The answer, or how it failed."""
        body = msgspec.json.encode(question)
        digest, began = hashlib.sha256(body).hexdigest(), time.perf_counter_ns()
        score: int | None = None
        failure, answer = "", b""
        try:
            self._breaker.check()
        except Unavailable:
            return External(None, "circuit-open", digest)
        try:
            async with asyncio.timeout(self._call_s):
                answer = await self._exchange(body, question.at_ms // 1_000)
            score = msgspec.json.decode(answer, type=_Answer).score
        except (TimeoutError, httpx.TimeoutException):
            failure = "timeout"
        except httpx.HTTPError:
            failure = "not-reached"
        except _BadAnswerError as error:
            failure = str(error)
        except msgspec.MsgspecError:
            failure = "garbage"
        finally:
            # Whoever waited may be gone by now; the circuit must know all the same.
            (self._breaker.failed if score is None else self._breaker.succeeded)()
        took_us = (time.perf_counter_ns() - began) // 1_000
        shown = (
            answer[:KEPT_CHARS]
            .decode("utf-8", "replace")
            .replace("\0", "\N{REPLACEMENT CHARACTER}")
        )
        return External(score, failure, digest, took_us, shown)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _exchange(self, body: bytes, at_s: int) -> bytes:
        headers = {"content-type": "application/json", SIGNATURE: sign(self._secret, body, at_s)}
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers
        ) as response:
            if response.status_code != HTTPStatus.OK:
                raise _BadAnswerError(f"status-{response.status_code}")
            read = bytearray()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > MAX_ANSWER_BYTES:
                    raise _BadAnswerError("too-long")
            return bytes(read)
