"""API keys and services through the gateway on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from messages.users import Role
from storage import users as storage
from storage.database import Pool
from tests.api_services import NOW_MS, Api, Clock, assert_problem, make_services, open_api

DAY_MS = 86_400_000
KEYS = "/api/v1/users/me/api-keys"
ORDER = {"name": "desk", "scopes": ["market:read-own"], "expires_at_ms": NOW_MS + DAY_MS}


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        assert (await opened.register("mira")).status_code < 300
        await opened.sign_in("mira")
        yield opened


def tick(api: Api, ms: int) -> None:
    assert isinstance(api.services.clock, Clock)
    api.services.clock.now_ms += ms


async def create(api: Api, key: str | None = None, **changes: Any) -> httpx.Response:
    return await api.client.post(KEYS, json={**ORDER, **changes}, headers=api.headers(key))


async def ask(api: Api, token: str, path: str = "/api/v1/users/me/portfolio") -> httpx.Response:
    return await api.client.get(path, headers={"Authorization": f"Bearer {token}"})


async def test_a_key_does_what_its_scopes_say_and_no_more(api: Api) -> None:
    made = (await create(api)).json()
    assert (await ask(api, made["token"])).status_code == 200
    refused = assert_problem(await ask(api, made["token"], KEYS), 403, "permission-missing")
    assert refused["params"] == {"permission": "account:self", "reason": "key-lacks-scope"}
    balances = await ask(api, made["token"], "/api/v1/users/me/balances")
    assert_problem(balances, 403, "permission-missing")


async def test_the_token_is_shown_once_and_stored_nowhere(api: Api) -> None:
    made = (await create(api, key="again-0001")).json()
    again = await create(api, key="again-0001")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == made
    listed = await api.client.get(KEYS, headers=api.headers())
    assert [key["key_id"] for key in listed.json()["items"]] == [made["key_id"]]
    assert "token" not in listed.text
    secret = made["token"].split("_", 2)[2]
    for table in ("users.api_keys", "api.idempotency", "audit.entries"):
        rows = await api.pool.fetch(f"select t::text from {table} t")
        assert rows
        assert all(secret not in row[0] for row in rows), table
    bodies = await api.pool.fetch("select convert_from(body, 'UTF8') from api.idempotency")
    assert all(secret not in (row[0] or "") for row in bodies)


async def test_a_revoked_key_stops_within_a_second(api: Api) -> None:
    made = (await create(api)).json()
    assert (await ask(api, made["token"])).status_code == 200
    revoked = await api.client.delete(f"{KEYS}/{made['key_id']}", headers=api.headers())
    assert revoked.json()["revoked_at_ms"] == NOW_MS
    tick(api, 1_000)
    assert_problem(await ask(api, made["token"]), 401, "token-invalid")
    again = await api.client.delete(f"{KEYS}/{made['key_id']}", headers=api.headers())
    assert again.json()["revoked_at_ms"] == NOW_MS


async def test_an_expired_key_stops(api: Api) -> None:
    made = (await create(api)).json()
    tick(api, DAY_MS)
    assert_problem(await ask(api, made["token"]), 401, "token-expired")


async def test_a_key_loses_what_its_user_loses(api: Api) -> None:
    await storage.grant_role(api.pool, "mira", Role.ARTIST)
    made = (await create(api, scopes=["market:issue"])).json()
    body = {
        "song_id": str(uuid4()), "total_shares": 100, "retained_bps": 5_000, "price_minor": 100,
        "min_purchase": 1, "holder_cap_bps": 2_000, "currency": "USD",
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {made['token']}", "Idempotency-Key": "issue-0001"}
    allowed = await api.client.post("/api/v1/issues", json=body, headers=headers)
    assert allowed.status_code != 403
    await storage.grant_role(api.pool, "mira", Role.USER)
    tick(api, 1_000)
    refused = await api.client.post("/api/v1/issues", json=body, headers=headers)
    problem = assert_problem(refused, 403, "permission-missing")
    assert problem["params"]["reason"] == "role-lacks-permission"


async def test_a_wrong_secret_and_an_unknown_key_are_alike(api: Api) -> None:
    made = (await create(api)).json()
    forged = made["token"][:-1] + ("A" if made["token"][-1] != "A" else "B")
    unknown = f"vsk_{uuid4().hex}_{made['token'].split('_', 2)[2]}"
    for token in (forged, unknown, "vsk_", "vsk_nonsense"):
        assert_problem(await ask(api, token), 401, "token-invalid")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, "api-key-name-invalid"),
        ({"name": "n" * 65}, "api-key-name-invalid"),
        ({"scopes": []}, "api-key-scopes-invalid"),
        ({"scopes": ["account:self"]}, "api-key-scopes-invalid"),
        ({"scopes": ["treasury:credit"]}, "api-key-scopes-invalid"),
        ({"expires_at_ms": NOW_MS}, "api-key-expiry-invalid"),
        ({"expires_at_ms": NOW_MS + 400 * DAY_MS}, "api-key-expiry-invalid"),
    ],
)
async def test_bad_keys_are_refused_and_nothing_is_kept(
    api: Api, changes: dict[str, Any], code: str
) -> None:
    assert_problem(await create(api, **changes), 422, code)
    assert await api.pool.fetchval("select count(*) from users.api_keys") == 0


async def test_a_user_has_so_many_keys_even_if_asked_for_at_once(api: Api) -> None:
    answers = await asyncio.gather(*(create(api) for _ in range(24)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 4


async def test_services_are_an_admins(api: Api) -> None:
    body = {"name": "scanner-1"}
    refused = await api.client.post("/api/v1/services", json=body, headers=api.headers())
    assert_problem(refused, 403, "permission-missing")
    await storage.grant_role(api.pool, "mira", Role.ADMIN)
    made = await api.client.post("/api/v1/services", json=body, headers=api.headers())
    assert made.status_code == 201
    service = f"/api/v1/services/{made.json()['service_id']}"
    taken = await api.client.post("/api/v1/services", json={"name": "MIRA"}, headers=api.headers())
    assert_problem(taken, 409, "username-taken")
    wanted = {**ORDER, "scopes": ["market:operate"]}
    key = await api.client.post(f"{service}/api-keys", json=wanted, headers=api.headers())
    token = key.json()["token"]
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "halting-1"}
    asked = await api.client.post(f"/api/v1/books/{uuid4()}/halt", headers=headers)
    assert asked.status_code != 403
    assert_problem(await ask(api, token, KEYS), 403, "permission-missing")
    stopped = await api.client.delete(service, headers=api.headers())
    assert stopped.json()["status"] == "deactivated"
    tick(api, 1_000)
    gone = await api.client.post(f"/api/v1/books/{uuid4()}/halt", headers=headers)
    assert_problem(gone, 401, "token-invalid")


async def test_the_keys_of_others_are_not_to_be_found(api: Api) -> None:
    made = (await create(api)).json()
    await api.register("bea")
    await api.sign_in("bea")
    other = await api.client.delete(f"{KEYS}/{made['key_id']}", headers=api.headers())
    assert_problem(other, 404, "api-key-not-found")
    assert (await ask(api, made["token"])).status_code == 200
    assert (await api.client.get(KEYS, headers=api.headers())).json()["items"] == []


async def test_what_is_done_with_keys_is_audited(api: Api) -> None:
    made = (await create(api)).json()
    await api.client.delete(f"{KEYS}/{made['key_id']}", headers=api.headers())
    rows = await api.pool.fetch(
        "select action from audit.entries where action like 'api-key.%' order by entry_id"
    )
    assert [row[0] for row in rows] == ["api-key.created", "api-key.revoked"]


async def test_making_a_key_wants_a_recent_proof(api: Api) -> None:
    tick(api, 6 * 60_000)
    late = await create(api, expires_at_ms=NOW_MS + 2 * DAY_MS)
    assert_problem(late, 403, "step-up-required")
    assert await api.pool.fetchval("select count(*) from users.api_keys") == 0
    await api.sign_in("mira")
    assert (await create(api, expires_at_ms=NOW_MS + 2 * DAY_MS)).status_code == 201
