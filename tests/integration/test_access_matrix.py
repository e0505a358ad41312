"""The table of who may call what, asked of the running gateway: every role by every route."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.access import RouteAccess
from api.app import create_access_matrix, route_access
from domain.access import permits
from integrations.tokens import Grant
from messages.users import Role
from storage.database import Pool
from tests.api_services import NOW_MS, Api, assert_problem, make_services, open_api

ROOT = Path(__file__).resolve().parents[2]
_USER = """
insert into users.users
    (user_id, username, username_key, email, email_key, password_hash, role, time_zone, locale,
     created_at_ms)
values ($1, $2, $2, $2 || '@example.org', $2 || '@example.org', 'x', $2, 'UTC', 'en', 1)"""
ROUTES = [route for route in route_access() if route.permission is not None]
PUBLIC = [route for route in route_access() if route.permission is None]


def name_of(route: RouteAccess) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        for role in Role:
            await pool.execute(_USER, str(user_id(role)), role.value)
        yield opened


def user_id(role: Role) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, role.value)


async def ask(api: Api, route: RouteAccess, role: Role | None) -> httpx.Response:
    """Call the route with things that do not exist and an empty body."""
    headers = {"Idempotency-Key": f"matrix-{uuid.uuid4()}"}
    if role is not None:
        grant = Grant(str(user_id(role)), str(uuid.uuid4()), (role,), (), NOW_MS)
        token = api.services.tokens.issue(grant, str(uuid.uuid4()), NOW_MS)
        headers["Authorization"] = f"Bearer {token}"
    path = re.sub(r"\{[^}]+\}", str(uuid.uuid4()), route.path)
    json: dict[str, str] | None = {} if route.method in {"POST", "PUT", "PATCH"} else None
    return await api.client.request(route.method, path, json=json, headers=headers)


def test_the_committed_page_is_fresh() -> None:
    committed = (ROOT / "docs/security/access.md").read_text("utf-8")
    assert committed == create_access_matrix(), "run `make openapi`"


async def test_every_guarded_route_wants_a_token(api: Api) -> None:
    for route in ROUTES:
        answer = await ask(api, route, None)
        assert answer.status_code == 401, name_of(route)
        assert answer.headers["www-authenticate"].startswith("Bearer"), name_of(route)


@pytest.mark.parametrize("role", Role)
async def test_a_role_may_call_what_the_table_says_and_nothing_else(api: Api, role: Role) -> None:
    for route in ROUTES:
        assert route.permission is not None
        answer = await ask(api, route, role)
        where = f"{role} {name_of(route)}: {answer.text}"
        if permits((role,), route.permission):
            assert answer.status_code != 401, where
            if answer.status_code == 403:
                assert answer.json()["params"].get("reason") != "role-lacks-permission", where
        else:
            problem = assert_problem(answer, 403, "permission-missing")
            assert problem["params"]["permission"] == route.permission.value, where


async def test_public_routes_want_none(api: Api) -> None:
    for route in PUBLIC:
        answer = await ask(api, route, None)
        problem = answer.headers["content-type"] == "application/problem+json"
        code = answer.json()["code"] if problem else ""
        assert code not in {"unauthenticated", "permission-missing"}, name_of(route)
