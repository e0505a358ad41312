"""The gateway's ports for tests: real stores, quick hashing, a clock that tests move."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from api.app import create_app
from api.services import ApiSettings, RealtimeEndpoints, Services
from integrations.audio import ProcessInspector
from integrations.passkeys import RelyingParty
from integrations.passwords import Passwords
from integrations.refresh_tokens import RefreshTokens
from integrations.sealing import Vault
from integrations.signing_keys import generate_signing_key
from integrations.tokens import AccessTokens
from storage.database import Pool
from storage.objects import FolderObjects

PASSWORD = "plinth marmot 42 quilt"
NOW_MS = 1_790_000_000_000


@dataclass
class Clock:
    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


async def _endpoints() -> RealtimeEndpoints:
    return RealtimeEndpoints(("ws://{host}:8011/",), "ws://{host}:{port}/realtime/ws")


def make_services(folder: Path, pool: Any = None, **changes: Any) -> Services:
    """Services on `pool`. Settings may be changed by their names, ports by theirs."""
    settings = ApiSettings(fingerprint_secret=b"s" * 32, upload_folder=folder / "uploads")
    names = set(ApiSettings.__dataclass_fields__)
    settings = replace(settings, **{k: v for k, v in changes.items() if k in names})
    services = Services(
        pool=pool,
        objects=FolderObjects(folder / "objects"),
        audio=ProcessInspector(),
        passwords=Passwords(time_cost=1, memory_kib=64),
        tokens=AccessTokens([generate_signing_key()]),
        vault=Vault([b"v" * 32]),
        relying_party=RelyingParty.of("http://localhost:8000"),
        refresh_tokens=RefreshTokens(b"r" * 32),
        settings=settings,
        clock=Clock(),
        new_id=lambda: str(uuid.uuid4()),
        realtime=_endpoints,
    )
    return replace(services, **{k: v for k, v in changes.items() if k not in names})


@dataclass
class Api:
    """A client on a gateway, and what a test may look at behind it."""

    services: Services
    app: FastAPI
    client: httpx.AsyncClient
    token: str = ""
    keys: int = field(default=0)

    @property
    def pool(self) -> Pool:
        return self.services.pool

    def headers(self, key: str | None = None) -> dict[str, str]:
        """A bearer token, if signed in, and an idempotency key, fresh if not given."""
        self.keys += 1
        headers = {"Idempotency-Key": key or f"test-key-{self.keys:06d}"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    async def register(self, name: str = "mira", **changes: Any) -> httpx.Response:
        """Register and show the token that was mailed: the user, or why there is none."""
        asked = await self.ask_to_register(name, **changes)
        if asked.status_code != 202:
            return asked
        email = changes.get("email", f"{name}@example.org")
        return await self.verify(await self.mailed_token(email, name))

    async def ask_to_register(self, name: str = "mira", **changes: Any) -> httpx.Response:
        key = changes.pop("key", None)
        body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD, **changes}
        return await self.client.post("/api/v1/users", json=body, headers=self.headers(key))

    async def verify(self, token: str) -> httpx.Response:
        return await self.client.post("/api/v1/users/verification", json={"token": token})

    async def mailed_token(self, email: str, username: str) -> str:
        """The token in the last letter to an address about a user; empty if there is none."""
        letters = await self.letters(email)
        tokens = [params["token"] for _, params in letters if params["username"] == username
                  and "token" in params]  # fmt: skip
        return tokens[-1] if tokens else ""

    async def letters(self, email: str) -> list[tuple[str, dict[str, Any]]]:
        """The letters that wait for an address, in the order of their transactions."""
        rows = await self.pool.fetch(
            "select template, params from mail.outgoing where recipient_key = lower($1) "
            "order by xmin::text::bigint", email,
        )  # fmt: skip
        return [(row["template"], json.loads(row["params"])) for row in rows]

    async def sign_in(self, name: str = "mira", password: str = PASSWORD) -> httpx.Response:
        body = {"username": name, "password": password}
        answer = await self.client.post("/api/v1/sessions", json=body)
        if answer.status_code == 201:
            self.token = answer.json()["access_token"]
        return answer

    async def become_artist(self, name: str = "mira") -> None:
        assert (await self.register(name)).status_code == 201
        assert (await self.sign_in(name)).status_code == 201
        answer = await self.client.post(
            "/api/v1/artists", json={"name": name.title()}, headers=self.headers()
        )
        assert answer.status_code == 201

    async def upload(
        self, path: Path | bytes, title: str = "Song", key: str | None = None
    ) -> httpx.Response:
        content = path if isinstance(path, bytes) else await asyncio.to_thread(path.read_bytes)
        return await self.client.post(
            "/api/v1/songs",
            data={"title": title},
            files={"file": ("song.bin", content, "application/octet-stream")},
            headers=self.headers(key),
        )

    async def rows(self) -> Mapping[str, int]:
        """How many rows each table that a request may write has."""
        tables = (
            "users.users",
            "users.registrations",
            "mail.outgoing",
            "music.artists",
            "music.songs",
            "api.idempotency",
            "bus.outbox",
        )
        return {t: await self.pool.fetchval(f"select count(*) from {t}") for t in tables}


@asynccontextmanager
async def open_api(services: Services) -> AsyncIterator[Api]:
    """A client on a fresh application over `services`."""
    app = create_app(services)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield Api(services, app, client)
    services.passwords.close()


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a well-formed problem document with this status and code."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["type"] == f"urn:vibestream:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem
