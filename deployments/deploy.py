"""`vibestream deploy`: the engine on a Ray cluster that runs already, left there."""

from __future__ import annotations

import os
import time

import typer

from deployments.launcher.server import LaunchError
from deployments.runner import migrated
from deployments.settings import Settings
from deployments.topology import NAMESPACE


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
    import ray

    from deployments.engine import ROOT, serve_environment
    from deployments.haproxy import HOOK

    environment = serve_environment(settings)
    os.environ.update(environment)
    try:
        ray.init(
            address=settings.ray_address or "auto",
            namespace=NAMESPACE,
            log_to_driver=False,
            runtime_env={
                "env_vars": {**environment, "PYTHONPATH": str(ROOT)},
                "worker_process_setup_hook": HOOK,
            },
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LaunchError(f"no Ray cluster answers at {settings.ray_address or 'auto'}") from error
