"""What knowing who asks costs: a token, a request, a sign-in.

    python -m benchmarks auth

Three parts, each beside what it is measured against in the same round:

- Verifying an access token, seen before (warm) and not (cold), beside PyJWT's `decode` alone, and
  beside the signature's check alone, which nothing that checks it can beat.
- A route that does nothing, for members and for anybody, through the whole application in this
  process and over HTTP under uvicorn; the two take turns a slice at a time.
- Sign-ins of existing users through the door (PostgreSQL, sessions, throttling in Valkey) beside
  bare Argon2id hashes on the same threads.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import jwt
import uvloop

from benchmarks.auth_app import AUTHORISED, OPEN, issue, make_app
from benchmarks.auth_logins import Logins
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
from benchmarks.http_load import ask
from deployments.launcher.server import free_port
from integrations.signing_keys import ALGORITHM, generate_signing_key
from integrations.tokens import CLAIMS, AccessTokens

ROUNDS = 6  # even, because the two routes take turns in being looked at first
TOKENS = 2_000
SLICES, SLICE_REQUESTS = 40, 100
HTTP_SLICES, HTTP_SLICE_S, CONNECTIONS = 8, 0.5, 8

WARM50, WARM99 = "verify, warm: p50 us", "verify, warm: p99 us"
COLD50, COLD99 = "verify, cold: p50 us", "verify, cold: p99 us"
INSIDE, HTTP = "authorised / open, in process", "authorised / open, over HTTP"
INSIDE_US, HTTP_RPS = "authorised, in process: us", "authorised, over HTTP: requests/s"
OPEN_US, OPEN_RPS = "open, in process: us", "open, over HTTP: requests/s"
LOGINS, HASHES = "sign-ins/s", "bare Argon2id hashes/s"
LOGIN_SHARE = "sign-ins / bare hashes"
BETTER: dict[str, Direction] = {
    WARM50: "lower",
    WARM99: "lower",
    COLD50: "lower",
    COLD99: "lower",
    INSIDE: "lower",
    HTTP: "lower",
    LOGIN_SHARE: "higher",
}
TARGETS = [
    Target(WARM50, 50),
    Target(WARM99, 50),
    Target(INSIDE, 1.15),
    Target(HTTP, 1.15),
    Target(LOGIN_SHARE, 0.9),
]


def timed(calls: Iterator[Callable[[], object]]) -> Figures:
    """p50 and p99 of single calls, in microseconds."""
    took: list[float] = []
    for call in calls:
        began = time.perf_counter_ns()
        call()
        took.append((time.perf_counter_ns() - began) / 1_000)
    ordered = sorted(took)
    return {"p50": percentile(ordered, 50), "p99": percentile(ordered, 99)}


class Verifying:
    """Tokens of as many users, and the ways to check one."""

    def __init__(self) -> None:
        self._key = generate_signing_key()
        self._now_ms = time.time_ns() // 1_000_000
        issuing = AccessTokens([self._key])
        self._tokens = [issue(issuing, self._now_ms) for _ in range(TOKENS)]

    def ours(self) -> Figures:
        """A fresh gateway's first look at each token, and its second."""
        tokens = AccessTokens([self._key])

        def looks() -> Iterator[Callable[[], object]]:
            for token in self._tokens:
                yield partial(tokens.verify, token, self._now_ms)

        cold, warm = timed(looks()), timed(looks())
        return {
            WARM50: warm["p50"],
            WARM99: warm["p99"],
            COLD50: cold["p50"],
            COLD99: cold["p99"],
        }

    def pyjwt(self) -> Figures:
        """PyJWT's decode of the same tokens under the same rules."""
        options: Any = {"require": list(CLAIMS)}
        decode = partial(
            jwt.decode,
            key=self._key.public,
            algorithms=[ALGORITHM],
            audience="vibestream-api",
            issuer="vibestream",
            options=options,
        )

        def decodes() -> Iterator[Callable[[], object]]:
            for token in self._tokens:
                yield partial(decode, token)

        return self._same(timed(decodes()))

    def signature(self) -> Figures:
        """The library's check of the signatures, and nothing else."""
        parts = [token.rpartition(".") for token in self._tokens]
        decode = jwt.utils.base64url_decode
        signed = [(decode(signature), text.encode()) for text, _, signature in parts]
        public = self._key.public

        def checks() -> Iterator[Callable[[], object]]:
            for signature, text in signed:
                yield partial(public.verify, signature, text)

        return self._same(timed(checks()))

    @staticmethod
    def _same(found: Figures) -> Figures:
        """One that remembers nothing is as fast the second time."""
        return {
            WARM50: found["p50"],
            WARM99: found["p99"],
            COLD50: found["p50"],
            COLD99: found["p99"],
        }


