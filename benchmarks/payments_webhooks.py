"""Webhooks a second at the door of a running engine, each verified, kept, and answered after that.

    python -m benchmarks payments_webhooks

`vibestream run` as an operator has it, fsync on. Each webhook is
another event, signed as Stripe signs it; the bus takes them and looks at them meanwhile. The client
is one process on the same cores. The peer is what tutorials show: a route of FastAPI under uvicorn
that verifies with Stripe's library and inserts a row, on a PostgreSQL of its own, and nothing else
runs beside it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.child import Child
from benchmarks.harness import (
    Contender,
    Direction,
    Figures,
    Target,
    compare,
    percentile,
    rounds,
    servers,
)
from benchmarks.http_load import answer_end
from benchmarks.running_engine import running
from deployments.launcher.server import is_free
from simulators.payments.stripe import WEBHOOK_SECRET

GRACE_S = 30.0
SECONDS = float(os.environ.get("VIBESTREAM_BENCH_SECONDS", "6"))
WARM_S = 2.0
CONNECTIONS = 64
PORTS = itertools.cycle(range(18_950, 18_999))
RATE = "webhooks/s"
BETTER: dict[str, Direction] = {RATE: "higher", "p50 ms": "lower", "p99 ms": "lower"}
PEER = "FastAPI, an insert each"
PATH = "/api/v1/webhooks/stripe"


def requests(host: str, secret: str, first: int) -> Iterator[bytes]:
    """Signed events, each another one, from number `first` on."""
    for number in itertools.count(first):
        at = int(time.time())
        intent = {"id": f"pi_bench_{number}", "object": "payment_intent", "metadata": {}}
        event = {
            "id": f"evt_bench_{number}",
            "type": "payment_intent.succeeded",
            "created": at,
            "data": {"object": intent},
        }
        body = json.dumps(event).encode()
        digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Stripe-Signature: t={at},v1={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


class Sender(asyncio.Protocol):
    """One connection: the next webhook as soon as the one before was answered."""

    def __init__(self, source: Iterator[bytes], end: float, latencies_ms: list[float]) -> None:
        self._source, self._end, self._latencies_ms = source, end, latencies_ms
        self._data = bytearray()
        self._sent = 0.0
        self._transport: asyncio.Transport
        self.failed: list[str] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Send another once the answer is whole."""
        self._data += data
        while end := answer_end(self._data):
            if not self._data.startswith(b"HTTP/1.1 2"):
                self.failed.append(bytes(self._data[:end]).decode())
            del self._data[:end]
            now = time.perf_counter()
            self._latencies_ms.append((now - self._sent) * 1e3)
            if now >= self._end:
                self._transport.close()
            else:
                self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Over, in time or not."""
        if time.perf_counter() < self._end:
            self.failed.append(f"a connection ended: {error}")
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._source))


async def flood(url: str, secret: str, first: int, connections: int, seconds: float) -> Figures:
    """As many as are answered. AssertionError if one is not taken."""
    address = urlsplit(url)
    source = requests(address.netloc, secret, first)
    latencies_ms: list[float] = []
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    senders = [
        (
            await loop.create_connection(
                lambda: Sender(source, began + seconds, latencies_ms),
                address.hostname or "127.0.0.1",
                address.port or 80,
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(one.done for one in senders)), seconds + GRACE_S)
    took_s = time.perf_counter() - began
    failed = [text for one in senders for text in one.failed]
    assert not failed, failed[0]
    ordered = sorted(latencies_ms)
    return {
        "webhooks/s": len(ordered) / took_s,
        "p50 ms": percentile(ordered, 50),
        "p99 ms": percentile(ordered, 99),
    }


async def measure(url: str) -> Figures:
    """A warm door's figures."""
    first = time.time_ns()
    await flood(url, WEBHOOK_SECRET, first, CONNECTIONS, WARM_S)
    return await flood(url, WEBHOOK_SECRET, first + 10**9, CONNECTIONS, SECONDS)


def measure_ours() -> Figures:
    """On an engine of its own."""
    with running() as engine:
        return uvloop.run(measure(engine.url))


def measure_peer() -> Figures:
    """On a server of its own."""
    port = next(port for port in PORTS if is_free(port))
    with servers() as (postgres_url, _):
        command = [sys.executable, "-m", "benchmarks.payments_webhooks_peer", str(port)]
        child = Child([*command, postgres_url, WEBHOOK_SECRET])
        try:
            return uvloop.run(measure(f"http://127.0.0.1:{port}"))
        finally:
            child.stop()


def main() -> None:
    """Print the table and write benchmarks/results/payments_webhooks.json."""
    compare(
        "payments_webhooks",
        [
            Contender("the whole engine", "ours", measure_ours),
            Contender(PEER, "peer", measure_peer),
        ],
        unit="webhooks taken and answered durably",
        better=BETTER,
        rounds=rounds(2),
        targets=[Target(RATE, 2_000)],
        notes={"seconds": SECONDS, "connections": CONNECTIONS},
    )


if __name__ == "__main__":
    main()
