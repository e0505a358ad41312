"""What Prometheus sees of the realtime door."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

PREFIX = "vibestream_realtime"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


class OperationMetrics:
    """Calls by operation and outcome, and how long they took."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # One loop counts, so that the locks of the library's own counters guard nothing.
        self._calls: dict[tuple[str, str], int] = {}
        self._seconds: dict[str, _Seconds] = {}
        self.registry.register(self)

    def observe(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call."""
        kind = operation, outcome
        self._calls[kind] = self._calls.get(kind, 0) + 1
        spent = self._seconds.get(operation)
        if spent is None:
            spent = self._seconds[operation] = _Seconds()
        spent.buckets[bisect_left(SECONDS, seconds)] += 1
        spent.sum += seconds

    def collect(self) -> Iterable[Metric]:
        """What the registry asks for."""
        calls = CounterMetricFamily(
            f"{PREFIX}_calls", "Calls answered.", labels=("operation", "outcome")
        )
        for kind, count in list(self._calls.items()):
            calls.add_metric(kind, count)
        text = "Seconds from a call's arrival to its answer."
        seconds = HistogramMetricFamily(f"{PREFIX}_call_seconds", text, labels=("operation",))
        for operation, spent in list(self._seconds.items()):
            bounds = [*map(floatToGoString, SECONDS), "+Inf"]
            counts = zip(bounds, accumulate(spent.buckets), strict=True)
            seconds.add_metric((operation,), list(counts), spent.sum)
        yield calls
        yield seconds


class _Seconds:
    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.sum = 0.0


class RealtimeMetrics:
    """The door's own counters; the hub's and the feed's are read when asked for."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.opened = Counter(
            f"{PREFIX}_connections_opened", "Connections.", ("door",), registry=self.registry
        )
        self.closed = Counter(
            f"{PREFIX}_connections_closed",
            "Connections that ended, by close code (0: lost).",
            ("code",),
            registry=self.registry,
        )
        self.refused = Counter(
            f"{PREFIX}_upgrades_refused", "Upgrades refused.", ("why",), registry=self.registry
        )
        self.received = 0  # messages of clients
        self.feed_seconds = Histogram(
            f"{PREFIX}_feed_seconds",
            "From an event's time to its publication here, newest of a batch.",
            buckets=(*SECONDS, 60, 600),
            registry=self.registry,
        )
        self.feed_up = Gauge(
            f"{PREFIX}_feed_up", "1 while the broker is being read.", registry=self.registry
        )
        self.feed_filled = Counter(
            f"{PREFIX}_feed_filled", "Events read past the broker.", registry=self.registry
        )

    def watch(self, read: Callable[[], Mapping[str, float]], gauges: Iterable[str]) -> None:
        """Export the numbers that `read` returns by name: counters, but for `gauges`."""
        self.registry.register(_Watched(read, frozenset(gauges)))

    def text(self, *more: CollectorRegistry) -> bytes:
        """Prometheus text of this and further registries."""
        return b"".join(generate_latest(registry) for registry in (self.registry, *more))


class _Watched:
    def __init__(self, read: Callable[[], Mapping[str, float]], gauges: frozenset[str]) -> None:
        self._read = read
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, value in self._read().items():
            family: Any = GaugeMetricFamily if name in self._gauges else CounterMetricFamily
            yield family(f"{PREFIX}_{name}", name.replace("_", " ").capitalize() + ".", value=value)
