"""Poseidon and the Merkle tree: microseconds a hash and a leaf, one core.

    python -m benchmarks poseidon

Rows of consecutive numbers, ours in one call. Peers: circomlibjs (WebAssembly, warm, in node) and
Python's integers on the same constants. All must agree on the last hash. The tree has depth 20: a
leaf alone takes 20 hashes, one of a batch little more than one. A round's figure is the fastest of
ten turns, for all alike: what else the machine does should weigh little.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from benchmarks import harness, node
from benchmarks.child import Child
from benchmarks.harness import Contender, Direction, Figures, Target, compare
from kernels.merkle import append_many, empty
from kernels.poseidon import LIMBS, ORDER, from_limbs, hash_array, to_limbs
from kernels.poseidon.constants import FULL_ROUNDS, instance

DEPTH, BATCH, TURNS = 20, 1_000, 10
COUNTS = {2: 500, 4: 300, 14: 100}  # hashes a turn, by inputs
PLAIN_COUNTS = {2: 4, 4: 2, 14: 1}
HASH = {inputs: f"Poseidon of {inputs}: µs" for inputs in COUNTS}
LEAF, LEAF_OF_BATCH = f"a leaf at depth {DEPTH}: µs", f"a leaf of {BATCH:,}: µs"
BETTER: dict[str, Direction] = dict.fromkeys((*HASH.values(), LEAF, LEAF_OF_BATCH), "lower")
TARGETS = [Target(HASH[2], 10), Target(LEAF, 200)]

Answer = TypeVar("Answer")
Rows = Callable[[int, int], int]  # the last hash of so many rows of so many inputs


def rows(inputs: int, count: int) -> list[range]:
    """Row n is n, n + 1, …"""
    return [range(first, first + inputs) for first in range(count)]


class Ours:
    """The kernel, on rows that are limbs already."""

    def __init__(self) -> None:
        self._limbs = {
            (inputs, count): to_limbs(value for row in rows(inputs, count) for value in row)
            for counts in (COUNTS, PLAIN_COUNTS)
            for inputs, count in counts.items()
        }

    def last(self, inputs: int, count: int) -> int:
        """The last hash."""
        limbs = self._limbs[inputs, count].reshape(count, inputs, LIMBS)
        return from_limbs(hash_array(limbs)[-1])[0]


def plain(inputs: int, count: int) -> int:
    """By definition, in Python's integers."""
    constants, mix = instance(inputs + 1)
    half, last = FULL_ROUNDS // 2, 0
    for row in rows(inputs, count):
        state = [0, *row]
        for turn, added in enumerate(constants):
            state = [s + c for s, c in zip(state, added, strict=True)]
            is_full = not half <= turn < len(constants) - half
            state = [pow(s, 5, ORDER) if is_full or at == 0 else s for at, s in enumerate(state)]
            state = [sum(m * s for m, s in zip(line, state, strict=True)) % ORDER for line in mix]
        last = state[0]
    return last


def fastest(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """(seconds of the fastest turn, the last answer)."""
    best = float("inf")
    for _ in range(TURNS):
        began = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - began)
    return best, answer


def timed(hashes: Rows, counts: dict[int, int], seen: dict[tuple[int, int], int]) -> Figures:
    """Microseconds a hash; the last hash must be what others found for as many."""
    figures = {}
    for inputs, count in counts.items():
        seconds, last = fastest(lambda: hashes(inputs, count))  # noqa: B023 - called here
        figures[HASH[inputs]] = 1e6 * seconds / count
        assert seen.setdefault((inputs, count), last) == last, "they disagree"
    return figures


def trees() -> Figures:
    """Leaves one by one, and a batch of them."""
    tree, leaves = append_many(empty(DEPTH), [1]), list(range(2, 2 + BATCH))
    alone, grown = fastest(lambda: append_many(tree, leaves[:1]))
    together, full = fastest(lambda: append_many(grown, leaves[1:]))
    assert full.size == 1 + BATCH
    return {LEAF: 1e6 * alone, LEAF_OF_BATCH: 1e6 * together / (BATCH - 1)}


class Circomlibjs:
    """The node peer."""

    def __init__(self) -> None:
        self.child = Child(["node", str(node.PEERS / "poseidon.mjs")])

    def run(self, seen: dict[tuple[int, int], int]) -> Figures:
        """Microseconds a hash, by the peer's own clock."""
        figures = {}
        for inputs, count in COUNTS.items():
            turns = []
            for _ in range(TURNS):
                self.child.tell(f"{inputs} {count}")
                seconds, last = json.loads(self.child.line())
                turns.append(seconds)
            figures[HASH[inputs]] = 1e6 * min(turns) / count
            assert seen.setdefault((inputs, count), int(last)) == int(last), "they disagree"
        return figures


def contenders(circomlibjs: Sequence[Circomlibjs]) -> list[Contender]:
    """Ours and the peers that run here, once warm."""
    seen: dict[tuple[int, int], int] = {}
    ours = Ours()
    for inputs, count in PLAIN_COUNTS.items():
        assert ours.last(inputs, count) == plain(inputs, count)
    trees()
    return [
        Contender("VibeStream", "ours", lambda: {**timed(ours.last, COUNTS, seen), **trees()}),
        *(Contender("circomlibjs", "peer", partial(peer.run, seen)) for peer in circomlibjs),
        Contender("Python's integers", "peer", lambda: timed(plain, PLAIN_COUNTS, seen)),
    ]


def main() -> None:
    """Print the table and write benchmarks/results/poseidon.json."""
    if why := node.missing():
        print(f"without circomlibjs: {why}")
    peers = [] if why else [Circomlibjs()]
    try:
        compare(
            "poseidon",
            contenders(peers),
            unit="one core",
            better=BETTER,
            rounds=harness.rounds(5),
            targets=[*TARGETS, Target(HASH[2], 1, "circomlibjs")],
            notes={"peers": {} if why else node.versions(), "tree_depth": DEPTH},
        )
    finally:
        for peer in peers:
            peer.child.stop()


if __name__ == "__main__":
    main()
