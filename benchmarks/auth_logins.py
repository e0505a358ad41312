"""Sign-ins through the door and bare hashes, with as many at once.

Each user signs in again as soon as they were signed in; a bare hash is one check of one of the same
passwords on the same threads. Real PostgreSQL and Valkey; no HTTP, whose cost is the client's, too.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from api.app import create_app
from api.rate_limits import Limiter
from api.services import Services
from benchmarks.auth_app import PLENTY
from benchmarks.gateway_server import open_app
from domain.rate_limits import LIMITS, changed
from storage.database import Pool, open_pool
from storage.migrate import migrate
from storage.rate_limits import LocalRates, RedisRates, SteadyRates, open_client
from storage.throttle import LocalAttempts, RedisAttempts, SteadyAttempts

AT_ONCE = 4
SECONDS = 4.0
PASSWORD = "plinth marmot 42 quilt"
FIGURES = {**PLENTY, "credentials": "1000000/1"}
ADD_USER = """
insert into users.users
    (user_id, username, username_key, email, email_key, password_hash, time_zone, locale,
     created_at_ms)
values ($1, $2, $2, $3, $3, $4, 'UTC', 'en', 0)"""


class Logins:
    """Users, the door, and their hashes."""

    def __init__(self, app: Any, services: Services, hashes: list[tuple[str, str]]) -> None:
        self._app, self._services, self._hashes = app, services, hashes

    @classmethod
    @asynccontextmanager
    async def open(cls, postgres: str, redis: str, folder: Path) -> AsyncIterator[Logins]:
        """Over a database of its own in these servers."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        admin = await asyncpg.connect(postgres)
        await admin.execute(f'create database "{name}"')
        url = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
        await migrate(url)
        pool = await open_pool(url, max_size=8)
        client = open_client(redis)
        services: Services = open_app(folder).state.services
        rates = SteadyRates(RedisRates(client), LocalRates(_us), time.monotonic)
        services = replace(
            services,
            pool=pool,
            limiter=Limiter(rates, time.monotonic, changed(LIMITS, FIGURES)),
            attempts=SteadyAttempts(RedisAttempts(client), LocalAttempts(lambda: _us() // 1_000)),
        )
        hashes = await _register(pool, services)
        yield cls(create_app(services), services, hashes)
        services.passwords.close()
        await client.aclose()
        await pool.close()
        await admin.execute(f'drop database "{name}" with (force)')
        await admin.close()

    async def per_second(self, what: str) -> float:
        """`door`: sign-ins; `bare`: checks of the same hashes."""
        one = self._sign_in if what == "door" else self._check
        end = time.perf_counter() + SECONDS
        began = time.perf_counter()

        async def again(number: int) -> int:
            made = 0
            while time.perf_counter() < end:
                await one(number)
                made += 1
            return made

        made = sum(await asyncio.gather(*(again(number) for number in range(AT_ONCE))))
        return made / (time.perf_counter() - began)

    async def _check(self, number: int) -> None:
        assert await self._services.passwords.verify(self._hashes[number][1], PASSWORD)

    async def _sign_in(self, number: int) -> None:
        body = json.dumps({"username": self._hashes[number][0], "password": PASSWORD}).encode()
        statuses: list[int] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        path = "/api/v1/sessions"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"api.test"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
            "client": (f"203.0.113.{number}", 4711),
            "server": ("api.test", 80),
        }
        await self._app(scope, receive, send)
        assert statuses == [201], statuses


async def _register(pool: Pool, services: Services) -> list[tuple[str, str]]:
    made = []
    for number in range(AT_ONCE):
        name, encoded = f"user-{number}", await services.passwords.hash(PASSWORD)
        await pool.execute(ADD_USER, uuid.uuid4(), name, f"{name}@example.org", encoded)
        made.append((name, encoded))
    return made


def _us() -> int:
    return time.monotonic_ns() // 1_000
