"""Which host should own which partition: rendezvous hashing, so that few move when hosts change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b


def assign(kind: str, partitions: int, hosts: Collection[str]) -> dict[int, str]:
    """A host for each partition (Thaler and Ravishankar's highest random weight).

    The same on every machine, whatever the order of `hosts`. When a host leaves, only its own
    partitions move; when one comes, only those it takes. ValueError without hosts.
    """
    if not hosts:
        raise ValueError("no host to place partitions on")
    ordered = sorted(set(hosts))
    return {
        partition: max(ordered, key=lambda host: _weight(kind, partition, host))
        for partition in range(partitions)
    }


def moves(present: Mapping[int, str], wanted: Mapping[int, str]) -> dict[int, str]:
    """Where the partitions go that are not where they should be."""
    return {p: host for p, host in wanted.items() if p in present and present[p] != host}


def _weight(kind: str, partition: int, host: str) -> bytes:
    return blake2b(f"{kind}\0{partition}\0{host}".encode(), digest_size=8).digest()
