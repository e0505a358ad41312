"""Stripe's own library, set up as all our ports to Stripe use it."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx
import stripe

from messages.payments.gateways import CallDeclined, CallNotSent, CallOutcomeUnknown

TIMEOUT_S = 10.0
OpenHttp: TypeAlias = Callable[..., httpx.AsyncClient]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """An account. `url`: of a stand-in; empty for Stripe itself.

    connect_secret: of the endpoint for events of connected accounts, if that is another one.
    """

    secret_key: str
    webhook_secret: str
    url: str = ""
    timeout_s: float = TIMEOUT_S
    connect_secret: str = ""


class StripeHttp(stripe.HTTPXClient):
    """The library's HTTP client over one of ours, which may record what it sends."""

    def __init__(self, timeout_s: float, open_http: OpenHttp | None = None) -> None:
        super().__init__(timeout=timeout_s)
        if open_http is not None:
            trusted = ssl.create_default_context(cafile=stripe.ca_bundle_path)
            self._client_async = open_http(verify=trusted)


def open_client(settings: StripeSettings, http: StripeHttp) -> stripe.StripeClient:
    """A client of the account that asks once: who asked decides about asking again."""
    addresses: Any = {"api": settings.url} if settings.url else None
    return stripe.StripeClient(
        settings.secret_key, http_client=http, base_addresses=addresses, max_network_retries=0
    )


async def ask(call: Callable[[], Awaitable[Found]]) -> Found:
    """Await a call of the library. Raises CallDeclined, CallNotSent or CallOutcomeUnknown."""
    try:
        return await call()
    except (stripe.CardError, stripe.InvalidRequestError) as error:
        raise CallDeclined(reason=_reason(error)) from None
    except (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError) as error:
        raise CallNotSent(reason=_reason(error)) from None
    except stripe.APIConnectionError as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            raise CallNotSent(reason="not-reached") from None
        raise CallOutcomeUnknown(reason="connection") from error
    except stripe.StripeError as error:
        raise CallOutcomeUnknown(reason=_reason(error)) from None


def _reason(error: stripe.StripeError) -> str:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    details = body.get("error", {}) if isinstance(body.get("error", {}), dict) else {}
    return str(details.get("decline_code") or error.code or type(error).__name__)[:64]
