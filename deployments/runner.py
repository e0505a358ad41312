"""`make run`: PostgreSQL, Valkey, migrations, the engine; watched, brought back, ended in order."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import typer

from deployments.cluster import EngineFailed, EngineProcess
from deployments.composition.identity import callback_url
from deployments.launcher.coinbase import EmbeddedCoinbase
from deployments.launcher.exchange_rates import EmbeddedRates
from deployments.launcher.identity import EmbeddedIdentity, why_missing
from deployments.launcher.mail import EmbeddedMail
from deployments.launcher.paypal import EmbeddedPayPal
from deployments.launcher.postgres import EmbeddedPostgres
from deployments.launcher.provider import EmbeddedProvider
from deployments.launcher.server import EmbeddedServer, LaunchError, is_free, write_whole
from deployments.launcher.stripe import EmbeddedStripe
from deployments.launcher.valkey import EmbeddedValkey
from deployments.settings import Settings
from messages.users_external import Provider
from storage.database import CONNECTION_ERRORS
from storage.migrate import MigrationDrift, migrate

MIN_FREE_BYTES = 512 * 1024 * 1024
WATCH_SECONDS = 0.5
# Tells an operator's command in another terminal where the servers are; passwords inside.
RUN_FILE = "run.json"
DEMO_FILE = "demo.json"
# Where the local stand-in of Google and Apple may send a browser: any port of this machine.
LOCAL_RETURN_URL = "http://127.0.0.1/signed-in"
STAND_IN_SETTINGS = (
    *("google_client_id", "google_client_secret", "google_issuer"),
    *("apple_client_id", "apple_team_id", "apple_key_id", "apple_private_key", "apple_issuer"),
    *("stripe_url", "stripe_secret_key", "stripe_webhook_secret"),
    *("paypal_url", "paypal_client_id", "paypal_client_secret"),
    *("paypal_webhook_id", "paypal_webhook_roots"),
    "exchange_rates_url",
    *("coinbase_url", "coinbase_key_id", "coinbase_key_secret", "coinbase_webhook_secret"),
)
PROVIDERS: tuple[type[EmbeddedProvider], ...] = (
    EmbeddedStripe,
    EmbeddedPayPal,
    EmbeddedCoinbase,
    EmbeddedRates,
)


def run(settings: Settings) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit status. Failures are one line on stderr."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            stack.enter_context(locked(settings.folder))
            _check_machine(settings)
            servers = _start_servers(settings, stack)
            _step("migrations", time.monotonic(), migrated(settings.postgres_url))
            servers += _start_stand_in(settings, stack)
            servers += _start_providers(settings, stack)
            letters_url = _letters_url(servers)
            stack.enter_context(_noted(settings, letters_url))
            engine = _engine(settings)
            stack.callback(_goodbye, engine)
            engine.start(_progress)
            if settings.demo and settings.environment != "production":
                _load_demo(settings, letters_url)
            _welcome(settings, letters_url)
            _watch(servers, engine)
    except KeyboardInterrupt:
        typer.echo("VibeStream has stopped.")
        return 0
    except (LaunchError, EngineFailed, MigrationDrift) as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    return 0


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One VibeStream a data folder. The kernel frees the lock of a dead owner, so none is stale."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file: IO[str] = (folder / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise LaunchError(f"the data folder {folder} cannot be used: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise LaunchError(f"{folder} is in use by another VibeStream (pid {owner})") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_running(folder: Path) -> bool:
    """Whether a VibeStream holds the data folder now."""
    try:
        with (folder / "lock").open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _check_machine(settings: Settings) -> None:
    ports = {
        "HTTP": settings.http_port,
        "realtime": settings.realtime_port,
        "dashboard": settings.dashboard_port,
    }
    for name, port in ports.items():
        if not is_free(port):
            variable = f"VIBESTREAM_{name.upper()}_PORT"
            raise LaunchError(f"the {name} port {port} is taken; choose another with {variable}")
    if shutil.disk_usage(settings.folder).free < MIN_FREE_BYTES:
        raise LaunchError(f"the disk of {settings.folder} is full (less than 512 MiB are free)")


def _start_servers(settings: Settings, stack: ExitStack) -> list[EmbeddedServer]:
    """Embedded servers for what has no URL; their URLs go into the settings."""
    servers: list[EmbeddedServer] = []
    if not settings.postgres_url:
        servers.append(EmbeddedPostgres(settings.folder / "postgres"))
    if not settings.redis_url:
        servers.append(EmbeddedValkey(settings.folder / "valkey"))
    if not settings.smtp_url:
        servers.append(EmbeddedMail(settings.folder / "mail"))
    for server in servers:
        began = time.monotonic()
        stack.enter_context(server)
        _step(server.title, began, f"on port {server.port}")
        if isinstance(server, EmbeddedPostgres):
            settings.postgres_url = server.url
        elif isinstance(server, EmbeddedMail):
            settings.smtp_url = server.url
        else:
            settings.redis_url = server.url
    return servers


def _start_stand_in(settings: Settings, stack: ExitStack) -> list[EmbeddedServer]:
    """Google and Apple on this machine, unless we are registered at the real ones. A guest, too."""
    if (
        settings.environment == "production"
        or settings.google_client_id
        or settings.apple_client_id
    ):
        return []
    if missing := why_missing():
        typer.echo(f"  ! no sign-in with Google and Apple: {missing}", err=True)
        return []
    redirects = {p.value: callback_url(settings.where, p) for p in Provider}
    server, began = EmbeddedIdentity(settings.folder / "identity", redirects), time.monotonic()
    try:
        stack.enter_context(server)
    except LaunchError as error:
        typer.echo(f"  ! no sign-in with Google and Apple: {error}", err=True)
        return []
    for name, value in server.settings().items():
        setattr(settings, name, value)
    settings.sign_in_return_urls = settings.sign_in_return_urls or (LOCAL_RETURN_URL,)
    _step(server.title, began, f"on port {server.port}")
    return [server]


def _start_providers(settings: Settings, stack: ExitStack) -> list[EmbeddedServer]:
    """Providers of payments on this machine, except where we have an account at the real one."""
    started: list[EmbeddedServer] = []
    for kind in PROVIDERS:
        if settings.environment == "production" or getattr(settings, kind.secret_setting):
            continue
        webhooks = f"{address(settings)}/api/v1/webhooks/{kind.name}"
        server, began = kind(settings.folder / kind.name, webhooks), time.monotonic()
        stack.enter_context(server)
        for name, value in server.settings().items():
            setattr(settings, name, value)
        _step(server.title, began, f"on port {server.port}")
        started.append(server)
    return started


def _letters_url(servers: list[EmbeddedServer]) -> str:
    """Where the local mail server shows its letters; empty where mail really leaves."""
    return next((s.letters_url for s in servers if isinstance(s, EmbeddedMail)), "")


@contextmanager
def _noted(settings: Settings, letters_url: str) -> Iterator[None]:
    urls = {
        "postgres_url": settings.postgres_url,
        "redis_url": settings.redis_url,
        "address": address(settings),
        "letters_url": letters_url,
    }
    file = settings.folder / RUN_FILE
    try:
        write_whole(file, json.dumps({"pid": os.getpid(), **urls}))
        yield
    finally:
        file.unlink(missing_ok=True)


def migrated(url: str) -> str:
    """Migrate and say what was done. Raises LaunchError or MigrationDrift."""
    try:
        applied = asyncio.run(migrate(url))
    except CONNECTION_ERRORS as error:
        raise LaunchError(f"PostgreSQL cannot be reached: {error}") from error
    return f"{len(applied)} applied" if applied else "up to date"


def _engine(settings: Settings) -> EngineProcess:
    environment = {
        "VIBESTREAM_POSTGRES_URL": settings.postgres_url,
        "VIBESTREAM_REDIS_URL": settings.redis_url,
        "VIBESTREAM_SMTP_URL": settings.smtp_url,
        "VIBESTREAM_DATA_DIR": str(settings.folder),
        "VIBESTREAM_SIGN_IN_RETURN_URLS": json.dumps(settings.sign_in_return_urls),
        **{f"VIBESTREAM_{n.upper()}": getattr(settings, n) for n in STAND_IN_SETTINGS},
    }
    return EngineProcess(environment, settings.folder / "engine.log")


def _watch(servers: list[EmbeddedServer], engine: EngineProcess) -> None:
    """Bring back whatever dies. A fixed port lets clients find a server again."""
    while True:
        time.sleep(WATCH_SECONDS)
        for server in servers:
            if not server.is_alive():
                typer.echo(f"{server.title} died; starting it again")
                server.start()
        if not engine.is_alive():
            typer.echo(f"the engine died ({engine.last_words}); starting another")
            engine.stop()
            engine.start(_progress)


def _progress(what: str) -> None:
    typer.echo(f"  … {what}")


def _step(what: str, began: float, detail: str) -> None:
    typer.echo(f"  ✓ {what} {detail} ({time.monotonic() - began:.1f} s)")


def address(settings: Settings) -> str:
    """Where the gateway answers."""
    return f"http://{settings.http_host}:{settings.http_port}"


def _load_demo(settings: Settings, letters_url: str) -> None:
    """The demo is a guest: without it the engine runs as well."""
    if not letters_url:
        typer.echo(
            "  ! no demo: its accounts read their letters, which leave this machine", err=True
        )
        return
    from demo.client import Refused
    from deployments.demonstration import load_demo

    began = time.monotonic()
    try:
        asyncio.run(load_demo(settings, address(settings), letters_url, _progress))
    except (Refused, *CONNECTION_ERRORS) as error:
        typer.echo(f"  ! the demo could not be loaded: {error}", err=True)
    else:
        _step("demo", began, f"loaded (sign in: {settings.folder / DEMO_FILE})")


def _welcome(settings: Settings, letters_url: str) -> None:
    base = address(settings)
    letters = (
        f"  mail           {letters_url} (nothing leaves this machine)\n" if letters_url else ""
    )
    typer.echo(
        f"VibeStream is running.\n  API            {base}/api/v1\n"
        f"  documentation  {base}/docs and {base}/redoc\n"
        f"  realtime       ws://{settings.http_host}:{settings.realtime_port}/realtime/ws\n"
        f"  readiness      {base}/health/ready\n{letters}"
        f"  Ray dashboard  http://127.0.0.1:{settings.dashboard_port}"
        " (token: .venv/bin/ray get-auth-token)\nCtrl-C stops it.",
    )


def _goodbye(engine: EngineProcess) -> None:
    typer.echo("stopping …")
    engine.stop()
