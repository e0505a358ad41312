"""Prometheus metrics: the gateway's own, and other processes' merged with a `process` label."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
PROCESS = "process"

log = structlog.get_logger(__name__)
Scraper = Callable[[], Awaitable[bytes]]


class HttpMetrics:
    """Requests by route template and status, and how long they took. One an application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "vibestream_http_requests",
            "HTTP requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "vibestream_http_request_seconds",
            "Seconds from the request's head to the last byte of its response.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        # Finding a labelled child costs more than counting; routes and statuses are few.
        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def observe(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        """Count one request. `status` 0: the client went away before an answer."""
        route = getattr(scope.get("route"), "path", UNMATCHED)
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        child = self._children.get((method, route, status))
        if child is None:
            child = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(method, route),
            )
            self._children[method, route, status] = child
        child[0].inc()
        child[1].observe(seconds)

    def text(self) -> bytes:
        """Prometheus text of this process alone."""
        return generate_latest(self.registry)


async def gather(
    own: tuple[str, bytes], scrapers: Mapping[str, Scraper], timeout_s: float
) -> bytes:
    """All processes' metrics as one Prometheus text. A process that does not answer is counted."""

    async def scrape(name: str, scraper: Scraper) -> tuple[str, bytes | None]:
        try:
            async with asyncio.timeout(timeout_s):
                return name, await scraper()
        except Exception as error:  # noqa: BLE001 - one lost process must not hide the others
            log.warning("scrape failed", process=name, error=type(error).__name__)
            return name, None

    answers = await asyncio.gather(*(scrape(n, s) for n, s in scrapers.items()))
    texts = {own[0]: own[1], **{name: text for name, text in answers if text is not None}}
    up = Metric("vibestream_scrape_up", "Whether the process answered its scrape.", "gauge")
    for name in (own[0], *scrapers):
        up.add_sample("vibestream_scrape_up", {PROCESS: name}, float(name in texts))
    return merge(texts, [up])


def merge(texts: Mapping[str, bytes], more: Iterable[Metric] = ()) -> bytes:
    """One text of several: families of one name become one, each sample with its process."""
    families: dict[str, Metric] = {metric.name: metric for metric in more}
    for process, text in texts.items():
        try:
            parsed = list(text_string_to_metric_families(text.decode()))
        except ValueError:
            log.warning("unreadable metrics", process=process)
            continue
        for family in parsed:
            _add(families, family, process)
    return generate_latest(_Collected(sorted(families.values(), key=lambda f: f.name)))


def _add(families: dict[str, Metric], family: Metric, process: str) -> None:
    known = families.get(family.name)
    if known is None:
        known = families[family.name] = Metric(family.name, family.documentation, family.type)
    elif known.type != family.type:
        log.warning("metric of two types", metric=family.name, process=process)
        return
    for sample in family.samples:
        labels = {PROCESS: process, **sample.labels}
        known.samples.append(
            Sample(sample.name, labels, sample.value, sample.timestamp, sample.exemplar)
        )


class _Collected:
    """What generate_latest takes for a registry."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families
