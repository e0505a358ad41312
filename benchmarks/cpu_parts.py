"""Where a running engine's CPU time goes, by process: what each part has used at two looks.

A process of the engine is a descendant of the one that started it, and named by what it calls
itself where it is connected to PostgreSQL; other programs are named by their command.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg
import psutil

from benchmarks.running_engine import Engine

CLIENT = "load client"
BACKEND = "PostgreSQL for "
SHARED = "vibestream "  # how the names begin of what listens or leases for a process
ELSE, OUTSIDE = "the engine's other processes", "outside of the engine"
# What a command line has, and which part it is; the first that fits.
PROGRAMS = {
    "haproxy": "HAProxy",
    "valkey": "Valkey",
    "postgres": "PostgreSQL's own processes",
    "raylet": "Ray itself",
    "gcs_server": "Ray itself",
}
BACKENDS = """
select pid, client_port, application_name from pg_stat_activity
where backend_type = 'client backend'"""


class Backends(NamedTuple):
    """Who is connected to PostgreSQL: names by the server's process, and by the client's port."""

    pids: Mapping[int, str]
    ports: Mapping[int, str]


async def look(engine: Engine, connection: asyncpg.Connection[Any]) -> Mapping[str, float]:
    """Seconds of CPU that each part has used so far, and the rest of the machine."""
    rows = await connection.fetch(BACKENDS)
    backends = Backends(
        {row["pid"]: row["application_name"] for row in rows},
        {row["client_port"]: row["application_name"] for row in rows},
    )
    used: defaultdict[str, float] = defaultdict(float)
    for process in psutil.Process(engine.pid).children(recursive=True):
        with suppress(psutil.Error, OSError):
            used[_part(process, backends)] += _seconds(process)
    used[CLIENT] += _seconds(psutil.Process())
    times = psutil.cpu_times()
    busy = times.user + times.nice + times.system + times.irq + times.softirq
    used[OUTSIDE] = busy - sum(used.values())
    return used


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds by part, the most first."""
    spent = {part: after[part] - before.get(part, 0.0) for part in after}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def _part(process: psutil.Process, backends: Backends) -> str:
    if process.pid in backends.pids:
        return BACKEND + (backends.pids[process.pid] or "others")
    command = " ".join(process.cmdline())
    for word, part in PROGRAMS.items():
        if word in command.partition(" ")[0]:
            return part
    ports = {socket.laddr.port for socket in process.net_connections("tcp") if socket.laddr}
    names = {backends.ports[port] or ELSE for port in ports & backends.ports.keys()}
    if names:  # rather its own name than that of something that several processes have
        return min(names, key=lambda name: (name.startswith(SHARED), name))
    return "Serve's and Ray's own actors" if command.startswith("ray::") else ELSE


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
