"""The engine process: Ray, the actors and the Serve applications, on one machine or a cluster.

`make run` starts it as a child (`python -m deployments.engine`), so that a broken Ray node can be
replaced without touching PostgreSQL, Valkey or the operator's terminal. It speaks to its parent in
lines on standard output: `step <what>`, `ready`, `failed <why>`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from deployments.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
ESSENTIAL_PROCESSES = frozenset({"gcs_server", "raylet"})
WATCH_SECONDS = 0.5
READY_SECONDS = 90.0

Report = Callable[[str], None]


def serve_environment(settings: Settings) -> dict[str, str]:
    """The Serve settings that were measured fastest: HTTP through HAProxy, one thread of it."""
    port = settings.http_port
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if settings.haproxy else "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # HAProxy's own ports and sockets are fixed by default; two engines would collide.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(port + 10_000 if port < 50_000 else port - 10_000),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": f"/tmp/vibestream-haproxy-{port}",  # noqa: S108
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"/tmp/vibestream-haproxy-{port}/admin.sock",  # noqa: S108
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"/tmp/vibestream-haproxy-{port}/haproxy.cfg",  # noqa: S108
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "1",
        "PYTHONWARNINGS": "ignore",
    }


class Engine:
    """Starts and stops everything that runs on Ray."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def start(self, report: Report) -> None:
        """Bring the engine up and return when it answers. Raises what went wrong."""
        os.environ.update(serve_environment(self._settings))
        report("Ray")
        self._connect()
        report("entity hosts and the event bus")
        self._start_actors()
        report("HTTP gateway and realtime door")
        self._start_applications()

    def _connect(self) -> None:
        import ray

        settings = self._settings
        environment = {**serve_environment(settings), "PYTHONPATH": str(ROOT)}
        if settings.ray_address:
            # On a cluster every node gets the code with the job.
            excludes = [".git", ".venv", ".vibestream", "**/node_modules", "tests", "demo"]
            runtime_env = {"working_dir": str(ROOT), "excludes": excludes}
            runtime_env["env_vars"] = serve_environment(settings)  # type: ignore[assignment]
            ray.init(settings.ray_address, namespace="vibestream", runtime_env=runtime_env)
            return
        ray.init(
            namespace="vibestream",
            num_cpus=max(2, os.cpu_count() or 2),
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port,
            object_store_memory=128 * 1024 * 1024,
            log_to_driver=False,
            logging_level="warning",
            runtime_env={"env_vars": environment},
        )

    def _start_actors(self) -> None:
        import ray

        from deployments.composition import prepare_placement
        from deployments.ray_actors import start_bus_worker, start_host, start_supervisor
        from deployments.topology import host_specs

        prepare_placement(self._settings)
        actors = [start_host(s, self._settings) for s in host_specs(self._settings.hosts_per_group)]
        actors += [start_bus_worker(self._settings), start_supervisor(self._settings)]
        ray.get([actor.health.remote() for actor in actors], timeout=READY_SECONDS)

    def _start_applications(self) -> None:
        from ray import serve

        from deployments import serve_apps

        settings = self._settings
        serve.start(
            proxy_location="EveryNode" if settings.ray_address else "HeadOnly",
            http_options={"host": settings.http_host, "port": settings.http_port},
        )
        realtime = serve_apps.realtime_application(settings)
        gateway = serve_apps.gateway_application(settings)
        prefix = serve_apps.REALTIME_PREFIX
        serve.run(realtime, name=serve_apps.REALTIME_APP, route_prefix=prefix, blocking=False)
        serve.run(gateway, name=serve_apps.GATEWAY_APP, route_prefix="/", blocking=False)

    def is_broken(self) -> bool:
        """Whether a process without which Ray cannot go on has died."""
        import ray

        node: Any = ray._private.worker._global_node  # noqa: SLF001 - Ray offers no public form
        return node is None or any(name in ESSENTIAL_PROCESSES for name, _ in node.dead_processes())

    def stop(self) -> None:
        """Let Ray end its processes. What outlives it is ended by the runner."""
        import ray

        # Not serve.shutdown(): in HAProxy mode it waits 30 s for its controller (docs/decisions).
        ray.shutdown()


def main() -> int:
    """Run the engine until a signal comes or Ray breaks."""
    stopping = threading.Event()

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    engine = Engine(Settings())
    try:
        engine.start(lambda text: _say(f"step {text}"))
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator gets one line
        _say(f"failed {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return 1
    _say("ready")
    parent = os.getppid()
    while not stopping.is_set():
        if engine.is_broken() or os.getppid() != parent:
            _say("failed the Ray node died")
            return 1
        time.sleep(WATCH_SECONDS)
    engine.stop()
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the protocol with the parent process


if __name__ == "__main__":
    sys.exit(main())
