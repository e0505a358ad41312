"""Groth16 proofs verified with every check: one at a time, in batches, on two cores.

    python -m benchmarks groth16

The proofs are snarkjs's, of a circuit with nine public signals (tests/data/groth16). Each peer runs
in a process of its own and stays warm; what depends on the key alone is done before: snarkjs in
node, py_ecc's optimised curve, arkworks (groth16py), mcl (mclbn256), zksnake. One that cannot be
installed is said to be absent.

- one proof: from snarkjs's JSON texts to the verdict. groth16py takes texts too; the other peers
  begin with decoded JSON. `parsed before` is ours without the reading.
- a batch: from parsed proofs to a verdict for each, weights drawn anew, on one core: the time of
  the processor that the thread took.
- separate verdicts: as a batch, each proof on an equation of its own.
- two threads: how many times as many a second as one thread.

Of a round's proofs the figure is the tenth percentile, of its batches the fastest, for all alike:
what else the machine does should weigh little. py_ecc's seconds are the processor's too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import node, python_peers
from benchmarks.child import Child
from benchmarks.harness import Contender, Direction, Figures, Target, compare, percentile, rounds
from kernels.groth16 import (
    WEIGHT,
    Proof,
    PublicSignals,
    Verdict,
    parse_key,
    parse_proof,
    parse_signals,
    verify,
    verify_batch,
    verify_each,
    warm,
)

VECTORS = Path(__file__).resolve().parents[1] / "tests" / "data" / "groth16"
KEY, PROOFS = VECTORS / "public9.key.json", VECTORS / "public9.proofs.json"
BATCHES = (253, 509)
SINGLES = 100
REPEATS = 3  # of a batch in a round

ONE = "one proof: ms"
EACH = f"{BATCHES[0]} each on its own: µs a proof"
BATCH = {count: f"batch of {count}: µs a proof" for count in BATCHES}
THREADS_ONE, THREADS_BATCH = "two threads, one by one: ×", f"two threads, {BATCHES[0]}: ×"
BETTER: dict[str, Direction] = {
    ONE: "lower",
    EACH: "lower",
    **dict.fromkeys(BATCH.values(), "lower"),
    THREADS_ONE: "higher",
    THREADS_BATCH: "higher",
}
NATIVE = ("mclbn256", "groth16py", "zksnake")
PYTHON_PEERS = {"py-ecc": "py_ecc", **{name: name for name in NATIVE}}
# How many proofs a round: about a second at most.
COUNTS = {"py_ecc": 1, "zksnake": 50, "groth16py": 100, "mclbn256": 100, "snarkjs": 20}
TARGETS = [
    *(Target(ONE, 1 / 0.6, name) for name in NATIVE),
    Target(ONE, 800, "py_ecc"),
    Target(ONE, 0.3),
    Target(EACH, 130),
    *(Target(figure, 65) for figure in BATCH.values()),
    Target(THREADS_BATCH, 1.8),
]


class Ours:
    """The kernel, warm."""

    def __init__(self) -> None:
        self.key = parse_key(KEY.read_bytes())
        warm(self.key)
        cases: list[dict[str, Any]] = json.loads(PROOFS.read_text("utf-8"))
        self.texts = [
            (json.dumps(case["proof"]), json.dumps(case["publicSignals"])) for case in cases
        ]
        self.parsed = [(parse_proof(proof), parse_signals(public)) for proof, public in self.texts]
        self._one_by_one(len(self.parsed))
        self._batch(BATCHES[0])
        self._each(BATCHES[0])

    def all(self) -> Figures:
        """Every figure, once."""
        figures = {ONE: 1e3 * _tenth_s(self._from_text, SINGLES)}
        figures[EACH] = _us_a_proof(self._each, BATCHES[0])
        for count, figure in BATCH.items():
            figures[figure] = _us_a_proof(self._batch, count)
        figures[THREADS_ONE] = _speed_up(partial(self._one_by_one, SINGLES))
        figures[THREADS_BATCH] = _speed_up(partial(self._batch, BATCHES[0]))
        return figures

    def parsed_before(self) -> Figures:
        """One proof without reading it."""
        return {ONE: 1e3 * _tenth_s(self._parsed, SINGLES)}

    def _from_text(self, at: int) -> None:
        proof, public = self.texts[at % len(self.texts)]
        assert verify(self.key, parse_proof(proof), parse_signals(public)) is Verdict.VALID

    def _parsed(self, at: int) -> None:
        assert verify(self.key, *self.parsed[at % len(self.parsed)]) is Verdict.VALID

    def _one_by_one(self, count: int) -> None:
        for at in range(count):
            self._parsed(at)

    def _some(self, count: int) -> tuple[Sequence[Proof], Sequence[PublicSignals]]:
        chosen = [self.parsed[at % len(self.parsed)] for at in range(count)]
        return [proof for proof, _ in chosen], [signals for _, signals in chosen]

    def _each(self, count: int) -> None:
        assert verify_each(self.key, *self._some(count)) == [Verdict.VALID] * count

    def _batch(self, count: int) -> None:
        proofs, signals = self._some(count)
        verdicts = verify_batch(self.key, proofs, signals, os.urandom(WEIGHT * count))
        assert verdicts == [Verdict.VALID] * count


def _seconds(work: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> float:
    began = clock()
    work()
    return clock() - began


def _fastest_s(work: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> float:
    return min(_seconds(work, clock) for _ in range(REPEATS))


def _us_a_proof(work: Callable[[int], None], count: int) -> float:
    """Microseconds of the processor a proof."""
    return 1e6 * _fastest_s(partial(work, count), time.thread_time) / count


def _tenth_s(work: Callable[[int], None], count: int) -> float:
    return percentile(sorted(_seconds(partial(work, at)) for at in range(count)), 10)


def _twice(work: Callable[[], None]) -> None:
    """Two threads do the work once each."""
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _speed_up(work: Callable[[], None]) -> float:
    """How many times as fast two threads do the work that one does."""
    return 2 * _fastest_s(work) / _fastest_s(partial(_twice, work))


class Peer:
    """A library in a process of its own."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._child = Child((*command, str(KEY), str(PROOFS)))

    def run(self) -> Figures:
        """Milliseconds of one proof."""
        self._child.tell(str(COUNTS[self.name]))
        seconds: list[float] = json.loads(self._child.line())
        return {ONE: 1e3 * percentile(sorted(seconds), 10)}

    def stop(self) -> None:
        """End the process."""
        self._child.stop()


