"""Orders a second through the doors of a whole running engine, each durable, its trades settled.

    python -m benchmarks market_doors

`vibestream run` as an operator has it (HAProxy, Serve, entity hosts, bus, PostgreSQL with fsync)
and the mix of `benchmarks/market` on one book: 50 % passive orders, 35 % cancels, 10 % marketable
ones, 5 % replacements. Each trader has a connection and a token: over HTTP/1.1, kept alive, one
request at a time, of one order or of up to 16; over the WebSocket, several calls side by side, as
many messages a second as the door allows. First as fast as answers come, then at half of the rate
that this reached, latencies from when an order was due. What is refused, mostly a cancel of an
order that was filled meanwhile, is no order of these.

The client is one process on the same cores; how much of them it took is shown with what every
process of the engine took, in microseconds of CPU an order. Afterwards the ledger is derived anew,
and the book is matched again from its journal.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import asyncpg
import uvloop

from benchmarks.cpu_parts import between, look
from benchmarks.harness import Contender, Direction, Figures, Target, compare, percentile, rounds
from benchmarks.market_doors_client import (
    Tally,
    Trader,
    flat_out,
    http_lines,
    paced,
    socket_lines,
)
from benchmarks.market_flow import PRICE_MINOR, TICK_MINOR
from benchmarks.running_engine import Engine, new_user, running
from demo.client import Api

SECONDS = float(os.environ.get("VIBESTREAM_BENCH_SECONDS", "8"))
WARM_S = 2.0
ROUNDS = 2
TRADERS, HTTP_TRADERS, BATCH_TRADERS = 200, 64, 48
DEPTH = 4  # calls under way on a WebSocket
MANY = 16  # orders of a request
AUCTION_MS = 1_000
CURRENCY = "USD"
TERMS: dict[str, Any] = {
    "currency": CURRENCY,
    "shares": 10_000,
    "retained": 1_000,
    "price_minor": PRICE_MINOR,
    "tick_minor": TICK_MINOR,
    "cap_bps": 5_000,
}
SHARES_EACH, CASH_MINOR = 45, 10**9
HTTP, BATCH, SOCKET = "HTTP", "HTTP, up to 16 a request", "WebSocket"
DOORS = (SOCKET, BATCH, HTTP)
RATES = {door: f"{door}: orders/s" for door in DOORS}
HALF_P99 = {door: f"{door}: p99 ms at half" for door in RATES}
BETTER: dict[str, Direction] = {
    **dict.fromkeys(RATES.values(), "higher"),
    **dict.fromkeys(HALF_P99.values(), "lower"),
}
TARGETS = [Target(f, 5_000) for f in RATES.values()] + [Target(f, 50) for f in HALF_P99.values()]


class Round(NamedTuple):
    """What was measured; microseconds of CPU an order by door and part of the engine."""

    figures: Figures
    spent_us: Mapping[str, Mapping[str, float]]


class Bench:
    """A book that trades, its traders, and what each part of the engine spent on their orders."""

    def __init__(self, engine: Engine, connection: asyncpg.Connection[Any]) -> None:
        self._engine = engine
        self._sql = connection
        self.traders: list[Trader] = []
        self.spent_us: dict[str, dict[str, float]] = {}

    async def open(self) -> None:
        """Issue a song's shares, sell some to each trader, open the book."""
        password = json.loads((self._engine.settings.folder / "demo.json").read_text("utf-8"))
        async with Api(self._engine.url) as artist, Api(self._engine.url) as admin:
            await artist.sign_in("demo-artist", password["password"])
            await admin.sign_in("demo-admin", password["password"])
            song = (await artist.get("/songs?limit=100"))["items"][0]
            drafted = {"song_id": song["song_id"], **TERMS}
            issue_id = (await artist.post("/issues", drafted))["issue_id"]
            await admin.post(f"/issues/{issue_id}/activation", {})
            await self._enter(issue_id, admin)
            await admin.post(f"/books/{issue_id}/opening", {})
        await asyncio.sleep(2 * AUCTION_MS / 1_000)

    async def _enter(self, issue_id: str, admin: Api) -> None:
        """Traders with cash and shares. The demo's admin gives the cash."""
        users = [await new_user(self._sql) for _ in range(TRADERS)]
        bought = {"shares": SHARES_EACH, "price_minor": PRICE_MINOR}
        async with Api(self._engine.url) as fan:
            for number, user_id in enumerate(users):
                cash = {"user_id": user_id, "currency": CURRENCY, "amount_minor": CASH_MINOR}
                await admin.post("/treasury/credits", cash)
                fan.token = self._engine.token(user_id)
                await fan.post(f"/issues/{issue_id}/purchases", bought)
                self.traders.append(Trader(issue_id, fan.token, number))

    async def through(self, door: str) -> Figures:
        """As fast as it goes, then at half of that."""
        if door == HTTP:
            lines = await http_lines(self._engine, self.traders[:HTTP_TRADERS])
        elif door == BATCH:
            lines = await http_lines(self._engine, self.traders[:BATCH_TRADERS], MANY)
        else:
            lines = await socket_lines(self._engine, self.traders, DEPTH)
        try:
            await flat_out(lines, WARM_S)
            before, began = await look(self._engine, self._sql), time.perf_counter()
            full = await flat_out(lines, SECONDS)
            took_s = time.perf_counter() - began
            spent = between(before, await look(self._engine, self._sql))
            rate = len(full.latencies_ms) / took_s
            await paced(lines, rate / 2, WARM_S)  # what the full speed left behind is dealt with
            half = await paced(lines, rate / 2, SECONDS)
        finally:
            for line in lines:
                line.close()
        self.spent_us[door] = {
            part: round(seconds * 1e6 / len(full.latencies_ms), 1)
            for part, seconds in spent.items()
            if seconds
        }
        return {
            f"{door}: orders/s": rate,
            f"{door}: refused/s": full.refused.total() / took_s,
            **_latencies(door, full, ""),
            **_latencies(door, half, " at half"),
        }

    async def check(self) -> None:
        """The ledger agrees with itself, and the book with its journal."""
        await self._engine.verify()


