"""Which processes own which entity kinds, as data.

A host actor is an operating-system process of about 100 MB, so a laptop runs one a group; a cluster
raises `hosts_per_group`, and the supervisor spreads the partitions over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from actors.claims import Verifier
from actors.drops import DropsKind
from actors.listening import ListeningKind
from actors.market import MarketKind
from actors.payments import PaymentsKind
from actors.payouts import PayoutsKind
from actors.purchases import PurchasesKind
from actors.rewards import ListenersKind, PayeesKind, PoolsKind
from actors.runtime.kind import EntityKind
from actors.runtime.supervisor import Plan
from actors.ventures import VenturesKind
from deployments.settings import Settings
from domain.drops.policy import drop_policy
from domain.policy import ListeningPolicy, MarketPolicy, RewardPolicy, market_policy
from domain.rewards.listeners import Policies
from domain.ventures.policy import venture_policy

NAMESPACE = "vibestream"
# The contexts that append events to the outbox.
STREAMS = (
    "users",
    "music",
    "listening",
    "rewards",
    "market",
    "payments",
    "webhooks",
    "drops",
    "ventures",
    "purchases",
)
# Kinds that talk to each other often share a group; every kind is in exactly one.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "listening": ("listening",),
    "rewards": ("pools", "listeners", "payees"),
    "market": ("market",),
    "payments": ("payments", "payouts", "drops", "ventures", "purchases"),
}

AnyKind = EntityKind[Any, Any, Any]


class HostSpec(msgspec.Struct, frozen=True):
    """A host actor: its name is its address, for callers and in the Ray dashboard."""

    name: str
    kinds: tuple[str, ...]


def listening_policy(settings: Settings) -> ListeningPolicy:
    """How sessions are paced."""
    return ListeningPolicy(beat_interval_ms=settings.beat_interval_ms)


def reward_policy(settings: Settings) -> RewardPolicy:
    """How listens are rewarded, at that pace."""
    return RewardPolicy(max_gap_ms=listening_policy(settings).max_gap_ms)


def trading_policy(settings: Settings) -> MarketPolicy:
    """What the market charges and allows, and how long its call auctions collect."""
    policy = market_policy(settings.platform_phase)
    return msgspec.structs.replace(policy, auction_ms=settings.auction_ms)


def entity_kinds(settings: Settings, verifier: Verifier | None = None) -> dict[str, AnyKind]:
    """Every kind of entity that the engine owns, by name, under its policy.

    verifier: of proofs, for the process that owns pools.
    """
    listening, reward = listening_policy(settings), reward_policy(settings)
    kinds: tuple[AnyKind, ...] = (
        ListeningKind(listening),
        PoolsKind(reward, verifier),
        ListenersKind(Policies(reward=reward)),
        PayeesKind(reward),
        MarketKind(trading_policy(settings)),
        PaymentsKind(),
        PurchasesKind(),
        DropsKind(drop_policy(settings.platform_phase)),
        VenturesKind(venture_policy(settings.platform_phase)),
        PayoutsKind(),
    )
    return {kind.name: kind for kind in kinds}


def host_specs(settings: Settings) -> tuple[HostSpec, ...]:
    """The hosts that should be alive."""
    return tuple(
        HostSpec(f"{group}-{index}", kinds)
        for group, kinds in GROUPS.items()
        for index in range(settings.hosts_per_group)
    )


def bus_workers(settings: Settings) -> tuple[str, ...]:
    """The names of the bus workers. One of each task is active; the others stand by."""
    return tuple(f"bus-{index}" for index in range(settings.bus_workers))


def supervisors(settings: Settings) -> tuple[str, ...]:
    """The names of the supervisors. One leads; another takes over when its node dies."""
    return tuple(f"supervisor-{index}" for index in range(settings.supervisors))


def spread(names: Iterable[str], nodes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Each process with the node to start it on, in the order of the nodes' ids.

    Members of a group (`rewards-0`, `rewards-1`) follow each other over the nodes, so that no node
    holds a whole group while there is another; each group begins one node further on.
    """
    assert nodes, "a cluster has at least one node"
    ordered, groups, placed = sorted(nodes), list[str](), list[tuple[str, str]]()
    for name in names:
        group, _, index = name.rpartition("-")
        if group not in groups:
            groups.append(group)
        place = int(index) + groups.index(group)
        placed.append((name, ordered[place % len(ordered)]))
    return tuple(placed)


def plan(kinds: Mapping[str, AnyKind], specs: Sequence[HostSpec]) -> Plan:
    """What the supervisor keeps true."""
    hosts = {name: [spec.name for spec in specs if name in spec.kinds] for name in kinds}
    return Plan(hosts, {name: kind.partitions for name, kind in kinds.items()})
