"""Orders a second, each acknowledged once it is durable and what it traded is settled (fsync on).

    python -m benchmarks market

Callers ask the books' owner through a handle of the actor runtime. Its host matches what has
arrived and commits it as one batch: the book's journal, holds, trades in the ledger, read models,
outbox, each command's key. Host, handle and callers share one process (no Ray), PostgreSQL has its
own. The mix is that of `market_flow`: 50 % passive, 35 % cancels, 10 % marketable, 5 % replace.

The part is the same owner with batches of one command: a transaction an order, as is usual.
Afterwards the ledger is derived anew, and each book is matched again from its journal.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from itertools import cycle

from actors.market import MarketKind
from actors.runtime.handle import Handle
from actors.runtime.host import Host
from actors.runtime.limits import HandleLimits, Limits
from actors.runtime.transport_local import LocalTransport
from benchmarks.harness import Contender, Direction, Figures, Target, compare, percentile, servers
from benchmarks.market_flow import PRICE_MINOR, TICK_MINOR, Flow
from deployments.composition.common import collect_seldom
from domain.policy import MarketPolicy
from messages.errors import Refusal
from messages.keys import derive_id
from messages.ledger import account, transfer
from messages.market import ActivateIssue, BuyShares, DraftIssue, issue_id_of
from messages.market.accounts import available
from messages.market.orders import OpenTrading, OrderView
from storage import ledger, placement
from storage.database import KEYED, Pool, open_pool
from storage.migrate import migrate

SECONDS = float(os.environ.get("VIBESTREAM_BENCH_SECONDS", "5"))
HOST, CURRENCY = "bench-0", "USD"
USERS = [derive_id("bench-user", n) for n in range(200)]
SHARES_EACH = 45
FUNDS_MINOR = 10**12
ISSUE = account("outside", "treasury", "issue", CURRENCY)
# The flow trades across its whole spread on purpose; one user may have any number of orders.
POLICY = MarketPolicy(
    static_band_bps=5_000, dynamic_band_bps=5_000, auction_ms=1, max_open_orders=1_000_000
)
WAYS = {"one book": 1, "16 books": 16}
CALLERS, LONE_CALLERS = 1_000, 64
BATCH, ALONE = Limits(batch_commands=1_000), Limits(batch_commands=1)
BETTER: dict[str, Direction] = {f"{way}: orders/s": "higher" for way in WAYS}


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Bench:
    """A database with issues that trade, and a host that owns them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kind = MarketKind(POLICY)
        self.transport = LocalTransport()
        self.pool: Pool
        self.flows: list[Flow] = []

    async def open(self) -> None:
        """Migrate, fund the users, sell and open the issues."""
        await migrate(self.url)
        self.pool = await open_pool(self.url, settings=KEYED)
        await placement.ensure(
            self.pool, self.kind.name, dict.fromkeys(range(self.kind.partitions), HOST)
        )
        await self._fund()
        host = await self.start(Limits())
        handle = self.handle()
        for number in range(max(WAYS.values())):
            self.flows.append(await self._issue(handle, number))
        await asyncio.sleep(1)  # the auctions end
        await handle.close()
        await host.stop()

    async def start(self, limits: Limits) -> Host:
        """A host of all books."""
        host = Host(HOST, [self.kind], self.pool, now_ms, limits)
        await host.start()
        self.transport.add(HOST, host)
        return host

    def handle(self) -> Handle:
        """A caller's."""

        async def placed(kind: str) -> dict[int, str]:
            return await placement.read(self.pool, kind)

        limits = HandleLimits(commands_a_call=1_000)
        return Handle(self.kind, self.transport, placed, limits)

    async def close(self) -> None:
        """Prove the ledger, then let go."""
        async with self.pool.acquire() as connection:
            assert await ledger.verify(connection) == []
        await self.pool.close()

    async def run(self, limits: Limits, callers: int) -> Figures:
        """Both ways, after a second that does not count."""
        host, handle = await self.start(limits), self.handle()
        figures: dict[str, float] = {}
        for way, books in WAYS.items():
            flows = self.flows[:books]
            await self._measure(handle, flows, callers, 1.0)
            for name, value in (await self._measure(handle, flows, callers, SECONDS)).items():
                figures[f"{way}: {name}"] = value
            await self.pool.execute("truncate bus.outbox")
            await self.pool.execute("vacuum analyze")
            await self.pool.execute("checkpoint")
        await handle.close()
        await host.stop()
        return figures

    async def _measure(
        self, handle: Handle, flows: list[Flow], callers: int, seconds: float
    ) -> Figures:
        latencies_ms: list[float] = []
        refused: Counter[str] = Counter()
        end = time.perf_counter() + seconds

        async def caller(flow: Flow) -> None:
            while (asked := time.perf_counter()) < end:
                try:
                    answer = await handle.ask(flow.issue_id, flow.next(), key=os.urandom(16))
                except Refusal as refusal:
                    refused[refusal.code] += 1
                    continue
                latencies_ms.append((time.perf_counter() - asked) * 1e3)
                assert isinstance(answer, OrderView)
                flow.learn(answer)

        began = time.perf_counter()
        shared = [flow for flow, _ in zip(cycle(flows), range(callers), strict=False)]
        await asyncio.gather(*map(caller, shared))
        took = time.perf_counter() - began
        latencies_ms.sort()
        return {
            "orders/s": len(latencies_ms) / took,
            "refused/s": refused.total() / took,
            "p50 ms": percentile(latencies_ms, 50),
            "p99 ms": percentile(latencies_ms, 99),
        }

    async def _issue(self, handle: Handle, number: int) -> Flow:
        song_id, artist = derive_id("bench-song", number), derive_id("bench-artist", number)
        issue_id = issue_id_of(song_id, 1)
        draft = DraftIssue(
            song_id, artist, CURRENCY, 10_000, 1_000, PRICE_MINOR, 1, 5_000, TICK_MINOR
        )
        bought = [BuyShares(derive_id(issue_id, u), u, SHARES_EACH, PRICE_MINOR) for u in USERS]
        for command in (draft, ActivateIssue()):
            await handle.ask(issue_id, command, key=os.urandom(16))
        await asyncio.gather(*(handle.ask(issue_id, b, key=os.urandom(16)) for b in bought))
        await handle.ask(issue_id, OpenTrading(), key=os.urandom(16))
        return Flow(issue_id, USERS, number)

    async def _fund(self) -> None:
        funds = [
            transfer(
                os.urandom(16), ISSUE, available(user, CURRENCY), FUNDS_MINOR,
                cause="bench:fund", purpose="issue",
            )
            for user in USERS
        ]  # fmt: skip
        async with self.pool.acquire() as connection, connection.transaction():
            await ledger.post(connection, funds, now_ms())


def main() -> None:
    """Print the table and write benchmarks/results/market.json."""
    import uvloop

    with servers() as (url, _), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        bench = Bench(url)
        runner.run(bench.open())
        collect_seldom()  # as the process of a host does

        def by(limits: Limits, callers: int) -> Callable[[], Figures]:
            return lambda: runner.run(bench.run(limits, callers))

        compare(
            "market",
            [
                Contender("order books' owner", "ours", by(BATCH, CALLERS)),
                Contender("a transaction an order", "part", by(ALONE, LONE_CALLERS)),
            ],
            unit="settled orders, fsync on",
            better=BETTER,
            targets=[Target(figure, 15_000) for figure in BETTER],
        )
        runner.run(bench.close())


if __name__ == "__main__":
    main()
