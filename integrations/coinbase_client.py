"""Coinbase Business's REST interface: signed requests under keys, what its answers mean.

`X-Idempotency-Key` makes a POST happen once. How long Coinbase keeps one it does not say, so
whoever gives money away looks before it asks again.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from integrations.coinbase_keys import BearerSigner
from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown

LIVE_URL = "https://business.coinbase.com"
CHECKOUTS = "/api/v1/checkouts"
CURRENCY = "USDC"
TIMEOUT_S = 15.0
CONNECT_S = 5.0
NOT_LOOKED_AT = frozenset({401, 403, 429})
UNDER_WAY = frozenset({408, 409, 425})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Json = dict[str, Any]
OpenHttp = Callable[..., httpx.AsyncClient]


@dataclass(frozen=True, slots=True)
class CoinbaseAccount:
    """An API key of a Coinbase Business account and the secrets of its webhooks.

    url: empty for Coinbase itself; else its sandbox (`…/sandbox`) or a stand-in.
    commerce_webhook_secret: of an account at the retired Coinbase Commerce, if there was one.
    """

    key_id: str
    key_secret: str
    webhook_secret: str
    commerce_webhook_secret: str = ""
    url: str = ""
    timeout_s: float = TIMEOUT_S


class CoinbaseClient:
    """Requests of an account. ValueError if its secret is no key."""

    def __init__(
        self,
        account: CoinbaseAccount,
        open_http: OpenHttp = httpx.AsyncClient,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._url = (account.url or LIVE_URL).rstrip("/")
        parts = urlsplit(self._url)
        self._host, self._prefix = parts.netloc, parts.path
        self._signer = BearerSigner(account.key_id, account.key_secret)
        self._clock_s, self._timeout_s = clock_s, account.timeout_s
        connect_s = min(CONNECT_S, account.timeout_s / 2)
        self._http = open_http(
            timeout=httpx.Timeout(None, connect=connect_s), follow_redirects=False, trust_env=False
        )

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        """Ask for something. Raises CallDeclined, CallNotSent, CallOutcomeUnknown."""
        return await self._ask("GET", path, params=params)

    async def post(self, path: str, body: Json, key: str) -> Json:
        """Have something done, once a key. Raises as `get`."""
        headers = {"x-idempotency-key": idempotency_key(key)}
        return await self._ask("POST", path, json=body, headers=headers)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, **more: Any) -> Json:
        signed_path = self._prefix + path
        token = self._signer.token(
            method, self._host, signed_path, int(self._clock_s()), secrets.token_hex(16)
        )
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._http.request(method, self._url + path, headers=headers, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise CallNotSent(reason="not-reached") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise CallOutcomeUnknown(reason="connection") from error
        return _read(answer.status_code, answer.content)


def idempotency_key(key: str) -> str:
    """A key as Coinbase takes it: a UUID of version 4, the same for the same key."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return str(uuid.UUID(bytes=digest, version=4))


def moment_ms(text: object) -> int:
    """RFC 3339 → epoch milliseconds. ValueError for anything else."""
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError("a moment without its zone")
    return (moment - _EPOCH) // _MILLISECOND


def timestamp(at_ms: int) -> str:
    """Epoch milliseconds → RFC 3339."""
    moment = _EPOCH + at_ms * _MILLISECOND
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(status: int, content: bytes) -> Json:
    """What an answer says. Raises what the port says of those that say no."""
    try:
        body = msgspec.json.decode(content, type=Json)
    except msgspec.MsgspecError:
        body = None
    if 200 <= status < 300:
        if body is None:
            raise CallOutcomeUnknown(reason="no-json")
        return body
    reason = str((body or {}).get("errorType") or f"http-{status}")[:64]
    if status in NOT_LOOKED_AT:
        raise CallNotSent(reason=reason)
    if 400 <= status < 500 and status not in UNDER_WAY:
        raise CallDeclined(reason=reason)
    raise CallOutcomeUnknown(reason=reason)
