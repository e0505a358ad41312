"""Sessions through the gateway on a real PostgreSQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.signing_in import renew_session
from domain import users_sessions as domain
from messages.users import Role
from messages.users_sessions import Method, SessionEnded
from storage import users
from storage import users_sessions as storage
from storage.database import Pool
from tests.api_services import (
    NOW_MS,
    PASSWORD,
    Api,
    assert_problem,
    make_services,
    open_api,
)

DAY_MS = 86_400_000
REFRESH = "/api/v1/sessions/refresh"
CURRENT = "/api/v1/sessions/current"
SESSIONS = "/api/v1/users/me/sessions"
LIVE = "select number from users.refresh_tokens where used_at_ms is null"
MAX_AGE = f"Max-Age={14 * 86_400}"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


def later(api: Api, ms: int) -> None:
    api.services.clock.now_ms += ms  # type: ignore[attr-defined]


async def because(api: Api, session: dict[str, Any]) -> str | None:
    query = "select ended_because from users.sessions where session_id = $1"
    found: str | None = await api.pool.fetchval(query, session["session_id"])
    return found


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


async def test_a_user_sees_where_they_are_signed_in(api: Api) -> None:
    await api.register()
    api.client.headers["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Firefox/127.0"
    first = (await api.sign_in()).json()
    later(api, 60_000)
    api.client.headers["user-agent"] = "curl/8.7"
    second = (await api.sign_in()).json()
    await api.sign_in()
    new_device = "select params from mail.outgoing where template = 'new-device'"
    letters = await api.pool.fetch(new_device)
    assert len(letters) == 1, "once, and not the first"
    assert json.loads(letters[0]["params"])["device"] == "curl"
    await api.client.delete(CURRENT, headers=api.headers())
    api.token = second["access_token"]
    found = (await api.client.get(SESSIONS, headers=api.headers())).json()["sessions"]
    assert [(s["session_id"], s["device"], s["place"], s["current"]) for s in found] == [
        (second["session_id"], "curl", "this machine", True),
        (first["session_id"], "Firefox on Linux", "this machine", False),
    ]
    assert found[1]["last_used_at_ms"] == found[1]["created_at_ms"] == NOW_MS
    assert found[1]["methods"] == ["pwd"]
    later(api, 60_000)
    await api.client.post(REFRESH, json={"refresh_token": first["refresh_token"]})
    found = (await api.client.get(SESSIONS, headers=api.headers())).json()["sessions"]
    assert found[0]["session_id"] == first["session_id"]
    assert found[0]["last_used_at_ms"] == NOW_MS + 120_000
    assert "address" not in found[0]


async def test_a_user_signs_out_here_there_and_everywhere_else(api: Api) -> None:
    await api.register()
    one, two, three, four = [(await api.sign_in()).json() for _ in range(4)]
    there = f"{SESSIONS}/{one['session_id']}"
    assert (await api.client.delete(there, headers=api.headers())).status_code == 204
    assert_problem(await api.client.delete(there, headers=api.headers()), 404, "session-not-found")
    assert await because(api, one) == "revoked"
    others = await api.client.delete(SESSIONS, headers=api.headers())
    assert others.json() == {"ended": 2}
    assert await because(api, two) == await because(api, three) == "revoked"
    assert await because(api, four) is None
    assert (await api.client.delete(CURRENT, headers=api.headers())).status_code == 204
    assert await because(api, four) == "signed-out"
    refused = await api.client.post(REFRESH, json={"refresh_token": four["refresh_token"]})
    assert_problem(refused, 401, "session-ended")
    told = "select count(*) from bus.outbox where type = 'SessionClosed'"
    assert await api.pool.fetchval(told) == 4
    ended = "select count(*) from audit.entries where action = 'session.ended' and actor = $1"
    assert await api.pool.fetchval(ended, four["user_id"]) == 4


async def test_nobody_ends_or_sees_the_session_of_another(api: Api) -> None:
    await api.register("mira")
    mira = (await api.sign_in("mira")).json()
    api.token = ""
    await api.register("noa")
    await api.sign_in("noa")
    theirs = await api.client.delete(f"{SESSIONS}/{mira['session_id']}", headers=api.headers())
    nobodys = await api.client.delete(f"{SESSIONS}/{uuid.uuid4()}", headers=api.headers())
    assert_problem(theirs, 404, "session-not-found")
    assert_problem(nobodys, 404, "session-not-found")
    await api.client.delete(SESSIONS, headers=api.headers())
    assert await because(api, mira) is None
    listed = await api.client.get(SESSIONS, headers=api.headers())
    assert mira["session_id"] not in listed.text
    bad = await api.client.delete(f"{SESSIONS}/me", headers=api.headers())
    assert_problem(bad, 422, "invalid-request")
    api.token = ""
    for method, path in (("GET", SESSIONS), ("DELETE", SESSIONS), ("DELETE", CURRENT)):
        answer = await api.client.request(method, path, headers=api.headers())
        assert_problem(answer, 401, "unauthenticated")


async def test_ending_other_sessions_wants_a_recent_proof(api: Api) -> None:
    await api.register()
    other = (await api.sign_in()).json()
    await api.sign_in()
    later(api, 5 * 60_000 + 1)
    for path in (SESSIONS, f"{SESSIONS}/{other['session_id']}"):
        refused = await api.client.delete(path, headers=api.headers())
        assert_problem(refused, 403, "step-up-required")
    assert await because(api, other) is None
    assert (await api.client.delete(CURRENT, headers=api.headers())).status_code == 204


async def test_who_manages_users_signs_one_out_everywhere(api: Api) -> None:
    await api.register()
    sessions = [(await api.sign_in()).json() for _ in range(2)]
    path = f"/api/v1/users/{sessions[0]['user_id']}/sessions"
    refused = await api.client.delete(path, headers=api.headers())
    assert_problem(refused, 403, "permission-missing")
    await api.register("root")
    await users.grant_role(api.pool, "root", Role.ADMIN)
    await api.sign_in("root")
    done = await api.client.delete(path, headers=api.headers())
    assert (done.status_code, done.json()) == (200, {"ended": 2})
    assert [await because(api, session) for session in sessions] == ["revoked"] * 2
    root = (await api.client.get("/api/v1/users/me", headers=api.headers())).json()["user_id"]
    by = "select distinct actor from audit.entries where action = 'session.ended'"
    assert await api.pool.fetchval(by) == root


async def test_an_operator_signs_out_one_user_or_all(api: Api) -> None:
    for name in ("mira", "noa"):
        await api.register(name)
        for _ in range(2):
            await api.sign_in(name)
    async with api.pool.acquire() as connection:
        assert await storage.sign_out(connection, "nobody", NOW_MS) is None
        assert await storage.sign_out(connection, "Mira", NOW_MS) == 2
        assert await storage.sign_out(connection, "mira", NOW_MS) == 0
        assert await storage.sign_out(connection, None, NOW_MS) == 2
        assert await storage.sign_out(connection, None, NOW_MS) == 0


async def test_one_session_more_than_fit_ends_the_one_idle_longest(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = msgspec.structs.replace(domain.POLICY, most=3)
    monkeypatch.setattr(domain, "POLICY", policy)
    await api.register()
    made = []
    for _ in range(3):
        later(api, 1_000)
        made.append((await api.sign_in()).json())
    later(api, 1_000)
    await api.client.post(REFRESH, json={"refresh_token": made[0]["refresh_token"]})
    made.append((await api.sign_in()).json())
    assert [await because(api, session) for session in made] == [None, "displaced", None, None]
    later(api, 61 * DAY_MS)
    await api.sign_in()
    assert await api.pool.fetchval("select count(*) from users.sessions") == 1, "old ones are gone"


class Browser:
    """Keeps cookies as a browser does, and says where its requests come from."""

    def __init__(self, api: Api, base: str = "http://localhost:8000") -> None:
        transport = httpx.ASGITransport(app=api.app)
        self.client = httpx.AsyncClient(transport=transport, base_url=base)
        self.base, self.csrf = base, ""

    async def sign_in(self, site: str = "same-origin") -> httpx.Response:
        headers = {"Session-Mode": "cookie", "Sec-Fetch-Site": site}
        body = {"username": "mira", "password": PASSWORD}
        answer = await self.client.post("/api/v1/sessions", json=body, headers=headers)
        if answer.status_code == 201:
            self.csrf = answer.json()["csrf_token"]
        return answer

    def session(self) -> dict[str, str]:
        """What is kept of the session itself."""
        cookies = dict(self.client.cookies)
        return {name: value for name, value in cookies.items() if "vibestream" in name}

    async def refresh(self, **headers: str) -> httpx.Response:
        given = {"Sec-Fetch-Site": "same-origin", "X-CSRF-Token": self.csrf}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in given.items() if value}
        return await self.client.post(REFRESH, headers=kept)


async def test_a_page_keeps_its_session_in_a_cookie_that_no_script_reads(api: Api) -> None:
    await api.register()
    browser = Browser(api)
    answer = await browser.sign_in()
    assert answer.status_code == 201
    assert answer.json()["refresh_token"] is None
    cookies = answer.headers.get_list("set-cookie")
    (given,) = [c for c in cookies if c.startswith("vibestream_refresh_0=vsr_")]
    assert set(given.split("; ")[1:]) == {"Path=/", "SameSite=Strict", "HttpOnly", MAX_AGE}
    (readable,) = [c for c in cookies if c.startswith("vibestream_csrf=")]
    assert "HttpOnly" not in readable
    assert browser.client.cookies["vibestream_csrf"] == browser.csrf
    kept = dict(browser.client.cookies)
    for number in range(1, 4):
        later(api, 15 * 60_000)
        answer = await browser.refresh()
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] is None
        assert answer.json()["csrf_token"] == browser.csrf
        assert await api.pool.fetchval(LIVE) == number
    # An answer that was on its way for long puts an old token back.
    stale = kept["vibestream_refresh_0"]
    browser.client.cookies.set("vibestream_refresh_0", stale, "localhost.local", "/")
    browser.client.cookies.set("vibestream_refresh_x", stale, "localhost.local", "/")
    assert (await browser.refresh()).status_code == 200
    browser.client.cookies.delete("vibestream_refresh_x")
    assert set(browser.session()) == {"vibestream_refresh_4", "vibestream_csrf"}
    signed_out = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    cross = await browser.client.delete(CURRENT, headers={**signed_out, "Sec-Fetch-Site": "none"})
    assert_problem(cross, 403, "cross-site-request")
    signed_out["Sec-Fetch-Site"] = "same-origin"
    assert (await browser.client.delete(CURRENT, headers=signed_out)).status_code == 204
    assert browser.session() == {}
    assert_problem(await browser.refresh(), 401, "refresh-token-invalid")


@pytest.mark.parametrize("base", ["https://vibestream.example", "http://vibestream.example"])
async def test_elsewhere_than_on_this_machine_cookies_are_secure(api: Api, base: str) -> None:
    await api.register()
    answer = await Browser(api, base).sign_in()
    given = [cookie.split("; ") for cookie in answer.headers.get_list("set-cookie")]
    cookies = [cookie for cookie in given if "vibestream_" in cookie[0]]
    assert len(cookies) == 2
    for name, *attributes in cookies:
        assert name.startswith("__Host-vibestream_")
        assert {"Secure", "Path=/", "SameSite=Strict"} < set(attributes)
        assert not any(attribute.startswith("Domain") for attribute in attributes)


CROSS_SITE: list[dict[str, str]] = [
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "none"},
    {"Sec_Fetch_Site": ""},
    {"Sec_Fetch_Site": "", "Origin": "https://evil.example"},
    {"Sec_Fetch_Site": "", "Origin": "null"},
    {"Sec_Fetch_Site": "", "Origin": "http://localhost:8000.evil.example"},
    {"X_CSRF_Token": ""},
    {"X_CSRF_Token": "x"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
async def test_another_site_cannot_use_the_cookie(api: Api, headers: dict[str, str]) -> None:
    await api.register()
    browser = Browser(api)
    await browser.sign_in()
    assert_problem(await browser.refresh(**headers), 403, "cross-site-request")
    assert await api.pool.fetchval(LIVE) == 0, "nothing was used"
    by_origin = await browser.refresh(Sec_Fetch_Site="", Origin="http://localhost:8000")
    assert by_origin.status_code == 200


async def test_a_browser_has_one_session(api: Api) -> None:
    await api.register()
    browser = Browser(api)
    first, second = (await browser.sign_in()).json(), (await browser.sign_in()).json()
    assert [await because(api, session) for session in (first, second)] == ["displaced", None]
    assert (await browser.refresh()).json()["session_id"] == second["session_id"]


async def test_the_proof_of_one_session_is_none_for_another(api: Api) -> None:
    await api.register()
    one, two = Browser(api), Browser(api)
    await one.sign_in()
    await two.sign_in()
    assert_problem(await one.refresh(X_CSRF_Token=two.csrf), 403, "cross-site-request")


async def test_another_site_cannot_sign_a_browser_in(api: Api) -> None:
    await api.register()
    assert_problem(await Browser(api).sign_in("cross-site"), 403, "cross-site-request")
    assert await api.pool.fetchval("select count(*) from users.sessions") == 0
