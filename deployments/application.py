"""The whole engine on a connected Ray: every actor and application, started and answering.

The same on a laptop (`engine.py`, which starts Ray itself) and on a cluster (`deploy.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray import serve

from deployments.ray_actors import start_bus_worker, start_host, start_supervisor
from deployments.serve_apps import run_applications, stop_realtime
from deployments.settings import Settings
from deployments.topology import bus_workers, host_specs, spread, supervisors

READY_SECONDS = 240.0  # on a node whose kernels nobody has compiled yet
GOODBYE_SECONDS = 5.0

Report = Callable[[str], None]


def start(settings: Settings, proxies: str, report: Report) -> None:
    """Start what is not there and return when all of it answers. Raises what went wrong.

    proxies: Serve's proxy location, `HeadOnly` or `EveryNode`.
    """
    report("entity hosts, supervisor, event bus")
    actors = start_actors(settings)
    # A hundred megabytes of imports each: the Serve controller starts meanwhile.
    http = {"host": settings.http_host, "port": settings.http_port}
    serve.start(proxy_location=proxies, http_options=http)
    await_actors(actors)
    report("HTTP gateway and realtime door")
    run_applications(settings)


def start_actors(settings: Settings) -> list[Any]:
    """Start every actor that is not there, members of a group on different nodes."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    specs = {spec.name: spec for spec in host_specs(settings)}
    hosts = [start_host(specs[name], settings, node) for name, node in spread(specs, nodes)]
    workers = [
        start(name, settings, node)
        for start, names in (
            (start_bus_worker, bus_workers(settings)),
            (start_supervisor, supervisors(settings)),
        )
        for name, node in spread(names, nodes)
    ]
    return hosts + workers


def await_actors(actors: Sequence[Any]) -> None:
    """Return when all of them answer. Raises what Ray raises when one does not."""
    ray.get([actor.health.remote() for actor in actors], timeout=READY_SECONDS)


def say_goodbye() -> None:
    """Let realtime clients know that it ends."""
    with suppress(Exception):  # whatever is wrong with it, it ends anyway
        stop_realtime(GOODBYE_SECONDS)
