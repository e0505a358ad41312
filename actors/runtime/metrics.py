"""What Prometheus sees of hosts, handles and the supervisor. Registries are the caller's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCH_BUCKETS = (1, 2, 5, 10, 25, 50, 100, 150, 200, 250, 500)
SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.5, 2.0, 8.0)


class HostMetrics:
    """Of one host, in a registry of its own unless one is given."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        own = registry or CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"vibestream_runtime_{name}", text, ("kind", *labels), registry=own)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"vibestream_runtime_{name}", text, ("kind",), registry=own)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            full = f"vibestream_runtime_{name}"
            return Histogram(full, text, ("kind",), registry=own, buckets=buckets)

        self.registry = own
        self.commands = counter("commands", "Commands by what came of them", "outcome")
        self.retries = counter("batch_retries", "Batches run again, by reason", "reason")
        self.loads = counter("entity_loads", "Entities rebuilt from snapshot and journal")
        self.passivated = counter("entities_passivated", "Entities that left memory")
        self.snapshots = counter("snapshots", "Snapshots written")
        self.acquired = counter("partitions_acquired", "Partitions taken with a new epoch")
        self.fence_losses = counter("fence_losses", "Partitions that another owner took")
        self.reminders = counter("reminders_fired", "Timers that became commands")
        self.entities = gauge("live_entities", "Entities in memory")
        self.mailbox = gauge("mailbox_depth", "Commands that wait")
        self.batch = histogram("batch_commands", "Commands in a batch", BATCH_BUCKETS)
        self.commit = histogram("commit_seconds", "Writing a batch, to its commit", SECONDS_BUCKETS)


class HandleMetrics:
    """Of the handles of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.asks = Counter(
            "vibestream_handle_asks",
            "Commands asked, by what came of them",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.retries = Counter(
            "vibestream_handle_retries",
            "Commands asked again, by reason",
            ("kind", "reason"),
            registry=self.registry,
        )
        self.call = Histogram(
            "vibestream_handle_call_commands",
            "Commands in a call",
            ("kind",),
            registry=self.registry,
            buckets=BATCH_BUCKETS,
        )


class SupervisorMetrics:
    """Of the supervisor."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            full = f"vibestream_supervisor_{name}"
            return Counter(full, text, labels, registry=self.registry)

        self.registry = registry or CollectorRegistry()
        self.restarts = counter("host_restarts", "Hosts that came back as a new process", "host")
        self.losses = counter("hosts_lost", "Hosts given up", "host")
        self.moves = counter("partitions_moved", "Partitions put elsewhere", "kind")
        self.live = Gauge(
            "vibestream_supervisor_host_up",
            "1 where the host answers",
            ("host",),
            registry=self.registry,
        )
        self.leading = Gauge(
            "vibestream_supervisor_leading",
            "1 where this supervisor is the one that acts",
            registry=self.registry,
        )
