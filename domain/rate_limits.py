"""How often who may ask for what: the table, and the generic cell rate algorithm (ITU-T I.371).

A limit of `quota` requests in `window_s` seconds: all of it may be used at once, and comes back
evenly. Its whole state is one moment, the theoretical arrival time: when the quota is whole again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import msgspec

from messages.users import Role

SECOND_US = 1_000_000
LEASE_SHARE = 20  # of a quota, what a process takes at once
MAX_LEASE = 1_000


class Limit(msgspec.Struct, frozen=True):
    """A row of the table.

    by_network: counted for the caller's network also if the caller is known.
    exact: each request is counted where all processes see it. Of any other limit a process takes a
    lease, so that each process may let through up to a lease more than the quota, never less than
    what was granted.
    """

    name: str
    quota: int
    window_s: int
    by_network: bool = False
    exact: bool = False

    @property
    def interval_us(self) -> int:
        """Microseconds in which one request comes back."""
        return max(1, self.window_s * SECOND_US // self.quota)

    @property
    def lease(self) -> int:
        """How many requests a process takes at once."""
        return 1 if self.exact else max(1, min(self.quota // LEASE_SHARE, MAX_LEASE))


# Every request of a network, whoever sends it: a dam against floods, above what a large office or
# the market's busiest door needs.
ADDRESS = Limit("address", 600_000, 60, by_network=True)
ANONYMOUS = Limit("anonymous", 1_200, 60, by_network=True)
READS = Limit("reads", 3_000, 60)
WRITES = Limit("writes", 600, 60)
ORDERS = Limit("orders", 1_000, 10)
UPLOADS = Limit("uploads", 60, 3_600, exact=True)
CREDENTIALS = Limit("credentials", 60, 60, by_network=True, exact=True)
REFRESH = Limit("refresh", 600, 60, by_network=True, exact=True)
REGISTRATIONS = Limit("registrations", 100, 3_600, by_network=True, exact=True)
CONFIRMATIONS = Limit("confirmations", 30, 60, exact=True)
# After an outage a provider sends what it held back, all from a few addresses.
WEBHOOKS = Limit("webhooks", 300_000, 60, by_network=True)
CONNECTIONS = Limit("connections", 6_000, 60, by_network=True)

LIMITS: Mapping[str, Limit] = {
    limit.name: limit
    for limit in (
        *(ADDRESS, ANONYMOUS, READS, WRITES, ORDERS, UPLOADS),
        *(CREDENTIALS, REFRESH, REGISTRATIONS, CONFIRMATIONS, WEBHOOKS, CONNECTIONS),
    )
}

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What guesses at secrets, makes accounts or sends mail, whether the caller is known or not. A path
# that ends in / stands for all below it. An unknown caller's request to change anything else is
# counted as one of credentials, too: it has none that were good.
CHANGES: tuple[tuple[str, Limit], ...] = (
    ("/api/v1/users", REGISTRATIONS),
    ("/api/v1/songs", UPLOADS),
    ("/api/v1/books/", ORDERS),
    ("/api/v1/webhooks/", WEBHOOKS),
    ("/api/v1/oauth/apple/notices", WEBHOOKS),
    ("/api/v1/sessions/refresh", REFRESH),
    ("/api/v1/sessions", CREDENTIALS),
    ("/api/v1/sessions/current/", CONFIRMATIONS),
    ("/api/v1/sessions/", CREDENTIALS),
    ("/api/v1/oauth/", CREDENTIALS),
    ("/api/v1/appeals", CREDENTIALS),
    ("/api/v1/password-resets", CREDENTIALS),
    ("/api/v1/password-resets/", CREDENTIALS),
    ("/api/v1/email-changes/", CREDENTIALS),
    ("/api/v1/users/registrations/", CREDENTIALS),
    ("/api/v1/users/verification", CREDENTIALS),
    ("/api/v1/users/me/password", CONFIRMATIONS),
    ("/api/v1/users/me/email", CONFIRMATIONS),
    ("/api/v1/users/me/totp", CONFIRMATIONS),
    ("/api/v1/users/me/totp/", CONFIRMATIONS),
    ("/api/v1/users/me/recovery-codes", CONFIRMATIONS),
    ("/api/v1/users/me/passkeys", CONFIRMATIONS),
    ("/api/v1/users/me/passkeys/", CONFIRMATIONS),
    ("/api/v1/users/me/api-keys", CONFIRMATIONS),
    ("/api/v1/users/me/wallets", CONFIRMATIONS),
    ("/api/v1/users/me/wallets/", CONFIRMATIONS),
)
_BY_PATH = {path: limit for path, limit in CHANGES if not path.endswith("/")}
_BY_PREFIX = tuple((path, limit) for path, limit in CHANGES if path.endswith("/"))

# How much more than others some may do: operators' tools work on everybody's things.
ROLE_FACTORS: Mapping[Role, int] = {Role.MODERATOR: 4, Role.ADMIN: 4}


def limit_of(method: str, path: str, *, is_known: bool) -> Limit:
    """The limit of a route, beside ADDRESS. is_known: the caller showed a good token."""
    if method in SAFE:
        return READS if is_known else ANONYMOUS
    found = _BY_PATH.get(path)
    if found is None:
        found = next((limit for prefix, limit in _BY_PREFIX if path.startswith(prefix)), None)
    if found is not None and (is_known or found.by_network):
        return found
    return WRITES if is_known else CREDENTIALS


@cache
def factor_of(roles: tuple[Role, ...]) -> int:
    """How many times a caller's limits are those of the table."""
    return max((ROLE_FACTORS.get(role, 1) for role in roles), default=1)


def changed(limits: Mapping[str, Limit], changes: Mapping[str, str]) -> Mapping[str, Limit]:
    """The table with other figures, `{"orders": "500/10"}`: quota, seconds.

    ValueError names what is wrong.
    """
    table = dict(limits)
    for name, text in changes.items():
        quota, _, seconds = text.partition("/")
        if name not in table:
            raise ValueError(f"there is no rate limit {name!r}: {', '.join(sorted(table))}")
        if not (quota.isdecimal() and seconds.isdecimal() and int(quota) and int(seconds)):
            raise ValueError(f"rate limit {name!r} must be like 600/60, not {text!r}")
        table[name] = msgspec.structs.replace(table[name], quota=int(quota), window_s=int(seconds))
    return table


class Ask(NamedTuple):
    """Take up to `wanted` requests of a limit for whoever `key` stands for."""

    key: str
    interval_us: int
    quota: int
    wanted: int


class Grant(NamedTuple):
    """granted: requests, 0 if there is none left.  left: after that.  wait_us: until one is back,
    if none was granted.  whole_us: until the quota is whole."""

    granted: int
    left: int
    wait_us: int
    whole_us: int


def take(arrival_us: int, now_us: int, ask: Ask) -> tuple[int, Grant]:
    """The next theoretical arrival time, and what was granted. `storage/rate_limits.lua` agrees."""
    arrival_us = max(arrival_us, now_us)
    span_us = ask.quota * ask.interval_us
    room = max(0, (now_us + span_us - arrival_us) // ask.interval_us)
    granted = min(ask.wanted, room)
    wait_us = 0 if granted else arrival_us + ask.interval_us - now_us - span_us
    arrival_us += granted * ask.interval_us
    return arrival_us, Grant(granted, room - granted, wait_us, arrival_us - now_us)
