"""polars' way to time-weighted averages in a process of its own, for benchmarks/twap.py.

    python twap_peer.py FILE WINDOW_MS…

FILE holds symbol, moment and value of every tick: three rows of 64-bit integers. Says `ready`, then
answers each line with the processor's seconds that the averages took, and with their sum. It runs
in the peers' environment and imports nothing of VibeStream.

The method: a running sum of value times duration and, for each window, an as-of join with the tick
that was in force when the window began.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

pl: Any = importlib.import_module("polars")
np: Any = importlib.import_module("numpy")

WARM_TICKS = 1_000


def averages(ticks: Any, windows: Sequence[int]) -> Any:
    """A column for each window: the average up to each tick; null where nothing is known."""
    at, value, symbol = pl.col("at"), pl.col("value"), pl.col("symbol")
    same = symbol == symbol.shift(1)
    passed = pl.when(same).then(value.shift(1) * (at - at.shift(1))).otherwise(0)
    ticks = ticks.with_columns(
        passed.cum_sum().alias("sum"), at.first().over("symbol").alias("opened")
    )
    held = ticks.select("symbol", "at", "value", pl.col("sum").alias("before"))
    columns = []
    for window in windows:
        start = pl.max_horizontal(at - window, pl.col("opened")).alias("start")
        asked = ticks.select("symbol", "sum", start, at.alias("now"))
        met = asked.join_asof(
            held, left_on="start", right_on="at", by="symbol", check_sortedness=False
        )
        known = pl.col("now") - pl.col("start")
        spent = pl.col("sum") - pl.col("before") - value * (pl.col("start") - at)
        average = pl.when(known > 0).then(spent / known)
        columns.append(met.select(average.alias(str(window))).to_series())
    return pl.DataFrame(columns)


def main(file: str, *lengths: str) -> None:
    """Load the ticks, then obey lines."""
    rows = np.load(file)
    ticks = pl.DataFrame({"symbol": rows[0], "at": rows[1], "value": rows[2]})
    windows = [int(length) for length in lengths]
    averages(ticks.head(WARM_TICKS), windows)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        found = averages(ticks, windows)
        seconds = time.process_time() - began
        total = sum(float(found.get_column(name).sum()) for name in found.columns)
        print(json.dumps([seconds, total]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
