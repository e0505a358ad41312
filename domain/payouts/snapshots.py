"""What a provider said of a payout, put together: the order in which news arrives does not matter.

A payout only goes forward (pending, paid, failed or returned), so of two snapshots the farther
counts, and of two as far the later. The join is associative, commutative and idempotent, as that of
payments is (`domain/payments/snapshots.py`).
"""

from __future__ import annotations

from msgspec.structs import replace

from messages.payments.payout_orders import PayoutProgress, PayoutSnapshot

_RANK = {progress: rank for rank, progress in enumerate(PayoutProgress)}


def join(known: PayoutSnapshot | None, told: PayoutSnapshot) -> PayoutSnapshot:
    """What is known of a payout after it was told of."""
    if known is None:
        return told
    newer = max(known, told, key=_place)
    return replace(newer, fee_minor=max(known.fee_minor, told.fee_minor))


def _place(snapshot: PayoutSnapshot) -> tuple[int, int, str, str]:
    return _RANK[snapshot.progress], snapshot.at_ms, snapshot.ref, snapshot.failure