def _latencies(door: str, tally: Tally, when: str) -> Figures:
    ordered = sorted(tally.latencies_ms)
    return {f"{door}: p{p} ms{when}": percentile(ordered, p) for p in (50, 99)}


def _show(spent_us: Mapping[str, Mapping[str, float]]) -> None:
    """Print where the time went."""
    for door, parts in spent_us.items():
        print(f"{door}: microseconds of CPU an order, {sum(parts.values()):,.0f} in all")
        for part, spent in parts.items():
            print(f"  {part:<40} {spent:>10,.1f}")


async def measure(engine: Engine) -> list[Round]:
    """Every round's figures, and where its time went."""
    connection = await asyncpg.connect(engine.postgres_url)
    try:
        bench = Bench(engine, connection)
        await bench.open()
        made: list[Round] = []
        for _ in range(rounds(ROUNDS)):
            figures: dict[str, float] = {}
            for door in DOORS:
                figures |= await bench.through(door)
            made.append(Round(figures, dict(bench.spent_us)))
        await bench.check()
    finally:
        await connection.close()
    return made


def main() -> None:
    """Print the table and write benchmarks/results/market_doors.json."""
    with running({"VIBESTREAM_AUCTION_MS": str(AUCTION_MS)}) as engine:
        made = uvloop.run(measure(engine))
    answers = iter(made)
    spent_us = made[-1].spent_us
    compare(
        "market_doors",
        [Contender("the whole engine", "ours", lambda: next(answers).figures)],
        unit="settled orders, fsync on, client beside it",
        better=BETTER,
        rounds=len(made),
        targets=TARGETS,
        notes={"cpu_us_an_order": spent_us, "seconds": SECONDS, "traders": TRADERS},
    )
    _show(spent_us)


if __name__ == "__main__":
    main()
