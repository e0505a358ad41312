"""What the doors stand on: whose word is believed, and where limits are counted."""

from __future__ import annotations

import time

import redis.asyncio as redis_asyncio

from api.doors import DoorSettings
from api.rate_limits import Limiter
from api.realtime.arrivals import Arrivals
from deployments.settings import Settings
from domain.client_address import LOOPBACK, parse_networks
from domain.rate_limits import CONNECTIONS, LIMITS, changed
from storage.rate_limits import LocalRates, RedisRates, SteadyRates
from storage.throttle import Attempts, LocalAttempts, RedisAttempts, SteadyAttempts


def door_settings(settings: Settings) -> DoorSettings:
    """As the gateway takes them."""
    return DoorSettings(
        trusted_proxies=parse_networks(settings.trusted_proxies),
        allowed_origins=settings.allowed_origins,
        https_only=settings.https == "redirect",
        hsts_subdomains=settings.hsts_subdomains,
    )


def open_limiter(settings: Settings, client: redis_asyncio.Redis) -> Limiter | None:
    """The limiter, if there are limits. Redis need not answer."""
    if settings.rate_limiting == "off":
        return None
    rates = SteadyRates(RedisRates(client), LocalRates(_now_us), time.monotonic)
    return Limiter(rates, time.monotonic, changed(LIMITS, settings.rate_limits))


def open_arrivals(settings: Settings) -> Arrivals | None:
    """How often a network may connect to the realtime door, if there are limits.

    Its fallback route is behind HAProxy, so this machine's own connections are believed, too.
    """
    if settings.rate_limiting == "off":
        return None
    limit = changed(LIMITS, settings.rate_limits)[CONNECTIONS.name]
    return Arrivals(limit, parse_networks(settings.trusted_proxies), LOOPBACK)


def open_attempts(client: redis_asyncio.Redis) -> Attempts:
    """Where attempts at secrets are counted. Redis need not answer."""
    return SteadyAttempts(RedisAttempts(client), LocalAttempts(lambda: _now_us() // 1_000))


def _now_us() -> int:
    return time.monotonic_ns() // 1_000
