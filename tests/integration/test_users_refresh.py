"""Refresh tokens over HTTP, on two gateways that share a database."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import refreshing
from api.app import create_app
from domain.users_sessions import POLICY
from integrations.refresh_tokens import RefreshTokens, digest
from storage import users_refresh, users_sessions
from storage.database import Pool, open_pool
from tests.api_services import NOW_MS, Api, assert_problem, make_services, open_api
from tests.integration.http_support import serving

REFRESH = "/api/v1/sessions/refresh"
ME = "/api/v1/users/me"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


def later(api: Api, ms: int) -> None:
    api.services.clock.now_ms += ms  # type: ignore[attr-defined]


async def signed_in(api: Api, name: str = "mira") -> dict[str, Any]:
    await api.register(name)
    session: dict[str, Any] = (await api.sign_in(name)).json()
    return session


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(REFRESH, json={"refresh_token": token})


async def live(pool: Pool) -> list[int]:
    query = "select number from users.refresh_tokens where used_at_ms is null"
    return [row["number"] for row in await pool.fetch(query)]


async def test_each_use_gives_another_token_and_only_hashes_are_kept(api: Api) -> None:
    session = await signed_in(api)
    tokens, access = [session["refresh_token"]], {session["access_token"]}
    for _ in range(3):
        later(api, 60_000)
        answer = await refresh(api.client, tokens[-1])
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        tokens.append(answer.json()["refresh_token"])
        access.add(answer.json()["access_token"])
    assert len(set(tokens)) == len(access) == 4
    claims = api.services.tokens.verify(answer.json()["access_token"], api.services.clock())
    assert claims.session_id == session["session_id"]
    assert claims.authenticated_at_ms == NOW_MS, "a refresh proves nothing anew"
    rows = await api.pool.fetch("select * from users.refresh_tokens order by number")
    assert [row["token_hash"] for row in rows] == [digest(token) for token in tokens]
    stored = repr(rows) + repr(await api.pool.fetch("select * from users.sessions"))
    assert not any(token[4:] in stored for token in tokens)
    last_used = await api.pool.fetchval("select last_used_at_ms from users.sessions")
    assert last_used == api.services.clock()


async def test_a_late_reuse_ends_the_session_for_thief_and_victim(api: Api) -> None:
    session = await signed_in(api)
    stolen = session["refresh_token"]
    later(api, 60_000)
    own = (await refresh(api.client, stolen)).json()["refresh_token"]
    later(api, POLICY.grace_ms + 1)
    events = await api.pool.fetchval("select count(*) from bus.outbox")
    assert_problem(await refresh(api.client, stolen), 401, "session-ended")
    assert_problem(await refresh(api.client, own), 401, "session-ended")
    assert_problem(await refresh(api.client, stolen), 401, "session-ended")
    (row,) = await api.pool.fetch("select ended_at_ms, ended_because from users.sessions")
    assert tuple(row) == (api.services.clock(), "refresh-token-reused")
    told = await api.pool.fetch("select * from bus.outbox order by id offset $1", events)
    assert [event["type"] for event in told] == ["RefreshReuseDetected", "SessionClosed"]
    assert {event["stream"] for event in told} == {"users"}
    first, second = [event["sequence"] for event in told]
    assert second == first + 1
    assert {tuple(event["channels"]) for event in told} == {(f"user:{session['user_id']}",)}
    actions = await api.pool.fetch("select action from audit.entries order by entry_id")
    assert [row["action"] for row in actions][-2:] == [
        "session.refresh-token-reused",
        "session.ended",
    ]
    suspected = "select recipient, params from mail.outgoing where template = 'session-suspected'"
    (letter,) = await api.pool.fetch(suspected)
    assert letter["recipient"] == "mira@example.org"
    assert json.loads(letter["params"]) == {"device": "Unknown device", "place": "this machine"}
    assert (await api.sign_in()).status_code == 201, "the account is not locked"


async def test_within_the_grace_the_answer_is_the_same(api: Api) -> None:
    token = (await signed_in(api))["refresh_token"]
    first = (await refresh(api.client, token)).json()
    later(api, POLICY.grace_ms)
    again = (await refresh(api.client, token)).json()
    assert again["refresh_token"] == first["refresh_token"]
    assert again["access_token"] != first["access_token"]
    assert await live(api.pool) == [1]


async def test_an_overtaken_tab_is_brought_to_the_live_token(api: Api) -> None:
    token = (await signed_in(api))["refresh_token"]
    second = (await refresh(api.client, token)).json()["refresh_token"]
    third = (await refresh(api.client, second)).json()["refresh_token"]
    later(api, POLICY.overtaken_ms)
    assert (await refresh(api.client, token)).json()["refresh_token"] == third
    later(api, 1)
    assert_problem(await refresh(api.client, token), 401, "session-ended")


BAD_TOKENS = [
    ({"refresh_token": ""}, 401, "refresh-token-invalid"),
    ({"refresh_token": "x"}, 401, "refresh-token-invalid"),
    ({"refresh_token": RefreshTokens(b"o" * 32).first()}, 401, "refresh-token-invalid"),
    ({"refresh_token": "vsr_" + "\u0000" * 43}, 401, "refresh-token-invalid"),
    ({"refresh_token": "x" * 101}, 422, "invalid-request"),
    ({"refresh_token": 7}, 422, "invalid-request"),
    ({}, 422, "invalid-request"),
    (None, 401, "refresh-token-invalid"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_TOKENS)
async def test_what_is_no_token_is_refused(
    api: Api, body: dict[str, Any] | None, status: int, code: str
) -> None:
    await signed_in(api)
    assert_problem(await api.client.post(REFRESH, json=body), status, code)
    assert await live(api.pool) == [0]


async def test_a_session_ends_when_it_is_old_or_idle_or_its_account_is_not_active(
    api: Api,
) -> None:
    token = (await signed_in(api))["refresh_token"]
    await api.pool.execute("update users.users set status = 'suspended'")
    assert_problem(await refresh(api.client, token), 401, "session-ended")
    await api.pool.execute("update users.users set status = 'active'")
    token = (await refresh(api.client, token)).json()["refresh_token"]
    later(api, POLICY.idle_ms)
    assert_problem(await refresh(api.client, token), 401, "session-ended")
    token = (await api.sign_in()).json()["refresh_token"]
    days = 0
    while (answer := await refresh(api.client, token)).status_code == 200:
        token = answer.json()["refresh_token"]
        later(api, 86_400_000)
        days += 1
    assert_problem(answer, 401, "session-ended")
    assert days == 30
    kept = await api.pool.fetchval("select count(*) from users.refresh_tokens where number > 2")
    assert kept <= 9, "used tokens are forgotten after a week"


async def test_another_secret_ends_nothing(api: Api) -> None:
    token = (await signed_in(api))["refresh_token"]
    own = (await refresh(api.client, token)).json()["refresh_token"]
    changed = replace(api.services, refresh_tokens=RefreshTokens(b"o" * 32))
    async with open_api(changed) as other:
        assert_problem(await refresh(other.client, token), 401, "refresh-token-invalid")
        assert (await refresh(other.client, own)).status_code == 200


@pytest.fixture
async def gateways(
    database_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Api, httpx.AsyncClient, httpx.AsyncClient]]:
    """Two gateways with pools of their own, on sockets; the first one's services to look behind."""
    async with AsyncExitStack() as stack:
        first = make_services(tmp_path)
        clients, apis = [], []
        for _ in range(2):
            pool = await open_pool(database_url, max_size=6)
            stack.push_async_callback(pool.close)
            services = replace(first, pool=pool)
            url = await stack.enter_async_context(serving(create_app(services)))
            client = httpx.AsyncClient(base_url=url, timeout=30)
            clients.append(await stack.enter_async_context(client))
            apis.append(await stack.enter_async_context(open_api(services)))
        yield apis[0], clients[0], clients[1]


