"""What Prometheus sees of the realtime door."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

PREFIX = "vibestream_realtime"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


class OperationMetrics:
    """Calls by operation and outcome, and how long they took."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            f"{PREFIX}_calls", "Calls answered.", ("operation", "outcome"), registry=self.registry
        )
        self._seconds = Histogram(
            f"{PREFIX}_call_seconds",
            "Seconds from a call's arrival to its answer.",
            ("operation",),
            buckets=SECONDS,
            registry=self.registry,
        )
        # Finding a labelled child costs more than counting; operations and codes are few.
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def observe(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one call."""
        child = self._children.get((operation, outcome))
        if child is None:
            child = self._calls.labels(operation, outcome), self._seconds.labels(operation)
            self._children[operation, outcome] = child
        child[0].inc()
        child[1].observe(seconds)


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
        self.received = Counter(
            f"{PREFIX}_messages_received", "Messages of clients.", registry=self.registry
        )
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
