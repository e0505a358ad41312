"""Movements are the snapshots of a payment, joined: the order in which they come is no matter."""

from __future__ import annotations

from itertools import permutations

from messages.payments.gateways import (
    DisputeStatus,
    GatewayName,
    ProviderDispute,
    ProviderRefund,
    ProviderStatus,
    ReturnStatus,
    Snapshot,
)
from messages.payments.payments import SnapshotSeen, Source
from storage.payments_movements import Key, Row, moved, newer


def seen(at_ms: int, captured: int, refund: ReturnStatus, dispute: DisputeStatus) -> SnapshotSeen:
    snapshot = Snapshot(
        "pi_1", ProviderStatus.CAPTURED, at_ms, captured,
        (ProviderRefund("re_1", 40, refund, at_ms),),
        (ProviderDispute("dp_1", 60, dispute, at_ms),),
    )  # fmt: skip
    return SnapshotSeen(0, GatewayName.STRIPE, snapshot, Source.CALL, at_ms)


def test_the_newest_that_was_told_counts_in_any_order() -> None:
    news = (
        seen(1, 60, ReturnStatus.PENDING, DisputeStatus.OPEN),
        seen(2, 100, ReturnStatus.SUCCEEDED, DisputeStatus.OPEN),
        seen(2, 90, ReturnStatus.FAILED, DisputeStatus.WON),
    )
    for order in permutations(news):
        found: dict[Key, Row] = {}
        for event in order:
            for key, row in moved("pay", event).items():
                found[key] = newer(found.get(key), row)
        told = {row["kind"]: (row["amount_minor"], row["status"]) for row in found.values()}
        assert told == {"capture": (100, "captured"), "refund": (40, "failed"),
                        "dispute": (60, "won")}  # fmt: skip


def test_nothing_taken_is_no_movement() -> None:
    snapshot = Snapshot("pi_1", ProviderStatus.PROCESSING, 1)
    event = SnapshotSeen(0, GatewayName.STRIPE, snapshot, Source.CALL, 1)
    assert moved("pay", event) == {}
