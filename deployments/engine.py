"""The engine process: Ray, its actors and the Serve application, on one machine.

`make run` starts it as a child (`python -m deployments.engine`), so that a broken Ray node can be
replaced without touching PostgreSQL, Valkey or the operator's terminal. It speaks to its parent in
lines on standard output: `step <what>`, `ready`, `failed <why>`.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from deployments.haproxy import HOOK
from deployments.settings import Settings
from deployments.topology import NAMESPACE

ROOT = Path(__file__).resolve().parent.parent
ESSENTIAL_PROCESSES = frozenset({"gcs_server", "raylet"})
WATCH_SECONDS = 0.5
# Below 32,768, where the system takes the ports of outgoing connections from.
REPLICA_PORTS, REPLICA_PORTS_AN_ENGINE = range(30_000, 32_700), 50

Report = Callable[[str], None]


def serve_environment(settings: Settings) -> dict[str, str]:
    """The Serve settings that were measured fastest: HTTP through HAProxy, one thread of it."""
    port = settings.http_port
    folder = f"/tmp/vibestream-haproxy-{port}"  # noqa: S108
    replicas = _replica_ports(port)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if settings.haproxy else "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # Serve's controller looks at everything ten times a second by default, and each replica
        # exports what it counted: measured together a tenth of a core, whatever is asked.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
        # HAProxy's own ports and sockets are fixed by default; two engines would collide. It
        # listens on the metrics port whether metrics are enabled or not.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(_beside(port, 1_777)),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(_beside(port, 2_777)),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        # By default every engine's replicas take the first free port from 30,000 on, also that of a
        # replica of another engine that has just died, whose HAProxy would then ask the wrong one.
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replicas.start),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replicas.stop - 1),
        # The gateway reads forwarded addresses itself (api/doors.py); uvicorn would believe anybody
        # whom this machine's proxy lets through.
        "FORWARDED_ALLOW_IPS": "",
        # Workers yield to every other process by default (15), as batch work should. These are the
        # service: beside a busy process their answers would wait for it.
        "RAY_worker_niceness": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "1",
        "PYTHONWARNINGS": "ignore",
    }


def _replica_ports(port: int) -> range:
    """Neighbouring engines' are apart; engines whose ports are 54 apart share theirs."""
    shares = len(REPLICA_PORTS) // REPLICA_PORTS_AN_ENGINE
    first = REPLICA_PORTS.start + port % shares * REPLICA_PORTS_AN_ENGINE
    return range(first, first + REPLICA_PORTS_AN_ENGINE)


def _beside(port: int, distance: int) -> int:
    return port + distance if port < 50_000 else port - distance


class Engine:
    """Starts and stops everything that runs on Ray."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def start(self, report: Report) -> None:
        """Bring the engine up and return when it answers. Raises what went wrong."""
        os.environ.update(serve_environment(self._settings))
        warming = _start_warming()
        report("Ray")
        self._connect()
        _finish_warming(warming, report)

        from deployments import application

        application.start(self._settings, "HeadOnly", report)

    def _connect(self) -> None:
        import ray

        settings = self._settings
        environment = {**serve_environment(settings), "PYTHONPATH": str(ROOT)}
        ray.init(
            address="local",  # also where another Ray runs on this machine
            namespace=NAMESPACE,
            num_cpus=max(2, os.cpu_count() or 2),
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            dashboard_port=settings.dashboard_port,
            object_store_memory=128 * 1024 * 1024,
            log_to_driver=False,
            logging_level=logging.WARNING,
            runtime_env={"env_vars": environment, "worker_process_setup_hook": HOOK},
        )

    def is_broken(self) -> bool:
        """Whether a process without which Ray cannot go on has died."""
        import ray

        node: Any = ray._private.worker._global_node
        return node is None or any(name in ESSENTIAL_PROCESSES for name, _ in node.dead_processes())

    def stop(self) -> None:
        """Let Ray end its processes. What outlives it is ended by the runner."""
        import ray

        from deployments import application

        application.say_goodbye()
        # Not serve.shutdown(): in HAProxy mode it waits 30 s for its controller (docs/decisions).
        ray.shutdown()


def _start_warming() -> subprocess.Popen[str]:
    """Compile the kernels while Ray starts; a process of its own gives the memory back."""
    command = [sys.executable, "-m", "deployments.warm"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603


def _finish_warming(warming: subprocess.Popen[str], report: Report) -> None:
    """Pass on what it says until it is done. Raises RuntimeError if it failed."""
    with warming:
        assert warming.stdout is not None
        for line in warming.stdout:
            report(line.strip().removeprefix("step "))
    if warming.returncode:
        raise RuntimeError("the kernels could not be compiled")


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
            # At once: Ray's farewell waits half a minute for the dead. The launcher ends the rest.
            os._exit(1)
        time.sleep(WATCH_SECONDS)
    engine.stop()
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the protocol with the parent process


if __name__ == "__main__":
    sys.exit(main())
