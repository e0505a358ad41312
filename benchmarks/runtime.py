"""Commands a second from a Serve replica to journalled entities in a host actor, over Ray.

    python -m benchmarks runtime

As in the engine: PostgreSQL with fsync, a host actor (`EntityHost`) with 100,000 live counters, and
a Ray Serve replica in which concurrent callers ask them through one typed handle. 1, 64 and 512
callers add, each command journalled before it is answered. To fill a host takes more: 2,000 that
add (`journalled`), 4,000 that read (`in memory`: nothing is written, though each batch still asks
the database whether its partitions are its own); their latency is the time in the queue.

The peer is an actor call a command, as Ray is used without a runtime: the plain actor keeps its
numbers in memory, has no journal, no idempotency, and forgets everything when it dies.

Recovery: the host is killed (SIGKILL) with all entities in memory; a command to each of 1,000
random ones is under way from that moment. Every number is read before and after, and must be right.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.child import Child
from benchmarks.harness import Contender, Direction, Figures, Target, compare, rounds, servers
from deployments.cluster import MARK, kill_marked
from storage.migrate import migrate

CALLERS = (1, 64, 512)
JOURNALLED_CALLERS = 2_000
IN_MEMORY_CALLERS = 4_000
SECONDS = 2.0
SAMPLE = 1_000
STOP_S = 20.0
RATE = "commands/s"
JOURNALLED, IN_MEMORY = f"journalled: {RATE}", f"in memory: {RATE}"
FIRST_ANSWER, ALL_ANSWERS = "recovery: first answer s", "recovery: 1,000 entities s"
PEER = "an actor call a command"
BETTER: dict[str, Direction] = {
    JOURNALLED: "higher",
    IN_MEMORY: "higher",
    **{f"{callers} callers: {RATE}": "higher" for callers in CALLERS},
    FIRST_ANSWER: "lower",
    ALL_ANSWERS: "lower",
}
TARGETS = [
    Target(JOURNALLED, 20_000),
    Target(IN_MEMORY, 50_000),
    Target(FIRST_ANSWER, 5),
    Target(ALL_ANSWERS, 5),
]


class Session:
    """Ray and what runs on it, in a process of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def runtime(self) -> Figures:
        """Everything, through the handle."""
        found: dict[str, float] = {}
        for name, callers in (("journalled", JOURNALLED_CALLERS), ("in memory", IN_MEMORY_CALLERS)):
            figures = self._measure(name, callers)
            found |= {f"{name}: {figure}": value for figure, value in figures.items()}
        found |= self._by_callers("journalled")
        recovery = self._ask("recover", SAMPLE)
        return found | {f"recovery: {figure}": value for figure, value in recovery.items()}

    def plain(self) -> Figures:
        """A call a command."""
        return self._by_callers("plain")

    def _by_callers(self, way: str) -> Figures:
        return {
            f"{callers} callers: {figure}": value
            for callers in CALLERS
            for figure, value in self._measure(way, callers).items()
        }

    def _measure(self, way: str, callers: int) -> Figures:
        return self._ask("measure", way, callers, SECONDS)

    def _ask(self, *words: str | float) -> Figures:
        self._child.tell("\t".join(map(str, words)))
        said = self._child.line()
        if not said:
            raise RuntimeError(f"the session broke during: {words}")
        figures: dict[str, float] = json.loads(said)
        return figures


@contextmanager
def session(url: str) -> Iterator[Session]:
    """A session on the database; no process and no file of it is left afterwards."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="vs-") as folder:
        command = [sys.executable, "-m", "benchmarks.runtime_server", folder]
        try:
            child = Child(command, {MARK: mark, "VIBESTREAM_POSTGRES_URL": url}, stop_s=STOP_S)
            try:
                yield Session(child)
            finally:
                child.stop()
        finally:
            kill_marked(mark)


def main() -> None:
    """Print the table and write benchmarks/results/runtime.json."""
    import asyncio

    with servers() as (url, _):
        asyncio.run(migrate(url))
        with session(url) as ray:
            compare(
                "runtime",
                [
                    Contender("typed handle to an entity host", "ours", ray.runtime),
                    Contender(PEER, "peer", ray.plain),
                ],
                unit="Ray Serve replica to host actor, fsync on",
                better=BETTER,
                rounds=rounds(5),
                targets=TARGETS,
                notes={
                    "callers": {"journalled": JOURNALLED_CALLERS, "in memory": IN_MEMORY_CALLERS},
                    "seconds": SECONDS,
                },
            )


if __name__ == "__main__":
    main()
