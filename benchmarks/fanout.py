"""One message to many WebSocket listeners: how many a second, how late, at what cost in memory.

    python -m benchmarks fanout

Messages are 200 bytes of the same JSON whoever sends them. Servers run in a process of their own:
our door (hub and picows listener; no Ray), node `ws`, `websockets`' broadcast, node `socket.io`.
The listeners run in this process, on picows.

- flat out: to 500 and to 2,000 listeners. The next messages are asked for as the last ones arrive,
  so nobody's buffers overflow. `busy` is the share of the time that a process computed.
- paced: 20 messages a second to 2,000 listeners; latency from when a message was due. Then again
  with 20 stalled listeners among them, whose buffers were filled before.
- kB a connection: growth of the server's memory (PSS where there is one) from 1 to 2,000 idle
  listeners, after garbage collection.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from benchmarks import node
from benchmarks.child import Child
from benchmarks.fanout_client import OURS, PLAIN, SOCKET_IO, Audience, Dialect, flat_out, paced
from benchmarks.fanout_message import Template, template
from benchmarks.harness import (
    Contender,
    Direction,
    Figures,
    Target,
    compare,
    percentile,
    rounds,
)

FEW, MANY, STALLED = 500, 2_000, 20
FLAT_OUT_S = 2.0
WINDOW_DELIVERIES = 32_000
RATE, PACED_MESSAGES = 20, 60
FILL = 3_000  # messages of 200 bytes: beyond what the kernel takes, short of our hard limit
OPEN_FILES = 16_384
PYTHON = (sys.executable, "-m", "benchmarks.fanout_server")
NODE = ("node", "--expose-gc", str(node.PEERS / "fanout.mjs"))

FLAT_FEW, FLAT_MANY = f"{FEW} listeners: deliveries/s", f"{MANY:,} listeners: deliveries/s"
P50, P99 = f"{RATE}/s to {MANY:,}: p50 ms", f"{RATE}/s to {MANY:,}: p99 ms"
P99_STALLED = f"{RATE}/s, {STALLED} stalled: p99 ms"
MEMORY = "kB a connection"
BETTER: dict[str, Direction] = {
    FLAT_FEW: "higher",
    FLAT_MANY: "higher",
    P50: "lower",
    P99: "lower",
    P99_STALLED: "lower",
    MEMORY: "lower",
}
SAME_CLASS = 0.7  # of node `ws`
TARGETS = [
    Target(P99, 100),
    Target(P99_STALLED, 100),
    Target(MEMORY, 30),
    *(Target(flat, SAME_CLASS, "node ws") for flat in (FLAT_FEW, FLAT_MANY)),
    *(
        Target(flat, 1, peer)
        for flat in (FLAT_FEW, FLAT_MANY)
        for peer in ("websockets", "socket.io")
    ),
]


@dataclass
class Run:
    """A server and its listeners."""

    server: Child
    audience: Audience

    async def do(self, line: str) -> None:
        """Have the server do something and wait until it is done."""
        self.server.tell(line)
        answer = await asyncio.to_thread(self.server.line)
        assert answer == "done", answer

    async def memory(self, listeners: int) -> Figures:
        """Connect so many, and see what a connection costs the server."""
        await self.audience.grow(1)
        await self.do("collect")
        before = self.server.memory_bytes()
        await self.audience.grow(listeners)
        await self.do("collect")
        grown = self.server.memory_bytes() - before
        return {MEMORY: grown / (listeners - 1) / 1_000}

    async def flat_out(self, figure: str) -> Figures:
        """Deliveries a second to all who are connected, and how busy both sides were."""
        gc.collect()
        gc.disable()  # the listeners must not be what is measured
        window = max(8, WINDOW_DELIVERIES // len(self.audience))
        server_s, own_s, began = self.server.busy_s(), time.process_time(), time.perf_counter()
        per_second = await flat_out(
            self.audience, lambda n: self.server.tell(f"send {n}"), window, FLAT_OUT_S
        )
        seconds = time.perf_counter() - began
        gc.enable()
        group = figure.partition(":")[0]
        return {
            figure: per_second,
            f"{group}: server busy %": 100 * (self.server.busy_s() - server_s) / seconds,
            f"{group}: client busy %": 100 * (time.process_time() - own_s) / seconds,
        }

    async def paced(self) -> Sequence[float]:
        """Latencies at RATE messages a second."""
        start: Callable[[], None] = lambda: self.server.tell(f"pace {RATE} {PACED_MESSAGES}")  # noqa: E731
        return await paced(self.audience, start, PACED_MESSAGES)


@contextlib.asynccontextmanager
async def running(command: Sequence[str], dialect: Dialect, said: Template) -> AsyncIterator[Run]:
    """A server without listeners yet; all ends with the block."""
    server = await asyncio.to_thread(Child, (*command, said.head, said.tail, str(said.width)))
    audience = Audience(int(server.said), dialect, said.width)
    try:
        yield Run(server, audience)
    finally:
        await audience.close()
        server.stop()


async def measure(command: Sequence[str], dialect: Dialect) -> Figures:
    """All figures of a server, from a fresh process."""
    async with running(command, dialect, template()) as run:
        memory = await run.memory(MANY)
        many = await run.flat_out(FLAT_MANY)
        alone = await run.paced()
        await run.audience.stall(STALLED)
        await run.do(f"fill {FILL}")
        beside = await run.paced()
        await run.audience.release()
        await run.audience.shrink(FEW)
        few = await run.flat_out(FLAT_FEW)
    latencies = {P50: percentile(alone, 50), P99: percentile(alone, 99)}
    return {**few, **many, **latencies, P99_STALLED: percentile(beside, 99), **memory}


def raise_open_files() -> None:
    """Room for a connection's file on this side; servers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def contender(name: str, command: Sequence[str], dialect: Dialect) -> Contender:
    """A server as the harness runs it."""
    import uvloop

    role = "ours" if dialect is OURS else "peer"
    return Contender(name, role, lambda: uvloop.run(measure(command, dialect)))  # type: ignore[arg-type]


def main() -> None:
    """Print the table and write benchmarks/results/fanout.json."""
    raise_open_files()
    contenders = [
        contender("VibeStream's door", (*PYTHON, "ours"), OURS),
        contender("websockets", (*PYTHON, "websockets"), PLAIN),
    ]
    notes = {"message_bytes": 200, "stalled_fill_messages": FILL, "load_client": "picows"}
    if why := node.missing():
        print(f"without node ws and socket.io: {why}")
    else:
        contenders.insert(1, contender("node ws", (*NODE, "ws"), PLAIN))
        contenders.append(contender("socket.io", (*NODE, "socket.io"), SOCKET_IO))
        notes["peers"] = node.versions()
    compare(
        "fanout",
        contenders,
        unit="200-byte messages",
        better=BETTER,
        rounds=rounds(3),
        targets=TARGETS,
        notes=notes,
    )


if __name__ == "__main__":
    main()