async def in_turns(
    kinds: Sequence[str], slices: int, run: Callable[[str], Awaitable[float]]
) -> dict[str, float]:
    """The median of each kind's slices, which take turns."""
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(slices):
        for kind in kinds if number % 2 else reversed(kinds):
            found[kind].append(await run(kind))
    return {kind: statistics.median(values) for kind, values in found.items()}


async def inside(app: Any, token: str) -> Figures:
    """Requests to the application object itself, as a server would make them."""
    bodies = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return bodies[0]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message["status"]

    def scope(path: str) -> dict[str, Any]:
        headers = [(b"host", b"api.test"), (b"accept", b"*/*"), (b"user-agent", b"benchmark")]
        if path == AUTHORISED:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("203.0.113.7", 4711),
            "server": ("api.test", 80),
        }

    async def one_slice(path: str) -> float:
        # Nothing here waits, so the process's own time is the cost, whoever shares the cores.
        began = time.process_time()
        for _ in range(SLICE_REQUESTS):
            await app(scope(path), receive, send)
        return (time.process_time() - began) / SLICE_REQUESTS * 1e6

    gc.collect()
    gc.freeze()  # what the rest of the benchmark holds is not looked through

    await in_turns((OPEN, AUTHORISED), 2, one_slice)
    found = await in_turns((OPEN, AUTHORISED), SLICES, one_slice)
    ratio = found[AUTHORISED] / found[OPEN]
    return {INSIDE: ratio, INSIDE_US: found[AUTHORISED], OPEN_US: found[OPEN]}


@contextmanager
def served(first: str) -> Iterator[tuple[str, str]]:
    """The URL of the application under uvicorn in a process of its own, and a token."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.auth_app", str(port), first]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        word, token = child.stdout.readline().split()
        assert word == "ready"
        yield f"http://127.0.0.1:{port}", token
        child.stdin.close()


async def over_http(url: str, token: str) -> Figures:
    """Requests over kept connections, the client beside the server on the same cores."""

    async def one_slice(path: str) -> float:
        header = f"Authorization: Bearer {token}\r\n" if path == AUTHORISED else ""
        load = await ask(url + path, CONNECTIONS, HTTP_SLICE_S, header)
        assert not load.failed, f"{load.failed} requests failed"
        return load.per_second

    await in_turns((OPEN, AUTHORISED), 1, one_slice)
    found = await in_turns((OPEN, AUTHORISED), HTTP_SLICES, one_slice)
    ratio = found[OPEN] / found[AUTHORISED]
    return {HTTP: ratio, HTTP_RPS: found[AUTHORISED], OPEN_RPS: found[OPEN]}


async def logins(postgres: str, redis: str, folder: Path) -> Figures:
    """Sign-ins through the door beside bare hashes, in turns."""
    async with Logins.open(postgres, redis, folder) as door:
        found = await in_turns(("bare", "door"), 3, door.per_second)
    share = found["door"] / found["bare"]
    return {LOGIN_SHARE: share, LOGINS: found["door"], HASHES: found["bare"]}


def main() -> None:
    """Print the table and write benchmarks/results/auth.json."""
    verifying = Verifying()
    with (
        tempfile.TemporaryDirectory() as folder,
        servers() as (postgres, redis),
    ):
        firsts = cycle((OPEN, AUTHORISED))

        def ours() -> Figures:
            first = next(firsts)
            app, services = make_app(Path(folder), first)
            own = issue(services.tokens, services.clock())
            with served(first) as (url, token):
                http = uvloop.run(over_http(url, token))
            return {
                **verifying.ours(),
                **uvloop.run(inside(app, own)),
                **http,
                **uvloop.run(logins(postgres, redis, Path(folder) / str(uuid.uuid4()))),
            }

        compare(
            "auth",
            [
                Contender("the gateway", "ours", ours),
                Contender("PyJWT alone", "peer", verifying.pyjwt),
                Contender("the signature's check alone", "peer", verifying.signature),
            ],
            unit="see each figure",
            better=BETTER,
            rounds=rounds(ROUNDS),
            targets=TARGETS,
            notes={"tokens": TOKENS, "connections": CONNECTIONS, "http_client": "our own"},
        )


if __name__ == "__main__":
    main()
