"""The matching kernel: one symbol, a thousand, a crash; beside engines of the Python registry.

    python -m benchmarks matching

A stream of a million commands (`matching_load.py`: 50 % passive limit, 35 % cancel, 10 % that trade
at once, 5 % replaced) is played into books that were filled before; what is timed is commands in,
events out, changed levels noted. Ours takes them in batches of 4,096 with one buffer for events.
The engines beside it have an interface for one command at a time, so `Book, call by call` is the
one of ours to hold against them; each plays the first commands of the same streams in a process of
its own, warm, and must have traded about as much (they differ in what a replaced order keeps).
nanobook 0.19.2 was tried and left out: filling the first book took it over a minute.

- options: the first stream with a self-trade rule on every command, every tenth passive order an
  iceberg, every twentieth with a date, and two thousand stops waiting: what it costs beside plain.
- p99.9: a batch of one command, from Python, the clock's own time included.

Seconds are the processor's for ours, which other work on the machine blurs less; of a round the
fastest of three.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import matching_load, node, python_peers
from benchmarks.child import Child
from benchmarks.harness import Contender, Direction, Figures, Target, compare, percentile, rounds
from benchmarks.matching_load import CAPACITY, MAX_PRICE, Maker
from domain.market.book import Book
from kernels.matching import COMMAND, EVENT, NEW, SELL, SIDES, TIFS, Market, compile_all
from kernels.matching.layout import CANCEL, CANCEL_NEWEST, GTC, Array

COUNT, BATCH, REPEATS = 1_000_000, 4096, 3
SINGLES = 200_000
CALLS = 100_000  # of the book
STREAMS = {"one": (1, 10_000, False), "thousand": (1000, 50_000, False), "crash": (1, 50_000, True)}
CACHE = Path(__file__).resolve().parents[1] / ".cache" / "matching-streams"

ONE, THOUSAND, CRASH = (
    f"{name}: M commands/s" for name in ("one symbol", "1,000 symbols", "crash")
)
FIGURES = {"one": ONE, "thousand": THOUSAND, "crash": CRASH}
OPTIONS, LAST = "options cost: %", "one command: p99.9 µs"
BETTER: dict[str, Direction] = {
    ONE: "higher", THOUSAND: "higher", CRASH: "higher", OPTIONS: "lower", LAST: "lower",
}  # fmt: skip
# How many commands a peer plays: a second or two.
COUNTS = {"obook": 50_000, "litebook": 20_000, "lightmatchingengine": 20_000}
TARGETS = [
    Target(ONE, 15), Target(THOUSAND, 9), Target(OPTIONS, 20), Target(LAST, 5),
    *(Target(figure, 1, peer) for peer in COUNTS for figure in (ONE, THOUSAND, CRASH)),
]  # fmt: skip
TRADED_APART = 0.1


def folder() -> Path:
    """Where the streams of this version of their maker are."""
    made_by = hashlib.sha256(Path(matching_load.__file__).read_bytes()).hexdigest()[:16]
    return CACHE / made_by


def stream(name: str) -> tuple[Array, int]:
    """The commands of a stream, made once for each version of its maker; how many only fill."""
    symbols, resting, is_crash = STREAMS[name]
    file = folder() / name
    if not file.exists():
        print(f"making the stream {name}", flush=True)
        rows = Maker(symbols, 1, is_crash=is_crash).stream(COUNT, resting)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(rows.tobytes())
    return np.frombuffer(file.read_bytes(), COMMAND), resting


def with_options(commands: Array, resting: int) -> tuple[Array, int]:
    """The stream with every option in use, and stops before it that nothing wakes."""
    rows = commands.copy()
    rows["stp"] = CANCEL_NEWEST
    passive = np.flatnonzero((rows["op"] == NEW) & (rows["tif"] == GTC))
    icebergs, dated = passive[::10], passive[5::20]
    rows["display"][icebergs] = rows["quantity"][icebergs] // 3 + 1
    rows["expires"][dated] = 1 + dated
    stops = np.zeros(2000, COMMAND)
    at = np.arange(2000)
    stops["order_id"], stops["side"], stops["quantity"] = -1 - at, at % 2, 5
    stops["price"] = 2048
    stops["stop"] = np.where(at % 2 == SELL, 1 + at % 50, MAX_PRICE - 1 - at % 50)
    return np.concatenate([stops, rows]), resting + len(stops)


class Ours:
    """The kernel in batches."""

    def __init__(self) -> None:
        compile_all()
        self.streams = {name: stream(name) for name in STREAMS}
        self.events = np.ones(2 * CAPACITY, EVENT)

    def all(self) -> Figures:
        """Every figure, once."""
        figures = {FIGURES[name]: self.rate(name) for name in STREAMS}
        one = self.streams["one"]
        plain = self._fastest(lambda: self._seconds(*one))
        optioned = with_options(*one)
        figures[OPTIONS] = 100 * (self._fastest(lambda: self._seconds(*optioned)) / plain - 1)
        figures[LAST] = self._last()
        return figures

    def rate(self, name: str) -> float:
        """Millions of commands a second."""
        return COUNT / self._fastest(lambda: self._seconds(*self.streams[name])) / 1e6

    def _fastest(self, run: Callable[[], float]) -> float:
        return min(run() for _ in range(REPEATS))

    def _filled(self, commands: Array, resting: int) -> Market:
        """A market with the books filled."""
        market = Market(1 + int(commands["symbol"].max()), MAX_PRICE, CAPACITY)
        market.give_events(self.events)
        market.give_commands(commands[:resting])
        market.run()
        assert market.is_done
        return market

    def _seconds(self, commands: Array, resting: int) -> float:
        market = self._filled(commands, resting)
        began = time.process_time()
        for at in range(resting, len(commands), BATCH):
            market.give_commands(commands[at : at + BATCH], at)
            market.run()
        seconds = time.process_time() - began
        assert market.is_done
        return seconds

    def _last(self) -> float:
        """The 99.9th percentile of a batch of one, in microseconds."""
        commands, resting = self.streams["one"]
        market = self._filled(commands, resting)
        one = np.zeros(1, COMMAND)
        memory, rows = one.view(np.uint8).data, commands.view(np.uint8).data
        market.give_commands(one)
        clock, took = time.perf_counter_ns, []
        for at in range(resting, resting + SINGLES):
            memory[:] = rows[at * COMMAND.itemsize : (at + 1) * COMMAND.itemsize]
            began = clock()
            market.begin_again()
            market.run()
            took.append(clock() - began)
        return percentile(sorted(took), 99.9) / 1e3


class Calls:
    """The book of one symbol, a call for each command, events as tuples."""

    def __init__(self, commands: Array, resting: int) -> None:
        self.rows = commands[: resting + CALLS].tolist()
        self.resting = resting

    def run(self) -> Figures:
        """Millions of commands a second."""
        best = 0.0
        for _ in range(REPEATS):
            book = Book(CAPACITY, MAX_PRICE)
            play(book, self.rows[: self.resting])
            began = time.process_time()
            play(book, self.rows[self.resting :])
            best = max(best, CALLS / (time.process_time() - began) / 1e6)
        return {ONE: best}


def play(book: Book, rows: list[Any]) -> None:
    """Play rows of COMMAND."""
    submit: Any = book.submit
    for op, side, tif, _, _, _, order_id, owner, price, quantity, _, _ in rows:
        if op == NEW:
            submit(order_id, SIDES[side], TIFS[tif], "none", owner, price, quantity)
        elif op == CANCEL:
            book.cancel(order_id, owner)
        else:
            book.replace(order_id, owner, price, quantity)


class Peer:
    """An engine in a process of its own."""

    def __init__(self, name: str, folder: Path, traded: dict[str, int]) -> None:
        self.name, self._traded = name, traded
        script = node.PEERS / "matching_peer.py"
        self._child = Child((str(python_peers.PYTHON), str(script), name, str(folder)))

    def run(self) -> Figures:
        """Millions of commands a second."""
        return {figure: self._rate(name) for name, figure in FIGURES.items()}

    def _rate(self, name: str) -> float:
        count = COUNTS[self.name]
        self._child.tell(f"{name} {STREAMS[name][1]} {count}")
        seconds, traded = json.loads(self._child.line())
        expected = self._traded[f"{name} {count}"]
        if abs(traded - expected) > TRADED_APART * expected:
            raise SystemExit(f"{self.name} traded {traded} of {name}, not about {expected}")
        return count / float(seconds) / 1e6

    def stop(self) -> None:
        """End the process."""
        self._child.stop()


def traded(ours: Ours) -> dict[str, int]:
    """What each first part of a stream trades."""
    amounts = {}
    for name, (commands, resting) in ours.streams.items():
        for count in set(COUNTS.values()):
            market = Market(STREAMS[name][0], MAX_PRICE, CAPACITY)
            market.give_events(ours.events)
            market.give_commands(commands[: resting + count])
            used = market.run()
            events = ours.events[:used]
            amounts[f"{name} {count}"] = int(events["quantity"][events["kind"] == 1].sum())
    return amounts


def start_peers(ours: Ours) -> tuple[list[Peer], dict[str, str]]:
    """The peers that run here, and why others do not."""
    absent = {name: why for name, why in python_peers.missing().items() if name in COUNTS}
    amounts, peers = traded(ours), []
    for name in COUNTS:
        if name in absent:
            continue
        try:
            peers.append(Peer(name, folder(), amounts))
        except RuntimeError as error:
            absent[name] = str(error)
    return peers, absent


def main() -> None:
    """Print the table and write benchmarks/results/matching.json."""
    print("compiling the kernel, or loading it", flush=True)
    ours = Ours()
    calls = Calls(*ours.streams["one"])
    peers, absent = start_peers(ours)
    for name, why in absent.items():
        print(f"without {name}: {why}")
    try:
        compare(
            "matching",
            [
                Contender("VibeStream", "ours", ours.all),
                Contender("Book, call by call", "part", calls.run),
                *(Contender(peer.name, "peer", peer.run) for peer in peers),
            ],
            unit="commands",
            better=BETTER,
            rounds=rounds(5),
            targets=TARGETS,
            notes={
                "commands": COUNT,
                "peers": {n: v for n, v in python_peers.installed().items() if n in COUNTS},
                "absent": absent,
            },
        )
    finally:
        for peer in peers:
            peer.stop()


if __name__ == "__main__":
    main()
