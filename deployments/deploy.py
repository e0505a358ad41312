"""`vibestream deploy`: the engine on a Ray cluster that runs already, left there."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import typer

from deployments.launcher.server import LaunchError
from deployments.runner import migrated
from deployments.settings import Settings
from deployments.topology import NAMESPACE

KNOCK_SECONDS = 3.0
TOKEN = Path.home() / ".ray" / "auth_token"


def deploy(settings: Settings) -> None:
    """Migrate, then start what is not there on every node. Raises LaunchError, MigrationDrift."""
    for name in ("postgres_url", "redis_url"):
        if not getattr(settings, name):
            raise LaunchError(
                f"a cluster needs VIBESTREAM_{name.upper()}, reachable from each node"
            )
    began = time.monotonic()
    typer.echo(f"  ✓ migrations {migrated(settings.postgres_url)}")
    # Nodes resolve paths where they stand, so they are given the whole one.
    settings.data_dir = settings.folder
    _connect(settings)

    from deployments import application

    application.start(settings, "EveryNode", lambda what: typer.echo(f"  … {what}"))
    typer.echo(f"VibeStream is deployed ({time.monotonic() - began:.0f} s).")


def _connect(settings: Settings) -> None:
    # Before Ray is imported: the cluster wants its token, and a driver sends it only if told to.
    if os.environ.get("RAY_AUTH_TOKEN") or TOKEN.exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    from deployments.engine import ROOT, serve_environment
    from deployments.haproxy import HOOK

    environment = serve_environment(settings)
    os.environ.update(environment)
    address = settings.ray_address or "auto"
    try:
        _knock(address)
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            runtime_env={
                "env_vars": {**environment, "PYTHONPATH": str(ROOT)},
                "worker_process_setup_hook": HOOK,
            },
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise LaunchError(f"no Ray cluster answers at {address}") from error


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at `host:port`: Ray itself takes a minute to say so."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_SECONDS).close()
