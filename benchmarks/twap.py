"""Time-weighted averages over 5 min, 1 h and 24 h at every tick of 1,000 symbols, one core.

    python -m benchmarks twap
    VIBESTREAM_BENCH_TICKS=1000000 VIBESTREAM_BENCH_ROUNDS=1 python -m benchmarks twap

By default a symbol has 20,000 ticks, one every ten seconds. With a million each the thousand
million ticks are made and averaged in blocks of 20 million; the peers then take the first block
only, for they would need minutes. Making the ticks is not counted.

Peers: numpy (a running sum and `searchsorted` per symbol and window) in this process, polars (as-of
joins) on one thread in its own. Every figure is the processor's time, which other work on
the machine disturbs least. All must agree on the sum of all averages. `live record` is the other
way in: one book's record told of quotes and trades as they happen, and asked for all its prices.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import harness, node, python_peers
from benchmarks.child import Child
from benchmarks.harness import Contender, Direction, Figures, Target, compare
from domain.market.prices import PriceRecord
from kernels.twap import compile_all
from kernels.twap.averages import MILLI, NO_PRICE, averages

Integers = npt.NDArray[np.int64]

SYMBOLS = 1_000
TICKS = int(os.environ.get("VIBESTREAM_BENCH_TICKS", "20000"))  # of a symbol
BLOCK = 20_000_000
GAP_MS, MOVE, LOWEST = 10_000, 3, 200
WINDOWS_MS = (300_000, 3_600_000, 86_400_000)
OBSERVED, ASKED = 20_000, 500

RATE = "million ticks/s, all windows"
TOLD, READ = "live record: µs an observation", "live record: µs to read all prices"
BETTER: dict[str, Direction] = {RATE: "higher", TOLD: "lower", READ: "lower"}
TARGETS = [Target(RATE, 1, "numpy"), Target(RATE, 1, "polars")]


class Block:
    """Some symbols' ticks. rows: (symbol, at_ms, value) of each, symbol by symbol."""

    def __init__(self, number: int, symbols: int) -> None:
        rng = np.random.default_rng(number)
        shape = (symbols, TICKS)
        self.starts = np.arange(symbols + 1, dtype=np.int64) * TICKS
        self.at_ms = np.cumsum(rng.integers(1, 2 * GAP_MS, shape), axis=1).ravel()
        walk = np.cumsum(rng.integers(-MOVE, MOVE + 1, shape), axis=1).ravel()
        self.values = np.abs(walk) + LOWEST

    @property
    def rows(self) -> Integers:
        """The ticks as a table."""
        symbols = np.repeat(np.arange(len(self.starts) - 1), TICKS)
        return np.stack([symbols, self.at_ms, self.values])


