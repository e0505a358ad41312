"""Sessions through the gateway on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api.signing_in import renew_session
from messages.users_sessions import Method, SessionEnded
from storage.database import Pool
from tests.api_services import NOW_MS, Api, make_services, open_api

DAY_MS = 86_400_000


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


async def test_a_sign_in_is_a_session_that_is_audited(api: Api) -> None:
    await api.register()
    api.client.headers["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Firefox/127.0"
    session = (await api.sign_in()).json()
    (row,) = await api.pool.fetch("select * from users.sessions")
    assert str(row["session_id"]) == session["session_id"]
    assert (row["device"], row["address"], row["place"]) == (
        "Firefox on Linux",
        "127.0.0.1",
        "this machine",
    )
    assert row["created_at_ms"] == row["last_used_at_ms"] == row["authenticated_at_ms"] == NOW_MS
    assert row["expires_at_ms"] == NOW_MS + 30 * DAY_MS
    assert row["methods"] == ["pwd"]
    claims = api.services.tokens.verify(api.token, NOW_MS)
    assert (claims.methods, claims.authenticated_at_ms) == ((Method.PASSWORD,), NOW_MS)
    (entry,) = await api.pool.fetch("select * from audit.entries where action = 'session.started'")
    assert (entry["actor"], entry["subject"]) == (
        session["user_id"],
        f"session:{session['session_id']}",
    )


async def test_a_step_up_renews_the_authentication(api: Api) -> None:
    await api.register()
    await api.sign_in()
    services, tokens = api.services, api.services.tokens
    claims = tokens.verify(api.token, NOW_MS)
    services.clock.now_ms += 60_000  # type: ignore[attr-defined]
    renewed = await renew_session(services, claims, (Method.ONE_TIME_PASSWORD,))
    now_ms = services.clock()
    after = tokens.verify(renewed.access_token, now_ms)
    assert after.session_id == claims.session_id
    assert after.methods == (Method.PASSWORD, Method.ONE_TIME_PASSWORD)
    assert after.authenticated_at_ms == now_ms
    assert tokens.verify(api.token, now_ms).authenticated_at_ms == NOW_MS
    services.clock.now_ms += 30 * DAY_MS  # type: ignore[attr-defined]
    with pytest.raises(SessionEnded):
        await renew_session(services, claims)
