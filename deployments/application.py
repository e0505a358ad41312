"""The whole engine on a connected Ray: every actor and application, started and answering.

The same on a laptop (`engine.py`, which starts Ray itself) and on a cluster (`deploy.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import ray
from ray import serve

from deployments.ray_actors import start_bus_worker, start_host, start_supervisor
from deployments.serve_apps import run_applications, stop_realtime
from deployments.settings import Settings
from deployments.topology import bus_workers, host_specs

READY_SECONDS = 90.0
GOODBYE_SECONDS = 5.0

Report = Callable[[str], None]


def start(settings: Settings, proxies: str, report: Report) -> None:
    """Start what is not there and return when all of it answers. Raises what went wrong.

    proxies: Serve's proxy location, `HeadOnly` or `EveryNode`.
    """
    report("entity hosts, supervisor, event bus")
    actors = [start_host(spec, settings) for spec in host_specs(settings)]
    actors += [start_bus_worker(name, settings) for name in bus_workers(settings)]
    actors.append(start_supervisor(settings))
    # A hundred megabytes of imports each: the Serve controller starts meanwhile.
    http = {"host": settings.http_host, "port": settings.http_port}
    serve.start(proxy_location=proxies, http_options=http)
    health = [actor.health.remote() for actor in actors]
    ray.get(health, timeout=READY_SECONDS)
    report("HTTP gateway and realtime door")
    run_applications(settings)


def say_goodbye() -> None:
    """Let realtime clients know that it ends."""
    with suppress(Exception):  # whatever is wrong with it, it ends anyway
        stop_realtime(GOODBYE_SECONDS)
