"""Claims a second through the API of a whole running engine: proved, verified, paid, durable.

    python -m benchmarks claims

`vibestream run` as an operator has it (HAProxy, Serve, entity hosts, bus, PostgreSQL with fsync),
with a test key whose trapdoor is known, so that proofs cost a millisecond; they are verified in
earnest. Users and proofs are made before the clock starts; the client runs beside the engine on
the same cores. A claim counts once its answer says that it is paid, which is after the commit.
Afterwards the ledger is derived anew, each nullifier is there once, and what trickles through
the bus (limits settled, payees credited) is waited for and timed.

Two forms: up to 32 claims of one caller a request, and one claim a request.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import httpx

from benchmarks.harness import Contender, Direction, Figures, Target, compare, percentile, rounds
from benchmarks.http_load import CONTENT_LENGTH, END_OF_HEAD
from benchmarks.running_engine import Engine, new_user, running
from simulators.proofs import VERSION, Prover, scalar

SECONDS = float(os.environ.get("VIBESTREAM_BENCH_SECONDS", "8"))
DRAIN_S = 120.0
MANY, MANY_CALLERS = 32, 6
ALONE, ALONE_CALLERS = 1, 48
MOST_A_USER = 32  # a day allows 50
STEP_MS = 1_000  # so little that no day's amount is reached
RATE = f"{MANY} a request: claims/s"
SINGLE = "1 a request: claims/s"
BETTER: dict[str, Direction] = {RATE: "higher", SINGLE: "higher"}


class Request(NamedTuple):
    """A request that is ready to be sent, head and all."""

    sent: bytes
    claims: int


class Bench:
    """Makes requests ahead of time, sends them, and looks at what came of them."""

    def __init__(self, engine: Engine, connection: asyncpg.Connection[Any]) -> None:
        self._engine = engine
        self._sql = connection
        self._prover = Prover()
        self._pool: dict[str, Any] = {}
        self._root, self._epoch = 0, 0
        self.paid = 0

    async def prepare(self) -> None:
        """See that the pool's tree has a leaf: it need not be anybody's for a known trapdoor."""
        async with httpx.AsyncClient(base_url=self._engine.url, timeout=30) as client:
            [self._pool] = (await client.get("/api/v1/reward-pools")).json()["items"]
            path = f"/api/v1/reward-pools/{self._pool['pool_id']}"
            self._epoch = (await client.get(path)).json()["epoch"]
        self._root = scalar("a root of the benchmark")
        await self._sql.execute(
            "insert into rewards.roots (pool_id, epoch, leaves, root) values ($1, $2, $3, $4) "
            "on conflict do nothing",
            *(self._pool["pool_id"], self._epoch, 2**20, str(self._root)),
        )

    async def requests(self, claims: int, count: int) -> list[Request]:
        """So many requests of so many claims, of users who claim no more than a day allows."""
        made: list[Request] = []
        left, token, user_id = 0, "", ""
        for _ in range(count):
            if left < claims:
                user_id, left = await new_user(self._sql), MOST_A_USER
                token = self._engine.token(user_id)
            left -= claims
            made.append(self._request(user_id, token, claims))
        return made

    def _request(self, user_id: str, token: str, claims: int) -> Request:
        proved = [self._claim(user_id) for _ in range(claims)]
        common = {"pool_id": self._pool["pool_id"], "key_version": VERSION}
        body = {**common, "claims": proved} if claims > 1 else {**common, **proved[0]}
        path = "/api/v1/rewards/claims" + ("/batch" if claims > 1 else "")
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {urlsplit(self._engine.url).netloc}\r\n"
            f"Authorization: Bearer {token}\r\nIdempotency-Key: {uuid.uuid4().hex}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return Request(head.encode() + content, claims)

    def _claim(self, user_id: str) -> dict[str, Any]:
        nullifier, recipient = scalar(uuid.uuid4().hex), uuid.UUID(user_id).int
        signals = [nullifier, self._root, STEP_MS, 10_500, recipient, self._epoch]
        proof = self._prover.prove(signals)
        return {"proof": proof, "public_signals": [str(value) for value in signals]}

    async def send(self, requests: Sequence[Request], callers: int) -> tuple[float, list[float]]:
        """Claims paid a second, and how long each request took, in milliseconds."""
        waiting, latencies_ms, paid = iter(requests), list[float](), 0
        address = urlsplit(self._engine.url)

        async def caller() -> None:
            nonlocal paid
            streams = await asyncio.open_connection(address.hostname, address.port)
            for request in waiting:
                asked = time.perf_counter()
                answer = await _answer(*streams, request)
                latencies_ms.append((time.perf_counter() - asked) * 1e3)
                paid += _paid(answer, request)
            streams[1].close()

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        seconds = time.perf_counter() - began
        self.paid += paid
        assert paid == sum(request.claims for request in requests), "some claims were not paid"
        return paid / seconds, sorted(latencies_ms)

    async def drained(self) -> float:
        """Seconds until all that was paid is settled and credited."""
        began = time.perf_counter()
        query = "select count(*) from rewards.credits where claims > 0 and payout is null"
        async with asyncio.timeout(DRAIN_S):
            while await self._sql.fetchval(query):  # noqa: ASYNC110 - a table
                await asyncio.sleep(0.1)
        return time.perf_counter() - began

    async def check(self) -> None:
        """Every claim that was answered as paid is there, once, and the ledger agrees."""
        spent = await self._sql.fetchval("select count(*) from rewards.nullifiers")
        credited = await self._sql.fetchval("select sum(claims) from rewards.credits")
        assert (spent, credited) == (self.paid, self.paid), (spent, credited, self.paid)
        await self._engine.verify()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request
) -> bytes:
    """The body of the answer. Raises RuntimeError for one that is no success."""
    writer.write(request.sent)
    head = await reader.readuntil(END_OF_HEAD)
    length = CONTENT_LENGTH.search(head, 0, len(head) - 2)
    assert length is not None, head
    body = await reader.readexactly(int(length[1]))
    if not head.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(body.decode())
    return body


def _paid(answer: bytes, request: Request) -> int:
    """How many claims of the request the answer says are paid."""
    if request.claims == 1:
        return 1
    return sum(result["code"] is None for result in json.loads(answer)["results"])


async def measure(engine: Engine, claims: int, callers: int) -> Figures:
    """One form: warmed up, then timed over enough requests for SECONDS or so."""
    connection = await asyncpg.connect(engine.postgres_url)
    try:
        bench = Bench(engine, connection)
        await bench.prepare()
        before = await connection.fetchval("select count(*) from rewards.nullifiers")
        bench.paid = before
        trial, _ = await bench.send(await bench.requests(claims, 4 * callers), callers)
        count = max(4 * callers, round(trial * SECONDS / claims))
        rate, latencies_ms = await bench.send(await bench.requests(claims, count), callers)
        drained_s = await bench.drained()
        await bench.check()
    finally:
        await connection.close()
    name = f"{claims} a request"
    return {
        f"{name}: claims/s": rate,
        f"{name}: p50 ms": percentile(latencies_ms, 50),
        f"{name}: p99 ms": percentile(latencies_ms, 99),
        f"{name}: settled after s": drained_s,
    }


def both(engine: Engine) -> Figures:
    """Both forms, one after the other, on the same engine."""
    many = asyncio.run(measure(engine, MANY, MANY_CALLERS))
    return {**many, **asyncio.run(measure(engine, ALONE, ALONE_CALLERS))}


def main() -> None:
    """Print the table and write benchmarks/results/claims.json."""
    with running(keys=Prover()) as engine:
        compare(
            "claims",
            [Contender("the whole engine", "ours", lambda: both(engine))],
            unit="proofs verified, paid, fsync on, client beside it",
            better=BETTER,
            rounds=rounds(3),
            targets=[Target(RATE, 1_000)],
        )


if __name__ == "__main__":
    main()
