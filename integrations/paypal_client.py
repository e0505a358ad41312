"""PayPal's REST interface: a token of our own, requests under keys, what its answers mean.

OAuth 2.0 client credentials (RFC 6749, 4.4); one token for all, renewed shortly before it ends by
whoever comes first. `PayPal-Request-Id` makes a POST happen once; orders keep it for six hours,
payments for 45 days, payouts for 30. So adapters look before they ask again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from messages.money import decimal_of, parse_decimal
from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown

LIVE_URL = "https://api-m.paypal.com"
TIMEOUT_S = 15.0
EARLY_S = 60.0
MAX_KEY = 108
UNDER_WAY = frozenset({"ORDER_COMPLETION_IN_PROGRESS", "PREVIOUS_REQUEST_IN_PROGRESS"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PayPalAccount:
    """A REST app of PayPal's. `url`: empty for PayPal itself, else its sandbox or a stand-in.

    webhook_roots: PEM of the roots that a stand-in's certificates descend from.
    """

    client_id: str
    client_secret: str
    webhook_id: str = ""
    url: str = ""
    webhook_roots: str = ""
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and when by PayPal's clock."""

    body: Json
    at_ms: int
    status: int = 200

    @property
    def issue(self) -> str:
        """PayPal's word for what was wrong."""
        return _issue(self.body)


class PayPalClient:
    """Requests of an account. `open_http`: an HTTP client, which may record what it sends."""

    def __init__(
        self,
        account: PayPalAccount,
        open_http: Callable[..., httpx.AsyncClient] = httpx.AsyncClient,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.account = account
        self._now_s = monotonic_s
        self._http = open_http(
            base_url=account.url or LIVE_URL, timeout=account.timeout_s, follow_redirects=False
        )
        self._renewing = asyncio.Lock()
        self._token, self._ends_at_s = "", 0.0

    async def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        also: Collection[int] = (),
    ) -> Answer:
        """Ask for something. `also`: statuses that are answers although they say no.

        Raises CallDeclined, CallNotSent, CallOutcomeUnknown.
        """
        return _read(await self._ask("GET", path, params=params), also)

    async def post(self, path: str, body: Json, key: str, also: Collection[int] = ()) -> Answer:
        """Have something done, once a key. Raises as `get`."""
        headers = {"paypal-request-id": request_id(key), "prefer": "return=representation"}
        return _read(await self._ask("POST", path, json=body, headers=headers), also)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        token = await self._current_token()
        answer = await self._send(method, path, token, **more)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = await self._current_token(refused=token)
            answer = await self._send(method, path, token, **more)
        return answer

    async def _send(self, method: str, path: str, token: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
        try:
            return await self._http.request(method, path, headers=headers, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise CallNotSent(reason="not-reached") from None
        except httpx.HTTPError as error:
            raise CallOutcomeUnknown(reason="connection") from error

    async def _current_token(self, refused: str = "") -> str:
        """The token, a fresh one if it ends or was refused. Raises CallNotSent."""
        async with self._renewing:
            if self._now_s() >= self._ends_at_s or self._token == refused:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        account = self.account
        try:
            answer = await self._http.post(
                "/v1/oauth2/token",
                data={"grant_type": "client_credentials"},
                auth=(account.client_id, account.client_secret),
            )
            answer.raise_for_status()
            told = answer.json()
            token, lasts_s = str(told["access_token"]), float(told["expires_in"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            raise CallNotSent(reason="no-access-token") from None  # so nothing was asked
        self._token, self._ends_at_s = token, self._now_s() + lasts_s - EARLY_S


def request_id(key: str) -> str:
    """A key as PayPal takes it: at most 108 characters."""
    return key if len(key) <= MAX_KEY else hashlib.blake2b(key.encode(), digest_size=32).hexdigest()


def money(amount_minor: int, currency: str) -> Json:
    """`1234, "USD"` → `{"currency_code": "USD", "value": "12.34"}`. Exact."""
    return {"currency_code": currency, "value": decimal_of(amount_minor, currency)}


def minor(amount: Json) -> int:
    """The other way round. ValueError or KeyError for what is no amount that we know."""
    return parse_decimal(str(amount["value"]), str(amount["currency_code"]))


def path_part(name: object) -> str:
    """An id as a part of a path."""
    return quote(str(name), safe="")


def moment_ms(text: object) -> int:
    """RFC 3339 → epoch milliseconds; 0 for nothing. ValueError for nonsense."""
    if not text:
        return 0
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError("a moment without its zone")
    return int(moment.timestamp() * 1_000)


def timestamp(at_ms: int) -> str:
    """Epoch milliseconds → RFC 3339, seconds."""
    return datetime.fromtimestamp(at_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(answer: httpx.Response, also: Collection[int]) -> Answer:
    """What an answer says. Raises what the port says of those that say no."""
    status, body = answer.status_code, _json(answer)
    if not (200 <= status < 300 or status in also):
        raise _refusal(status, _issue(body))
    if body is None and answer.content:
        raise CallOutcomeUnknown(reason="no-json")
    return Answer(body or {}, _answered_ms(answer), status)


def _refusal(status: int, issue: str) -> CallDeclined | CallNotSent | CallOutcomeUnknown:
    reason = issue or f"http-{status}"
    if status in {401, 403, 429}:
        return CallNotSent(reason=reason)
    if not 400 <= status < 500 or status in {408, 409} or issue in UNDER_WAY:
        return CallOutcomeUnknown(reason=reason)
    return CallDeclined(reason=reason)


def _json(answer: httpx.Response) -> Json | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _issue(body: Json | None) -> str:
    """PayPal's word for what was wrong, the finest there is."""
    if body is None:
        return ""
    details = body.get("details")
    first = details[0] if isinstance(details, list) and details else {}
    issue = first.get("issue") if isinstance(first, dict) else None
    return str(issue or body.get("name") or body.get("error") or "")[:64]


def _answered_ms(answer: httpx.Response) -> int:
    try:
        return int(parsedate_to_datetime(answer.headers["date"]).timestamp()) * 1_000
    except (KeyError, ValueError, TypeError):
        return 0
