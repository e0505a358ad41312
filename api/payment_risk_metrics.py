"""Antifraud in figures: verdicts, how long they take, and how the external scorer does."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from domain.payments.risk import External
from messages.payments.payments import Verdict

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)


class PaymentRiskMetrics:
    """One a gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._verdicts = Counter(
            "vibestream_payment_risk_verdicts",
            "Payments assessed before they begin.",
            ("verdict",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "vibestream_payment_risk_seconds",
            "Seconds that an assessment takes, the scorer included.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._scorer_seconds = Histogram(
            "vibestream_payment_risk_scorer_seconds",
            "Seconds until the external scorer answered or was given up.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._failures = Counter(
            "vibestream_payment_risk_scorer_failures",
            "Questions to the external scorer that came to nothing.",
            ("reason",),
            registry=self.registry,
        )

    def assessed(self, verdict: Verdict, seconds: float) -> None:
        """Count an assessment."""
        self._verdicts.labels(verdict.value).inc()
        self._seconds.observe(seconds)

    def scored(self, external: External) -> None:
        """Count a question to the scorer."""
        self._scorer_seconds.observe(external.latency_us / 1_000_000)
        if external.failure:
            self._failures.labels(external.failure).inc()

    async def text(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self.registry)
