"""A person at a page of ours: the gateway in one hand, the provider in the other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from api.services import ExternalSignIn
from deployments.composition.identity import open_identity_providers
from deployments.launcher.identity import EmbeddedIdentity
from integrations.oidc_http import open_http
from storage.database import Pool
from tests.api_services import Api, make_services, open_api
from tests.identity_fixture import settings_of
from tests.sign_in_browser import MIRA, Browser, Returned

PAGE = "https://app.example/signed-in"
PROGRAM = "http://127.0.0.1/back"


@dataclass
class RealClock:
    """Today, because the provider's tokens are; moved by `ahead_ms`."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@dataclass
class Person:
    """One browser: its cookies at the gateway and at the provider."""

    api: Api
    browser: Browser

    async def begin(self, provider: str, **changes: Any) -> httpx.Response:
        body = {"return_url": PAGE, **changes}
        return await self.api.client.post(f"/api/v1/oauth/{provider}/authorizations", json=body)

    async def go(self, provider: str, begun: httpx.Response, account: str = "") -> Returned:
        """To the provider, up to what it has the browser bring back."""
        assert begun.status_code == 201, begun.text
        url = begun.json()["authorization_url"]
        return await self.browser.sign_in(url, account or MIRA[provider])

    async def bring(self, returned: Returned) -> httpx.Response:
        """What the provider said, to our callback."""
        return await self.api.client.request(
            returned.method, returned.url, data=returned.fields or None
        )

    async def proof(self, provider: str, account: str = "", **changes: Any) -> dict[str, str]:
        """Code and handle of a whole way there and back."""
        begun = await self.begin(provider, **changes)
        back = await self.bring(await self.go(provider, begun, account))
        return {"code": told(back)["code"], "handle": begun.json()["handle"]}

    async def complete(self, proof: dict[str, str], **changes: Any) -> httpx.Response:
        answer = await self.api.client.post("/api/v1/oauth/completion", json={**proof, **changes})
        if answer.status_code == 201:
            self.api.token = answer.json()["access_token"]
        return answer

    async def link(self, proof: dict[str, str], key: str | None = None) -> httpx.Response:
        return await self.api.client.post(
            "/api/v1/users/me/external-identities", json=proof, headers=self.api.headers(key)
        )

    async def identities(self) -> list[dict[str, Any]]:
        answer = await self.api.client.get(
            "/api/v1/users/me/external-identities", headers=self.api.headers()
        )
        found: list[dict[str, Any]] = answer.json()["identities"]
        return found

    async def unlink(self, identity_id: str) -> httpx.Response:
        return await self.api.client.delete(
            f"/api/v1/users/me/external-identities/{identity_id}", headers=self.api.headers()
        )


def told(back: httpx.Response) -> dict[str, str]:
    """What the page reads from its address."""
    assert back.status_code == 303, back.text
    return {name: values[0] for name, values in parse_qs(urlsplit(place(back)).query).items()}


def place(back: httpx.Response) -> str:
    return str(back.headers["location"])


@asynccontextmanager
async def open_person(
    server: EmbeddedIdentity, pool: Pool, folder: Path, *, secure: bool = False
) -> AsyncIterator[Person]:
    clock = RealClock()
    async with open_http() as client:
        providers = open_identity_providers(settings_of(server), client, clock)
        external = ExternalSignIn(providers, (PAGE, PROGRAM), secure)
        services = make_services(folder, pool, external=external, clock=clock)
        async with open_api(services) as api, Browser(server.url) as browser:
            yield Person(api, browser)


@asynccontextmanager
async def another(person: Person) -> AsyncIterator[Person]:
    """Somebody else at another browser, on the same gateway."""
    api = person.api
    transport = httpx.ASGITransport(app=api.app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://api.test") as client,
        Browser(person.browser.provider_url) as browser,
    ):
        yield Person(Api(api.services, api.app, client, keys=1_000), browser)
