"""What a request costs on its way through Ray Serve: a route that does nothing.

    python -m benchmarks gateway

`GET /api/v1/ping` of the real application, three ways, each in a fresh process tree, one after
the other: Ray Serve behind HAProxy with the engine's settings (ours), the same deployment behind
Serve's default proxy, and the same application under uvicorn alone, which no request can beat.
64 connections, then one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from itertools import cycle

from benchmarks import http_load
from benchmarks.child import Child
from benchmarks.harness import Contender, Direction, Figures, Target, compare, rounds
from deployments.cluster import MARK, kill_marked
from deployments.engine import serve_environment
from deployments.launcher.server import is_free
from deployments.settings import Settings

ROUTE = "/api/v1/ping"
CONNECTIONS = 64
WARM_S, LOAD_S, ALONE_S = 1.0, 4.0, 1.0
STOP_S = 20.0
READY_S = 60.0
PORTS = cycle(range(18_400, 18_500))
RATE, P50, P99 = (
    "requests/s",
    f"{CONNECTIONS} connections: p50 ms",
    f"{CONNECTIONS} connections: p99 ms",
)
ALONE = "1 connection: p50 ms"
BETTER: dict[str, Direction] = {RATE: "higher", P50: "lower", P99: "lower", ALONE: "lower"}
DEFAULT, BARE = "Serve's default proxy", "uvicorn alone"
TARGETS = [Target(RATE, 6, DEFAULT), Target(RATE, 0.3, BARE)]


@contextmanager
def serving(mode: str) -> Iterator[str]:
    """The URL of the route, served; no process and no file of it is left afterwards."""
    port = next(port for port in PORTS if is_free(port))
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="vs-") as folder:
        command = [sys.executable, "-m", "benchmarks.gateway_server", mode, str(port), folder]
        try:
            child = Child(command, {MARK: mark}, stop_s=STOP_S)
            try:
                _await_answer(port)
                yield f"http://127.0.0.1:{port}{ROUTE}"
            finally:
                child.stop()
        finally:
            kill_marked(mark)
            if mode == "haproxy":
                _forget_haproxy(port)


def _await_answer(port: int) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError, HTTPException):
            connection.request("GET", ROUTE)
            if connection.getresponse().status == 200:
                return
        connection.close()
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers on port {port}")


def _forget_haproxy(port: int) -> None:
    environment = serve_environment(Settings(http_port=port))
    shutil.rmtree(environment["RAY_SERVE_HAPROXY_SERVER_STATE_BASE"], ignore_errors=True)


def measure(mode: str) -> Figures:
    """All figures of a way to serve, from a fresh start."""
    with serving(mode) as url:
        http_load.load(url, CONNECTIONS, WARM_S)
        many = http_load.load(url, CONNECTIONS, LOAD_S)
        alone = http_load.load(url, 1, ALONE_S)
    failed = many.failed + alone.failed
    assert failed == 0, f"{failed} requests failed"
    return {RATE: many.per_second, P50: many.p50_ms, P99: many.p99_ms, ALONE: alone.p50_ms}


def main() -> None:
    """Print the table and write benchmarks/results/gateway.json."""

    def by(mode: str) -> Callable[[], Figures]:
        return lambda: measure(mode)

    compare(
        "gateway",
        [
            Contender("Ray Serve behind HAProxy", "ours", by("haproxy")),
            Contender(DEFAULT, "peer", by("proxy")),
            Contender(BARE, "peer", by("uvicorn")),
        ],
        unit=f"GET {ROUTE}",
        better=BETTER,
        rounds=rounds(3),
        targets=TARGETS,
        notes={"load_client": http_load.client_name(), "connections": CONNECTIONS},
    )


if __name__ == "__main__":
    main()
