"""What the bus's parts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bus.limits import Limits
from bus.metrics import BusMetrics
from bus.store import EventStore
from bus.stream import EventStream


@dataclass(frozen=True, slots=True)
class Wiring:
    """The stores a part works on, its clock (epoch ms), its metrics and its limits."""

    store: EventStore
    broker: EventStream
    clock_ms: Callable[[], int]
    metrics: BusMetrics
    limits: Limits
