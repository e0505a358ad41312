"""Keys rotate while two gateways are at work: nobody's request is refused for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from api.app import create_app
from deployments.composition.common import now_ms
from domain.signing_keys import KeyPolicy, is_good
from integrations.signing_keys import add_signing_key, follow, key_files, load_signing_keys
from integrations.tokens import AccessTokens
from storage.database import Pool
from tests.api_services import Api, make_services, open_api
from tests.integration.http_support import serving

# A quarter of an hour in two seconds.
POLICY = KeyPolicy(publish_ms=1_000, lifetime_ms=2_000, margin_ms=500)
ROTATIONS = 8
PAUSE_S = 0.4
TABS = 6

Gateways = tuple[Api, httpx.AsyncClient, httpx.AsyncClient]


@pytest.fixture
async def gateways(pool: Pool, tmp_path: Path) -> AsyncIterator[Gateways]:
    folder = tmp_path / "keys"
    async with AsyncExitStack() as stack:
        services = make_services(tmp_path, pool, clock=now_ms)
        clients = []
        for _ in range(2):
            tokens = AccessTokens(load_signing_keys(folder), policy=POLICY)
            following = asyncio.create_task(follow(folder, tokens.use, 0.02))
            stack.callback(following.cancel)
            services = replace(services, tokens=tokens)
            url = await stack.enter_async_context(serving(create_app(services)))
            client = httpx.AsyncClient(base_url=url, timeout=30)
            clients.append(await stack.enter_async_context(client))
        yield await stack.enter_async_context(open_api(services)), clients[0], clients[1]


async def published(client: httpx.AsyncClient) -> set[str]:
    keys = (await client.get("/.well-known/jwks.json")).json()["keys"]
    return {key["kid"] for key in keys}


async def rotate(folder: Path, done: asyncio.Event) -> None:
    """What the operator's commands do, and how often."""
    for _ in range(ROTATIONS):
        await asyncio.to_thread(add_signing_key, folder, now_ms() + POLICY.publish_ms)
        await asyncio.sleep(PAUSE_S)
        files = await asyncio.to_thread(key_files, folder)
        moments = [key.signs_from_ms for _, key in files]
        for index, (file, _) in enumerate(files):
            if not is_good(moments, index, now_ms(), POLICY):
                file.unlink()
    await asyncio.sleep(POLICY.publish_ms / 1_000)
    done.set()


async def test_no_request_is_refused_while_keys_rotate(gateways: Gateways, tmp_path: Path) -> None:
    api, *clients = gateways
    await api.register()
    done, used = asyncio.Event(), set[str]()

    async def tab(number: int) -> None:
        session: dict[str, Any] = (await api.sign_in()).json()
        while not done.is_set():
            one, other = clients[number % 2], clients[(number + 1) % 2]
            answer = await one.post(
                "/api/v1/sessions/refresh", json={"refresh_token": session["refresh_token"]}
            )
            assert answer.status_code == 200, answer.text
            session = answer.json()
            token = session["access_token"]
            kid = jwt.get_unverified_header(token)["kid"]
            used.add(kid)
            assert kid in await published(other), "whoever signs was published before"
            for client in (other, one):
                me = await client.get(
                    "/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}
                )
                assert me.status_code == 200, me.text
            number += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(rotate(tmp_path / "keys", done))
        for number in range(TABS):
            group.create_task(tab(number))
    assert len(used) >= ROTATIONS - 1, "keys did take turns"
    assert len(await published(clients[0])) < ROTATIONS, "and those that are over went"
