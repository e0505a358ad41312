"""The gateway, served in one of three ways, for `benchmarks/gateway.py`.

    python -m benchmarks.gateway_server uvicorn|proxy|haproxy PORT FOLDER

The application is the real one over services that are never asked. Says `ready` and ends when its
input ends. `haproxy` is Ray Serve as the engine runs it; `proxy` is Ray Serve as it comes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.child import ROOT
from deployments.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}


def open_app(folder: Path) -> FastAPI:
    """The gateway's application over nothing."""
    from api.app import create_app
    from api.services import ApiSettings, RealtimeEndpoints, Services
    from integrations.audio import ProcessInspector
    from integrations.passkeys import RelyingParty
    from integrations.passwords import Passwords
    from integrations.refresh_tokens import RefreshTokens
    from integrations.sealing import Vault
    from integrations.signing_keys import generate_signing_key
    from integrations.tokens import AccessTokens
    from storage.objects import open_objects

    async def nowhere() -> RealtimeEndpoints:
        return RealtimeEndpoints((), "")

    services = Services(
        pool=cast(Any, None),
        objects=open_objects(f"file://{folder / 'objects'}"),
        audio=ProcessInspector(),
        passwords=Passwords(),
        tokens=AccessTokens([generate_signing_key()]),
        vault=Vault([b"v" * 32]),
        relying_party=RelyingParty.of("http://localhost"),
        refresh_tokens=RefreshTokens(b"r" * 32),
        settings=ApiSettings(b"s" * 32, folder / "uploads"),
        clock=lambda: time.time_ns() // 1_000_000,
        new_id=lambda: str(uuid.uuid4()),
        realtime=nowhere,
    )
    return create_app(services)


class Replica:
    """A replica of the gateway, as `deployments.serve_apps` has it."""

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc] # Serve awaits it
        self._app = await asyncio.to_thread(open_app, settings.folder)

    def __serve_build_asgi_app__(self) -> Any:
        return self._app


def serve_uvicorn(port: int, folder: Path) -> None:
    """uvicorn with its fast loop and parser, without an access log."""
    import uvicorn

    config = uvicorn.Config(open_app(folder), port=port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    threading.Thread(target=_stop_with_input, args=(server,), daemon=True).start()
    server.run()


def _stop_with_input(server: Any) -> None:
    while not server.started:
        time.sleep(0.01)
    _say_ready_and_wait()
    server.should_exit = True


def serve_ray(mode: str, port: int, folder: Path) -> None:
    """Ray with one gateway replica and nothing else, no dashboard."""
    from deployments.engine import serve_environment

    settings = Settings(http_port=port, data_dir=folder)
    environment = {**QUIET, **(serve_environment(settings) if mode == "haproxy" else {})}
    os.environ.update(environment)
    import ray
    from ray import serve

    from benchmarks.gateway_server import Replica  # by its name, not as this script's own class
    from deployments.serve_apps import GATEWAY_APP, gateway_application

    ray.init(
        address="local",
        num_cpus=max(2, os.cpu_count() or 2),
        include_dashboard=False,
        object_store_memory=128 * 1024 * 1024,
        log_to_driver=False,
        logging_level=logging.WARNING,
        runtime_env={"env_vars": {**environment, "PYTHONPATH": str(ROOT)}},
        _temp_dir=str(folder / "ray"),
    )
    serve.start(proxy_location="HeadOnly", http_options={"host": settings.http_host, "port": port})
    serve.run(gateway_application(settings, Replica), name=GATEWAY_APP, route_prefix="/")
    _say_ready_and_wait()
    ray.shutdown()


def _say_ready_and_wait() -> None:
    print("ready", flush=True)
    sys.stdin.read()


def run(mode: str, port: int, folder: Path) -> None:
    """Serve until the input ends."""
    if mode == "uvicorn":
        serve_uvicorn(port, folder)
    else:
        serve_ray(mode, port, folder)


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
