"""Where an operator's command finds PostgreSQL, whether or not VibeStream runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import asyncpg

from deployments.launcher.postgres import EmbeddedPostgres
from deployments.launcher.server import LaunchError
from deployments.runner import RUN_FILE, is_running, locked
from deployments.settings import Settings
from storage.database import CONNECTION_ERRORS, Connection

Answer = TypeVar("Answer")


@contextmanager
def postgres_url(settings: Settings) -> Iterator[str]:
    """The setting's server, else the running system's, else the data folder's, started for us.

    Raises LaunchError. The folder is locked while its server is ours.
    """
    if settings.postgres_url:
        yield settings.postgres_url
    elif is_running(settings.folder):
        yield running(settings)["postgres_url"]
    elif not (settings.folder / "postgres").exists():
        raise LaunchError(f"{settings.folder} holds no data yet: start with `make run`")
    else:
        with locked(settings.folder), EmbeddedPostgres(settings.folder / "postgres") as server:
            yield server.url


def ask(settings: Settings, question: Callable[[Connection], Awaitable[Answer]]) -> Answer:
    """The question's answer on one connection. Raises LaunchError if there is no server."""

    async def connected(url: str) -> Answer:
        try:
            connection = await asyncpg.connect(url, timeout=10)
        except (*CONNECTION_ERRORS, asyncpg.InvalidAuthorizationSpecificationError) as error:
            raise LaunchError(f"PostgreSQL cannot be reached: {error}") from error
        try:
            return await question(connection)
        finally:
            await connection.close()

    with postgres_url(settings) as url:
        return asyncio.run(connected(url))


def running(settings: Settings) -> dict[str, str]:
    """Where the VibeStream of the data folder answers: `postgres_url`, `address`, `letters_url`.

    Raises LaunchError.
    """
    if not is_running(settings.folder):
        raise LaunchError(f"no VibeStream runs in {settings.folder}: start one with `make run`")
    try:
        notes = json.loads((settings.folder / RUN_FILE).read_text("utf-8"))
        return {name: str(notes[name]) for name in ("postgres_url", "address", "letters_url")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LaunchError(f"the VibeStream in {settings.folder} is still starting") from error
