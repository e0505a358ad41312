"""Ray, a host of counters and a replica that asks them, for `benchmarks/runtime.py`.

    VIBESTREAM_POSTGRES_URL=… python -m benchmarks.runtime_server FOLDER

Says `ready`, obeys lines (their words between tabs, `measure WAY CALLERS SECONDS` or
`recover ENTITIES`) with a line of JSON
each, and ends when its input ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from benchmarks.child import ROOT
from deployments.settings import Settings
from deployments.topology import NAMESPACE

APP = "bench-callers"
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "PYTHONWARNINGS": "ignore",
}
OPTIONS: dict[str, Any] = {
    "num_replicas": 1,
    "ray_actor_options": {"num_cpus": 0},
    "health_check_timeout_s": 60,
    "graceful_shutdown_timeout_s": 1,
}
ANSWER_S = 120.0


def run(folder: Path) -> None:
    """Serve until the input ends."""
    os.environ.update(ENVIRONMENT)
    # Ray has much to say on standard output; only our own lines may go to the parent.
    parent = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    import ray
    from ray import serve

    from benchmarks import runtime_actors

    ray.init(
        address="local",
        namespace=NAMESPACE,
        num_cpus=max(2, os.cpu_count() or 2),
        include_dashboard=False,
        object_store_memory=128 * 1024 * 1024,
        log_to_driver=False,
        logging_level=logging.WARNING,
        runtime_env={"env_vars": {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}},
        _temp_dir=str(folder / "ray"),
    )
    settings = Settings(data_dir=folder)
    runtime_actors.start(settings)
    # Nobody comes in by HTTP: the replica itself asks.
    serve.start(proxy_location="Disabled")
    deployment: Any = serve.deployment(**OPTIONS)(runtime_actors.Callers)
    replica = serve.run(deployment.bind(settings), name=APP, route_prefix=None)
    asyncio.run(_obey(replica, parent))
    ray.shutdown()


async def _obey(replica: Any, parent: TextIO) -> None:
    # In a loop, as the handles of a throughput-optimized Serve belong to one.
    await replica.prepare.remote()
    print("ready", file=parent)
    while line := await asyncio.to_thread(sys.stdin.readline):
        figures = await _figures(replica, line.rstrip("\n").split("\t"))
        print(json.dumps(figures), file=parent)


async def _figures(replica: Any, words: list[str]) -> dict[str, float]:
    await replica.rest.remote()
    if words[0] == "recover":
        answer = replica.recover.remote(int(words[1]))
    else:
        answer = replica.measure.remote(words[1], int(words[2]), float(words[3]))
    figures: dict[str, float] = await asyncio.wait_for(answer, ANSWER_S)
    return figures


if __name__ == "__main__":
    run(Path(sys.argv[1]))
