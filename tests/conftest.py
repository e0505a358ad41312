"""Servers for the whole session, a fresh database for each test that asks for one."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import redis.asyncio as redis_asyncio
from hypothesis import HealthCheck, settings

from deployments.launcher.identity import EmbeddedIdentity
from storage.database import Pool, open_pool
from storage.migrate import migrate

# py_ecc, an oracle of some tests, raises the recursion limit of the whole process when it is first
# imported, beyond what the stack can hold: deeply nested JSON would end the process and not be
# refused. Imported here first, so that a test that needs a higher limit raises it for itself.
_LIMIT = sys.getrecursionlimit()
import py_ecc  # noqa: E402, F401

sys.setrecursionlimit(_LIMIT)

settings.register_profile(
    "vibestream", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("vibestream")


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL superuser connection: the given server or an embedded one."""
    if given := os.environ.get("VIBESTREAM_TEST_POSTGRES_URL"):
        yield given
        return
    from deployments.launcher.postgres import EmbeddedPostgres

    with EmbeddedPostgres(Path(tmp_path_factory.mktemp("postgres"))) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("VIBESTREAM_TEST_REDIS_URL"):
        yield given
        return
    from deployments.launcher.valkey import EmbeddedValkey

    with EmbeddedValkey(Path(tmp_path_factory.mktemp("valkey"))) as server:
        yield server.url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: str) -> Iterator[str]:
    """A migrated database that others are cloned from (a clone takes tens of milliseconds)."""
    name = f"template_{uuid.uuid4().hex[:12]}"

    async def make() -> None:
        admin = await asyncpg.connect(postgres_server)
        await admin.execute(f'create database "{name}"')
        await admin.close()
        await migrate(with_database(postgres_server, name))

    async def drop() -> None:
        admin = await asyncpg.connect(postgres_server)
        await admin.execute(f'drop database if exists "{name}" with (force)')
        await admin.close()

    asyncio.run(make())
    yield name
    asyncio.run(drop())


@pytest.fixture
def database_url(postgres_server: str, migrated_template: str) -> Iterator[str]:
    """A fresh, migrated database of this test alone."""
    name = f"test_{uuid.uuid4().hex[:12]}"

    async def run(statement: str) -> None:
        admin = await asyncpg.connect(postgres_server)
        await admin.execute(statement)
        await admin.close()

    asyncio.run(run(f'create database "{name}" template "{migrated_template}"'))
    yield with_database(postgres_server, name)
    asyncio.run(run(f'drop database if exists "{name}" with (force)'))


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_url, max_size=8)
    yield opened
    await opened.close()


@pytest.fixture
async def redis_client(redis_server: str) -> AsyncIterator[redis_asyncio.Redis]:
    """A client on an emptied Redis database."""
    client = redis_asyncio.Redis.from_url(redis_server, socket_timeout=None)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def identity_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedIdentity]:
    """Google and Apple on this machine; skips where node or its packages are absent."""
    from tests.identity_fixture import started

    yield from started(Path(tmp_path_factory.mktemp("identity")))
