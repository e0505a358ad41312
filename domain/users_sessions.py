"""How long sessions last and what their owner is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network

import msgspec

from messages.users_sessions import Method

DAY_MS = 86_400_000
UNKNOWN_PLACE = "unknown"


class SessionPolicy(msgspec.Struct, frozen=True):
    """Numbers of sessions. Raise `version` whenever one changes.

    lifetime_ms: after it a user signs in again, however active (ASVS 7.3.2).
    idle_ms: a session that is not refreshed for so long is over (ASVS 7.3.1).
    grace_ms: how long after its first use a refresh token is answered again, and
    overtaken_ms: how long after the first use of the one that replaced it (`users_refresh`).
    remember_ms: how long a used token is known as such; then it is no token at all.
    most: sessions of a user at once; one more ends the one that was idle longest.
    """

    version: int = 1
    lifetime_ms: int = 30 * DAY_MS
    idle_ms: int = 14 * DAY_MS
    grace_ms: int = 10_000
    overtaken_ms: int = 2_000
    remember_ms: int = 7 * DAY_MS
    most: int = 100


POLICY = SessionPolicy()


def place_of(address: str) -> str:
    """Roughly where an IP address is: its network (/24, /48), never the address itself.

    A user who sees two networks can tell them apart; who steals the table learns no address.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except (ValueError, AddressValueError):
        return UNKNOWN_PLACE
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return "this machine"
    if found.is_private or found.is_link_local:
        return "private network"
    bits = 24 if isinstance(found, IPv4Address) else 48
    return str(ip_network((found, bits), strict=False))


def joined(known: Sequence[Method], proved: Sequence[Method]) -> tuple[Method, ...]:
    """The methods of a session after a step-up: each once, in the order of their first use."""
    return tuple(dict.fromkeys((*known, *proved)))