def blocks() -> Iterator[Block]:
    """All ticks, as many symbols at a time as make a block."""
    at_once = max(1, min(SYMBOLS, BLOCK // TICKS))
    for number, first in enumerate(range(0, SYMBOLS, at_once)):
        yield Block(number, min(at_once, SYMBOLS - first))


class Contest:
    """The first block, which all take, and the sum that all must find."""

    def __init__(self) -> None:
        self.block = next(blocks())
        self.windows = np.array([(window, 1, 1) for window in WINDOWS_MS], np.int64)
        self.room: dict[int, Integers] = {}
        self.total = self._sum(self._averages(self.block))

    def ours(self) -> Figures:
        """All blocks, one after the other."""
        seconds, ticks = 0.0, 0
        for block in [self.block] if TICKS * SYMBOLS <= BLOCK else blocks():
            began = time.thread_time()
            found = self._averages(block)
            seconds += time.thread_time() - began
            ticks += found.shape[1]
        return {RATE: ticks / seconds / 1e6, **live_record()}

    def numpy(self) -> Figures:
        """The first block, with whole-array operations of each symbol."""
        began = time.thread_time()
        total = 0.0
        for first, end in pairwise(self.block.starts):
            for row in numpy_averages(self.block.at_ms[first:end], self.block.values[first:end]):
                total += float(np.nansum(row))
        seconds = time.thread_time() - began
        self.check(total)
        return {RATE: len(self.block.at_ms) / seconds / 1e6}

    def check(self, total: float) -> None:
        """Refuse a sum of averages that is another's: ours are rounded to thousandths."""
        assert abs(total - self.total) < 1e-6 * self.total, "they disagree"

    def _averages(self, block: Block) -> Integers:
        count = len(block.at_ms)
        room = self.room.setdefault(count, np.empty((len(WINDOWS_MS), count), np.int64))
        return averages(block.starts, block.at_ms, block.values, self.windows, out=room)

    @staticmethod
    def _sum(found: Integers) -> float:
        return float(found[found != NO_PRICE].sum()) / MILLI


def numpy_averages(at_ms: Integers, values: Integers) -> Iterator[npt.NDArray[np.float64]]:
    """One symbol's averages, a row for each window; nan where nothing is known."""
    sums = np.zeros(len(at_ms), np.int64)
    np.cumsum(values[:-1] * np.diff(at_ms), out=sums[1:])
    for window in WINDOWS_MS:
        start = np.maximum(at_ms - window, at_ms[0])
        held = np.searchsorted(at_ms, start, side="right") - 1
        spent = sums - sums[held] - values[held] * (start - at_ms[held])
        known = at_ms - start
        known_or_nan = np.where(known > 0, known, np.nan)
        yield spent / known_or_nan


def live_record() -> Figures:
    """A book that is quoted and traded every ten seconds, alternately."""
    record = PriceRecord()
    began = time.thread_time()
    for turn in range(0, OBSERVED, 2):
        at_ms = turn * GAP_MS
        record.observe_quote(at_ms, 95 + turn % 5, 105 - turn % 4)
        record.observe_trade(at_ms + GAP_MS, 96 + turn % 9, 5, same_owner=False)
    told = time.thread_time()
    for turn in range(ASKED):
        record.prices(record.at_ms + turn)
    asked = time.thread_time()
    return {TOLD: 1e6 * (told - began) / OBSERVED, READ: 1e6 * (asked - told) / ASKED}


class Polars:
    """The peer in a process of its own, on one thread."""

    def __init__(self, file: Path) -> None:
        script = str(node.PEERS / "twap_peer.py")
        windows = [str(window) for window in WINDOWS_MS]
        command = [str(python_peers.PYTHON), script, str(file), *windows]
        self.child = Child(command, {"POLARS_MAX_THREADS": "1"})

    def run(self, contest: Contest) -> Figures:
        """The first block."""
        self.child.tell("go")
        seconds, total = json.loads(self.child.line())
        contest.check(total)
        return {RATE: len(contest.block.at_ms) / seconds / 1e6}


def start_polars(contest: Contest, folder: Path) -> tuple[list[Polars], str]:
    """The peer, or why there is none."""
    if why := python_peers.missing().get("polars"):
        return [], why
    file = folder / "ticks.npy"
    np.save(file, contest.block.rows)
    try:
        return [Polars(file)], ""
    except RuntimeError as error:
        return [], str(error)


def main() -> None:
    """Print the table and write benchmarks/results/twap.json."""
    compile_all()
    print(f"making {min(SYMBOLS * TICKS, BLOCK):,} ticks", flush=True)
    contest = Contest()
    with tempfile.TemporaryDirectory(prefix="vibestream-bench-") as folder:
        peers, absent = start_polars(contest, Path(folder))
        if absent:
            print(f"without polars: {absent}")
        try:
            compare(
                "twap",
                [
                    Contender("VibeStream", "ours", contest.ours),
                    Contender("numpy", "peer", contest.numpy),
                    *(Contender("polars", "peer", lambda: peers[0].run(contest)) for _ in peers),
                ],
                unit="one core",
                better=BETTER,
                rounds=harness.rounds(3),
                targets=TARGETS,
                notes={
                    "symbols": SYMBOLS,
                    "ticks_of_a_symbol": TICKS,
                    "ticks_of_the_peers": len(contest.block.at_ms),
                    "peers": python_peers.installed() if peers else {},
                    "absent": absent,
                },
            )
        finally:
            for peer in peers:
                peer.child.stop()


if __name__ == "__main__":
    main()