Gateways = tuple[Api, httpx.AsyncClient, httpx.AsyncClient]


async def test_many_tabs_that_refresh_at_the_same_moment_all_go_on(gateways: Gateways) -> None:
    api, *clients = gateways
    token = (await signed_in(api))["refresh_token"]
    for number in range(1, 6):
        later(api, 10 * 60_000)
        tabs = itertools.islice(itertools.cycle(clients), 24)
        answers = await asyncio.gather(*(refresh(client, token) for client in tabs))
        assert {answer.status_code for answer in answers} == {200}
        (token,) = {answer.json()["refresh_token"] for answer in answers}
        assert await live(api.pool) == [number]
        me = await clients[0].get(
            ME, headers={"Authorization": f"Bearer {answers[-1].json()['access_token']}"}
        )
        assert me.status_code == 200
    assert await api.pool.fetchval("select count(*) from users.sessions") == 1


async def test_tabs_that_do_not_wait_for_each_other_all_go_on(gateways: Gateways) -> None:
    """Each refreshes with whatever it was told last, again and again, on either gateway."""
    api, *clients = gateways
    token = (await signed_in(api))["refresh_token"]

    async def tab(client: httpx.AsyncClient) -> str:
        mine: str = token
        for _ in range(12):
            answer = await refresh(client, mine)
            assert answer.status_code == 200, answer.text
            mine = answer.json()["refresh_token"]
        return mine

    last = await asyncio.gather(*(tab(clients[n % 2]) for n in range(4)))
    assert len(await live(api.pool)) == 1
    answers = [await refresh(clients[0], mine) for mine in last]
    assert {answer.status_code for answer in answers} == {200}


async def test_an_answer_that_was_lost_is_given_again_by_another_gateway(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first gateway dies between its commit and its answer."""
    api, one, other = gateways
    token = (await signed_in(api))["refresh_token"]

    with monkeypatch.context() as patched:
        patched.setattr(refreshing, "signed_in", _dying)
        answer = await refresh(one, token)
        assert answer.status_code == 500
    assert await live(api.pool) == [1], "it had committed"
    later(api, 5_000)
    again = await refresh(other, token)
    assert again.status_code == 200
    assert await live(api.pool) == [1]
    assert (await refresh(one, again.json()["refresh_token"])).status_code == 200


def _dying(*_: object) -> None:
    raise RuntimeError("the gateway is gone")


async def test_a_thief_among_many_tabs_is_found(gateways: Gateways) -> None:
    """The thief comes late on one gateway while the owner's tabs refresh on the other."""
    api, one, other = gateways
    stolen = (await signed_in(api))["refresh_token"]
    token = (await refresh(one, stolen)).json()["refresh_token"]
    later(api, POLICY.grace_ms + 1)
    answers = await asyncio.gather(
        *(refresh(one, token) for _ in range(8)), *(refresh(other, stolen) for _ in range(8))
    )
    assert {answer.status_code for answer in answers[8:]} == {401}
    assert (await refresh(one, token)).status_code == 401
    assert await api.pool.fetchval("select ended_because from users.sessions") is not None
    told = "select count(*) from bus.outbox where type = 'RefreshReuseDetected'"
    assert await api.pool.fetchval(told) == 1


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        text
        for module in (users_sessions, users_refresh)
        for name, text in vars(module).items()
        if re.fullmatch(r"_[A-Z_]+", name) and name != "_LIVE"
    ]
    assert len(statements) == 16
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)