def start_peers() -> tuple[list[Peer], dict[str, str]]:
    """The peers that run here, and why others do not."""
    absent = python_peers.missing()
    commands = {
        name: [str(python_peers.PYTHON), str(node.PEERS / "groth16_peer.py"), name]
        for package, name in PYTHON_PEERS.items()
        if package not in absent
    }
    if why := node.missing():
        absent["snarkjs"] = why
    else:
        commands["snarkjs"] = ["node", str(node.PEERS / "groth16.mjs")]
    peers = []
    for name, command in commands.items():
        try:
            peers.append(Peer(name, command))
        except RuntimeError as error:
            absent[name] = str(error)
    return peers, absent


def cpu_flags() -> list[str]:
    """What the batch kernel may use, of what this processor has."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    return [flag for flag in ("adx", "bmi2", "avx512ifma") if features.get(flag)]


def main() -> None:
    """Print the table and write benchmarks/results/groth16.json."""
    print("compiling the kernels, or loading them", flush=True)
    ours = Ours()
    peers, absent = start_peers()
    for name, why in absent.items():
        print(f"without {name}: {why}")
    versions = {**python_peers.installed(), **({} if "snarkjs" in absent else node.versions())}
    wanted = {*python_peers.wanted(), "node", "snarkjs"}
    try:
        compare(
            "groth16",
            [
                Contender("VibeStream", "ours", ours.all),
                Contender("parsed before", "part", ours.parsed_before),
                *(Contender(peer.name, "peer", peer.run) for peer in peers),
            ],
            unit="9 public signals",
            better=BETTER,
            rounds=rounds(5),
            targets=TARGETS,
            notes={
                "cpu_flags": cpu_flags(),
                "peers": {name: v for name, v in versions.items() if name in wanted},
                "absent": absent,
            },
        )
    finally:
        for peer in peers:
            peer.stop()


if __name__ == "__main__":
    main()
