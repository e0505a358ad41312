"""Payments a second, each acknowledged once it is durable and in its payer's balance (fsync on).

    python -m benchmarks payments

A whole payment: asked for, taken by the provider, its answer recorded, the money in the ledger.
Host of the payments' owners, handle, courier and callers share one process (no Ray), PostgreSQL has
its own. Against a provider in memory that takes everything at once, so that what is left is ours;
latencies are those of 200 payments a second, from when each was due. Against Stripe's stand-in in a
process of its own, through Stripe's library, over HTTP, every exchange recorded, as in production.

The part is the same owner with batches of one command. The peer is DBOS, a durable workflow engine
on the same PostgreSQL, with a provider in memory too and two tables instead of our record.
Afterwards the ledger is derived anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path

import uvloop

from actors.runtime.limits import Limits
from benchmarks import python_peers
from benchmarks.harness import Contender, Direction, Figures, Target, compare, rounds, servers
from benchmarks.payments_flow import InstantGateway, Orchestrator, open_stripe
from deployments.launcher.server import is_free

SECONDS = float(os.environ.get("VIBESTREAM_BENCH_SECONDS", "5"))
PACE, CALLERS, LONE_CALLERS, STRIPE_CALLERS = 200.0, 64, 16, 256
BATCH, ALONE = Limits(batch_commands=1_000), Limits(batch_commands=1)
PORTS = cycle(range(18_900, 18_950))
RATE = "provider in memory: payments/s"
P50, P99 = "p50 ms at 200/s", "p99 ms at 200/s"
STRIPE_RATE = "Stripe's stand-in: payments/s"
BETTER: dict[str, Direction] = {RATE: "higher", P50: "lower", P99: "lower", STRIPE_RATE: "higher"}
TARGETS = [Target(P50, 5), Target(P99, 20), Target(STRIPE_RATE, 1_000)]
PEER = Path(__file__).with_name("peers") / "payments_peer.py"
DBOS = "DBOS, three durable steps"


@contextmanager
def stand_in() -> Iterator[str]:
    """The URL of Stripe's stand-in, in a process of its own."""
    port = next(port for port in PORTS if is_free(port))
    process = subprocess.Popen([sys.executable, "-m", "simulators.payments.stripe", str(port)])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def ours(url: str, stripe_url: str) -> Figures:
    """All figures of a fresh database."""
    memory = Orchestrator(url, lambda _: InstantGateway(), BATCH)
    await memory.open()
    await memory.flat_out(CALLERS, 1.0)
    paced = await memory.paced(PACE, SECONDS)
    full = await memory.flat_out(CALLERS, SECONDS)
    await memory.close()
    stripe = Orchestrator(url, partial(open_stripe, stripe_url), BATCH)
    await stripe.open()
    await stripe.flat_out(CALLERS, 1.0)
    through = await stripe.flat_out(STRIPE_CALLERS, SECONDS)
    await stripe.close()
    return {
        RATE: full["payments/s"],
        P50: paced["p50 ms"],
        P99: paced["p99 ms"],
        STRIPE_RATE: through["payments/s"],
        "Stripe's stand-in: p50 ms": through["p50 ms"],
        "Stripe's stand-in: p99 ms": through["p99 ms"],
    }


async def alone(url: str) -> Figures:
    """A transaction a step."""
    orchestrator = Orchestrator(url, lambda _: InstantGateway(), ALONE)
    await orchestrator.open()
    await orchestrator.flat_out(LONE_CALLERS, 1.0)
    found = await orchestrator.flat_out(LONE_CALLERS, SECONDS)
    await orchestrator.close()
    return {RATE: found["payments/s"]}


def measure_ours() -> Figures:
    """On servers of its own."""
    with servers() as (postgres_url, _), stand_in() as stripe_url:
        return uvloop.run(ours(postgres_url, stripe_url))


def measure_alone() -> Figures:
    """On servers of its own."""
    with servers() as (postgres_url, _):
        return uvloop.run(alone(postgres_url))


def measure_dbos() -> Figures:
    """On servers of its own, in the peers' environment."""
    with servers() as (postgres_url, _):
        command = [str(python_peers.PYTHON), str(PEER), postgres_url, str(LONE_CALLERS)]
        done = subprocess.run(
            [*command, str(SECONDS)], capture_output=True, text=True, check=True, timeout=120
        )
    return {RATE: json.loads(done.stdout)["payments/s"]}


def main() -> None:
    """Print the table and write benchmarks/results/payments.json."""
    contenders = [
        Contender("payments' owner", "ours", measure_ours),
        Contender("a transaction a step", "part", measure_alone),
    ]
    if why := python_peers.missing().get("dbos"):
        print(f"without DBOS: {why}")
    else:
        contenders.append(Contender(DBOS, "peer", measure_dbos))
    compare(
        "payments",
        contenders,
        unit="whole payments, fsync on",
        better=BETTER,
        rounds=rounds(3),
        targets=[*TARGETS, Target(RATE, 5, DBOS)],
        notes={"seconds": SECONDS, "callers": CALLERS, "callers_of_stripe": STRIPE_CALLERS},
    )


if __name__ == "__main__":
    main()
