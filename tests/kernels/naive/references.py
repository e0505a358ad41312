"""The naive twin of references over a history: each mark lived through by the millisecond."""

from __future__ import annotations

from collections.abc import Sequence

from domain.policy import PricePolicy
from kernels.twap.fixed import log2
from tests.kernels.naive.price_record import Instant, NaiveRecord


def references(
    policy: PricePolicy, cap: int, marks: Sequence[tuple[int, int, bool]], asked_ms: int
) -> tuple[int | None, int | None]:
    """(INDEX, SETTLE) at a moment; marks: (at_ms, half ticks, covered), in order."""
    told, latest = [], 0
    for at_ms, half, covered in marks:
        latest = max(latest, at_ms)
        if at_ms > asked_ms:
            break
        told.append((latest, half, covered))
    if not told or told[0][0] > asked_ms:
        return None, None
    record = NaiveRecord(policy, cap, opened_ms=told[0][0], now_ms=max(asked_ms, told[-1][0]))
    capped = 0
    for now_ms in range(record.opened_ms, record.now_ms):
        passed = [mark for mark in told if mark[0] <= now_ms]
        for _, half, _ in passed:
            capped = capped or (log2(half) if half else 0)
        _, half, covered = passed[-1]
        log = log2(half) if half else 0
        record.past.append(Instant(now_ms, half, log, capped, covered and half > 0))
        if half:
            capped += max(-cap, min(cap, log - capped))
    return (record.index(), record.settle()) if record.past else (None, None)
