"""Load on an HTTP route: by `wrk` where it is installed, else by a small client of ours.

    python -m benchmarks.http_load URL CONNECTIONS SECONDS

Each connection asks again as soon as it was answered.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from benchmarks.harness import percentile

ROOT = Path(__file__).resolve().parent.parent
OWN = "benchmarks.http_load"
UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
END_OF_HEAD = b"\r\n\r\n"
GRACE_S = 30


class Load(NamedTuple):
    """What was measured. `failed`: answers that were no 2xx, and connections that broke."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def client_name() -> str:
    """Which client `load` takes."""
    return "wrk" if shutil.which("wrk") else OWN


def load(url: str, connections: int, seconds: float) -> Load:
    """Ask for `url` on so many connections, from a process of its own."""
    if shutil.which("wrk"):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", url]
        return parse_wrk(_output(command, seconds))
    command = [sys.executable, "-m", OWN, url, str(connections), str(seconds)]
    return Load(**json.loads(_output(command, seconds)))


def parse_wrk(text: str) -> Load:
    """What wrk printed. ValueError if it is something else."""
    rate = re.search(r"^Requests/sec: +([\d.]+)", text, re.MULTILINE)
    lines = dict(re.findall(r"^ +(50|99)% +([\d.]+[a-z]+)", text, re.MULTILINE))
    if rate is None or lines.keys() != {"50", "99"}:
        raise ValueError(f"not what wrk prints: {text[-200:]!r}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: (.*)", text)
    failed = int(refused[1]) if refused else 0
    failed += sum(map(int, re.findall(r"\d+", broken[1]))) if broken else 0
    return Load(float(rate[1]), _ms(lines["50"]), _ms(lines["99"]), failed)


def _ms(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS_MS[unit]


def answer_end(data: bytes | bytearray) -> int:
    """How long the first answer in `data` is; 0 if it is not whole. ValueError without a length."""
    head = data.find(END_OF_HEAD)
    if head < 0:
        return 0
    length = CONTENT_LENGTH.search(data, 0, head + 2)
    if length is None:
        raise ValueError("an answer without Content-Length")
    end = head + len(END_OF_HEAD) + int(length[1])
    return end if len(data) >= end else 0


class Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, end: float, latencies_ms: list[float]) -> None:
        self._request, self._end, self._latencies_ms = request, end, latencies_ms
        self._data = bytearray()
        self._asked = 0.0
        self._transport: asyncio.Transport
        self.failed = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Ask again once the answer is whole."""
        self._data += data
        while end := answer_end(self._data):
            self.failed += not self._data.startswith(b"HTTP/1.1 2")
            del self._data[:end]
            now = time.perf_counter()
            self._latencies_ms.append((now - self._asked) * 1e3)
            if now >= self._end:
                self._transport.close()
            else:
                self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Over, in time or not."""
        self.failed += time.perf_counter() < self._end
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)


async def ask(url: str, connections: int, seconds: float, headers: str = "") -> Load:
    """What our client measures. headers: more lines of each request, each with its line end."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    head = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}\r\n"
    request = head.encode()
    latencies_ms: list[float] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    askers = [
        (
            await loop.create_connection(
                lambda: Asker(request, began + seconds, latencies_ms), host, port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.wait_for(asyncio.gather(*(a.done for a in askers)), seconds + GRACE_S)
    rate = len(latencies_ms) / (time.perf_counter() - began)
    ordered = sorted(latencies_ms) or [0.0]
    failed = sum(asker.failed for asker in askers)
    return Load(rate, percentile(ordered, 50), percentile(ordered, 99), failed)


def _output(command: list[str], seconds: float) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + GRACE_S, check=True
    )
    return done.stdout


if __name__ == "__main__":
    import uvloop

    found = uvloop.run(ask(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps(found._asdict()))
