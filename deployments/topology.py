"""Which processes own which entity kinds. Data, so that a cluster can spread what a laptop keeps together.

A host actor is an operating-system process of about 100 MB, so a laptop runs one a group; a cluster
sets `hosts_per_group` higher and the supervisor spreads the partitions over them.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE = "vibestream"
SUPERVISOR = "supervisor"
BUS_WORKER = "bus-0"

# Kinds whose entities talk to each other often share a group; every kind is in exactly one.
GROUPS: dict[str, tuple[str, ...]] = {
    "listening": ("listening",),
    "rewards": ("pools", "listeners"),
}


@dataclass(frozen=True, slots=True)
class HostSpec:
    """A host actor: its name is its address, for callers and in the Ray dashboard."""

    name: str
    kinds: tuple[str, ...]


def host_specs(hosts_per_group: int) -> tuple[HostSpec, ...]:
    """The hosts that should be alive."""
    return tuple(
        HostSpec(f"{group}-{index}", kinds)
        for group, kinds in GROUPS.items()
        for index in range(hosts_per_group)
    )


def hosts_by_kind(specs: tuple[HostSpec, ...]) -> dict[str, tuple[str, ...]]:
    """For each kind the names of the hosts that may own its partitions."""
    kinds = {kind for spec in specs for kind in spec.kinds}
    return {kind: tuple(s.name for s in specs if kind in s.kinds) for kind in sorted(kinds)}
