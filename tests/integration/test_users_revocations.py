"""A session that ended is refused by every replica, and its WebSockets are closed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from api.realtime.hub import Hub
from api.realtime.limits import Limits
from api.realtime.operations import Operations
from api.realtime.protocol import CloseCode
from api.realtime.server import RealtimeServer
from integrations.signing_keys import generate_signing_key
from integrations.tokens import AccessTokens
from messages.errors import Unavailable
from messages.users_sessions import SessionEnded
from storage import users_revocations
from storage.database import Pool
from storage.users_revocations import KEEP_MS, Revocations
from tests.api_services import NOW_MS, Api, assert_problem, make_services, open_api
from tests.integration.realtime_support import connected, serving_both, until

ME = "/api/v1/users/me"
SESSIONS = "/api/v1/users/me/sessions"


class Replicas(NamedTuple):
    """Two gateways and a realtime door, each with revocations of its own."""

    one: Api
    two: Api
    door: RealtimeServer
    urls: tuple[str, str]
    revocations: list[Revocations]


@pytest.fixture
async def replicas(pool: Pool, database_url: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    key = generate_signing_key()
    services = make_services(tmp_path, pool)
    async with AsyncExitStack() as stack:
        followed, tokens = [], []
        for _ in range(3):
            revocations = Revocations(lambda: database_url, services.clock)
            await revocations.start()
            stack.push_async_callback(revocations.close)
            followed.append(revocations)
            tokens.append(AccessTokens([key], revocations=revocations))
        apis = [
            await stack.enter_async_context(open_api(replace(services, tokens=each)))
            for each in tokens[:2]
        ]
        door = RealtimeServer(
            Hub(Limits(bye_spread_ms=0)),
            Operations(clock=services.clock),
            lambda token: tokens[2].verify(token, services.clock()),
            None,
        )
        followed[2].on_ended(door.end_sessions)
        urls = await stack.enter_async_context(serving_both(door))
        yield Replicas(apis[0], apis[1], door, urls, followed)


async def refused(api: Api, token: str) -> bool:
    answer = await api.client.get(ME, headers={"Authorization": f"Bearer {token}"})
    if answer.status_code == 200:
        return False
    assert_problem(answer, 401, "session-ended")
    return True


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.005)


async def sign_in(api: Api) -> dict[str, Any]:
    session: dict[str, Any] = (await api.sign_in()).json()
    return session


async def closed(socket: ClientConnection) -> tuple[int, list[str]]:
    """With what a connection was closed, and what came before."""
    said = []
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionClosed):
            while True:
                said.append(str(await socket.recv()))
    assert socket.close_code is not None
    return socket.close_code, said


async def test_a_session_that_ended_is_over_everywhere(replicas: Replicas) -> None:
    one, two, _, urls, _ = replicas
    await one.register()
    lost, kept = await sign_in(one), await sign_in(one)
    token = lost["access_token"]
    assert not await refused(two, token)
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connected(url, session["access_token"]))
            for session in (lost, kept)
            for url in urls
        ]
        path = f"{SESSIONS}/{lost['session_id']}"
        assert (await one.client.delete(path, headers=one.headers())).status_code == 204
        for client in sockets[:2]:
            code, said = await closed(client.socket)
            assert code == CloseCode.SESSION_ENDED
            assert '"session-ended"' in said[-1]
        await eventually(lambda: refused(two, token))
        await eventually(lambda: refused(one, token))
        assert not await refused(two, kept["access_token"])
        for client in sockets[2:]:
            assert (await client.ask({"t": "ping", "id": "1"}))["t"] == "pong"
        # Who comes back with the same token is not let in.
        for url in urls:
            async with connected(url, hello=False) as client:
                await client.say({"t": "hello", "token": token})
                assert (await closed(client.socket))[0] == CloseCode.SESSION_ENDED


async def test_a_refresh_token_that_is_reused_closes_the_connections_too(
    replicas: Replicas,
) -> None:
    one, two, _, urls, _ = replicas
    await one.register()
    session = await sign_in(one)
    body = {"refresh_token": session["refresh_token"]}
    await one.client.post("/api/v1/sessions/refresh", json=body)
    async with connected(urls[0], session["access_token"]) as client:
        one.services.clock.now_ms += 60_000  # type: ignore[attr-defined]
        reused = await two.client.post("/api/v1/sessions/refresh", json=body)
        assert_problem(reused, 401, "session-ended")
        assert (await closed(client.socket))[0] == CloseCode.SESSION_ENDED


async def test_what_ended_while_the_connection_was_lost_is_learned(replicas: Replicas) -> None:
    one, two, _, urls, _ = replicas
    await one.register()
    session = await sign_in(one)
    async with connected(urls[0], session["access_token"]) as client:
        cut_and_end = """
        with cut as (
            select count(pg_terminate_backend(pid)) as n from pg_stat_activity
            where application_name = 'vibestream revocations' and datname = current_database())
        update users.sessions set ended_at_ms = $1, ended_because = 'revoked'
        from cut where cut.n = 3"""
        assert await one.pool.execute(cut_and_end, NOW_MS) == "UPDATE 1"
        assert (await closed(client.socket))[0] == CloseCode.SESSION_ENDED
    await eventually(lambda: refused(one, session["access_token"]))
    await eventually(lambda: refused(two, session["access_token"]))


async def test_an_end_that_nobody_announced_is_found(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_revocations, "BEAT_S", 0.05)
    one = replicas.one
    await one.register()
    session = await sign_in(one)
    silent = "update users.sessions set ended_at_ms = $1, ended_because = 'revoked'"
    await one.pool.execute(silent, NOW_MS)
    await eventually(lambda: refused(one, session["access_token"]))


async def test_who_starts_knows_what_ended_before_and_forgets_in_time(
    replicas: Replicas, database_url: str
) -> None:
    one = replicas.one
    await one.register()
    session = await sign_in(one)
    await one.client.delete(SESSIONS + "/" + session["session_id"], headers=one.headers())
    for later_ms, known in ((KEEP_MS - 1, True), (KEEP_MS, False)):
        started = Revocations(lambda: database_url, lambda: NOW_MS + later_ms)  # noqa: B023
        await started.start()
        try:
            if known:
                with pytest.raises(SessionEnded):
                    started.check(session["session_id"])
            else:
                started.check(session["session_id"])
        finally:
            await started.close()
    one.services.clock.now_ms += KEEP_MS  # type: ignore[attr-defined]
    await until(lambda: not replicas.revocations[0]._ended)


async def test_who_hears_nothing_for_long_judges_no_token(replicas: Replicas) -> None:
    one, _, door, urls, revocations = replicas
    await one.register()
    session = await sign_in(one)
    for each in revocations:
        await each.close()
        each._heard = time.monotonic() - users_revocations.STALE_S - 1
        with pytest.raises(Unavailable):
            each.check(session["session_id"])
    answer = await one.client.get(ME, headers=one.headers())
    assert_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"]
    async with connected(urls[0], hello=False) as client:
        await client.say({"t": "hello", "token": session["access_token"]})
        code, said = await closed(client.socket)
        assert code == CloseCode.SERVER_RESTART
        assert '"unavailable"' in said[-1]
    await until(lambda: len(door) == 0)
