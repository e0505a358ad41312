"""Where a request came from, when proxies stand between: the nearest hop that nobody vouches for.

A proxy appends the address of whoever connected to it to X-Forwarded-For, so the list is read from
its end, and only for as long as each hop is one of ours; what stands further left is the client's
own claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
NOWHERE: Address = ip_address("0.0.0.0")  # noqa: S104 - of a peer without an address
IPV6_PREFIX = 64  # what one subscriber has: addresses below it are theirs to change
MAX_HOPS = 16


class Origin(NamedTuple):
    """address: of the client. network: what its limits count. vouched: by a proxy of the
    operator's, whose word on the scheme is believed, too."""

    address: str
    network: str
    vouched: bool


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks of `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7`. ValueError if one is none."""
    return tuple(ip_network(text.strip()) for text in texts)


def origin(
    peer: str,
    forwarded_for: Sequence[str],
    trusted: tuple[Network, ...],
    inner: tuple[Network, ...] = (),
) -> Origin:
    """The client of a connection from `peer` whose X-Forwarded-For has these values, in order.

    trusted: the operator's proxies.  inner: from where the engine's own proxy connects; that one
    appends addresses and passes on what it was told of the scheme.
    """
    hop = _parsed(peer)
    if hop is None:
        return Origin(str(NOWHERE), str(NOWHERE), False)
    vouched, is_own = False, _is_in(hop, inner)
    for claimed in (*_from_the_end(forwarded_for), ""):
        is_trusted = _is_in(hop, trusted)
        vouched = vouched or is_trusted
        before = _parsed(claimed)
        if before is None or not (is_trusted or is_own):
            break
        is_own, hop = False, before
    return Origin(str(hop), network_of(hop), vouched)


def network_of(address: Address) -> str:
    """What limits count an address under: itself, or the /64 around an IPv6 address."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address) >> 64 << 64, IPV6_PREFIX)))


def _from_the_end(values: Sequence[str]) -> list[str]:
    hops = [hop.strip() for value in values for hop in value.split(",")]
    return hops[: -MAX_HOPS - 1 : -1]


@lru_cache(4_096)
def _parsed(text: str) -> Address | None:
    """The address in `text`, which may have a port; an IPv4 address that IPv6 carries is itself."""
    host = text.strip().strip('"')
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(4_096)
def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
