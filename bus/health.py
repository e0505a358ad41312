"""How far behind the bus is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from bus.metrics import BusMetrics
from messages.bus import GroupLag, Position
from messages.errors import Unavailable


class Lags(Protocol):
    """What PostgreSQL is asked; every `EventStore` can be."""

    async def lags(self, streams: Sequence[str]) -> list[GroupLag]:
        """See storage.inbox."""

    async def count_after(self, stream: str, after: Position) -> int:
        """See storage.inbox."""


class Top(Protocol):
    """What the broker is asked; every `EventStream` can be."""

    async def top(self, stream: str) -> Position:
        """The last position the stream was given. Raises Unavailable."""


class StreamLag(msgspec.Struct, frozen=True):
    """What a group has yet to do on a stream.

    unpublished: committed events that the broker does not have; None if it cannot be asked.
    unhandled: committed events whose effect the group has not committed (counted up to a limit).
    oldest_age_ms: age of the first of them, 0 if there is none.  dead: its letters not done.
    """

    stream: str
    group: str
    unpublished: int | None
    unhandled: int
    oldest_age_ms: int
    dead: int


async def bus_lag(store: Lags, broker: Top, streams: Sequence[str], now_ms: int) -> list[StreamLag]:
    """The lag of every group registered for one of the streams."""
    unpublished = {stream: await _unpublished(store, broker, stream) for stream in streams}
    return [
        StreamLag(
            lag.stream,
            lag.group,
            unpublished[lag.stream],
            lag.unhandled,
            max(0, now_ms - lag.oldest_at_ms) if lag.oldest_at_ms is not None else 0,
            lag.dead,
        )
        for lag in await store.lags(streams)
    ]


def show(lags: Sequence[StreamLag], metrics: BusMetrics) -> None:
    """Set the gauges."""
    for lag in lags:
        labels = (lag.group, lag.stream)
        metrics.unhandled.labels(*labels).set(lag.unhandled)
        metrics.oldest_age.labels(*labels).set(lag.oldest_age_ms / 1000)
        metrics.dead.labels(*labels).set(lag.dead)
        if lag.unpublished is not None:
            metrics.unpublished.labels(lag.stream).set(lag.unpublished)


async def _unpublished(store: Lags, broker: Top, stream: str) -> int | None:
    try:
        return await store.count_after(stream, await broker.top(stream))
    except Unavailable:
        return None
