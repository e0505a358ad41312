"""What a provider said, put together: the order in which news arrives does not matter.

A provider tells the same thing several times, late, and in any order: by the answer to a call, by
webhooks, when asked. So news is *joined*: amounts that were taken only grow, and every status
carries the provider's own moment, of which the latest counts (of the same moment, the one that is
farther). The join is associative, commutative and idempotent (a join semilattice, as in Shapiro et
al., Conflict-free Replicated Data Types, 2011), so a webhook that comes twice or too late changes
nothing, and an older one never overwrites a newer state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from messages.payments.gateways import (
    DisputeStatus,
    ProviderDispute,
    ProviderRefund,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)

_RANK = {status: rank for rank, status in enumerate(ProviderStatus)}
_RETURN_RANK = {status: rank for rank, status in enumerate(ReturnStatus)}
_DISPUTE_RANK = {status: rank for rank, status in enumerate(DisputeStatus)}

Item = TypeVar("Item", bound=ProviderRefund | ProviderDispute)


def join(known: Snapshot | None, told: Snapshot) -> Snapshot:
    """What is known of a charge after it was told of."""
    if known is None or known == told:
        return normal(told)
    newer = max(known, normal(told), key=_place)
    return replace(
        newer,
        captured_minor=max(known.captured_minor, told.captured_minor),
        refunds=_merge(known.refunds, told.refunds, _newer_refund),
        disputes=_merge(known.disputes, told.disputes, _newer_dispute),
    )


def normal(snapshot: Snapshot) -> Snapshot:
    """Refunds and disputes in the order of their references."""
    return replace(
        snapshot,
        refunds=_merge((), snapshot.refunds, _newer_refund),
        disputes=_merge((), snapshot.disputes, _newer_dispute),
    )


def returned_minor(snapshot: Snapshot) -> int:
    """All that went back to the payer by refunds."""
    return sum(one.amount_minor for one in snapshot.refunds if one.status is ReturnStatus.SUCCEEDED)


def withheld_minor(snapshot: Snapshot) -> int:
    """All that the provider keeps from us because of disputes."""
    return sum(one.amount_minor for one in snapshot.disputes if one.status is not DisputeStatus.WON)


def _place(snapshot: Snapshot) -> tuple[int, int, int, str, str]:
    """What makes one status newer than another. Total, so that ties go the same way everywhere."""
    action = snapshot.action
    return (
        snapshot.at_ms,
        _RANK[snapshot.status],
        action is not None,
        f"{action.url} {action.client_secret}" if action else "",
        snapshot.failure,
    )


def _merge(
    known: tuple[Item, ...], told: tuple[Item, ...], newer: Callable[[Item, Item], Item]
) -> tuple[Item, ...]:
    found = {one.ref: one for one in known}
    for one in told:
        before = found.get(one.ref)
        found[one.ref] = one if before is None else newer(before, one)
    return tuple(found[ref] for ref in sorted(found))


def _newer_refund(one: ProviderRefund, other: ProviderRefund) -> ProviderRefund:
    newer = max(one, other, key=lambda r: (r.at_ms, _RETURN_RANK[r.status], r.amount_minor))
    # The provider tells whose refund it is in some of its messages only.
    return replace(newer, refund_id=max(one.refund_id, other.refund_id))


def _newer_dispute(one: ProviderDispute, other: ProviderDispute) -> ProviderDispute:
    return max(one, other, key=lambda d: (d.at_ms, _DISPUTE_RANK[d.status], d.amount_minor))
