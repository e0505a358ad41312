"""What Prometheus sees of the bus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0)


class BusMetrics:
    """The bus's counters and gauges, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"vibestream_bus_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"vibestream_bus_{name}", text, labels, registry=registry)

        group = ("group", "stream")
        self.registry = registry
        self.published = counter("published", "Events given to the broker", "stream")
        self.refills = counter("refills", "Times the broker had lost a stream", "stream")
        self.trimmed = counter("trimmed", "Entries dropped from the broker", "stream", "why")
        self.purged = counter("purged", "Events deleted from the outbox", "stream")
        self.handled = counter("handled", "Events whose effect is committed", *group)
        self.from_store = counter("from_store", "Events read past the broker", *group)
        self.failures = counter("failures", "Times a handler failed", *group)
        self.retries = counter("retries", "Times something was away", *group)
        self.parked = counter("parked", "Events given up on", *group)
        self.replayed = counter("replayed", "Dead letters handled at last", *group)
        self.restarts = counter("restarts", "Times a task was restarted", "task")
        self.leading = gauge("leading", "1 where this process holds the lease", "task")
        self.unpublished = gauge("unpublished", "Events the broker does not have yet", "stream")
        self.unhandled = gauge("unhandled", "Events the group has yet to handle", *group)
        self.oldest_age = gauge("oldest_age_seconds", "Age of the first event not handled", *group)
        self.dead = gauge("dead_letters", "Letters parked or waiting for replay", *group)
        self.latency = Histogram(
            "vibestream_bus_latency_seconds",
            "From the event's time to its committed effect, oldest of a batch",
            group,
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
