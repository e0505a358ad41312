"""Users for admins, through the gateway on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis_asyncio
from redis.exceptions import ConnectionError as RedisAwayError

from domain import throttle
from domain.users_admin import check_role_change
from messages.errors import Unavailable
from messages.users import Role
from messages.users_admin import LastAdmin, RoleNotAssignable
from storage import users_admin as storage
from storage.database import Pool
from storage.throttle import LocalAttempts, RedisAttempts, SteadyAttempts
from tests.api_services import NOW_MS, PASSWORD, Clock, assert_problem, make_services, open_api
from tests.integration.test_moderation import NOBODY, Desk

SECRETS = ("password", "hash", "$argon2", "secret", "token")


@pytest.fixture
async def desk(pool: Pool, tmp_path: Path) -> AsyncIterator[Desk]:
    clock = Clock()
    services = make_services(tmp_path, pool, clock=clock, attempts=LocalAttempts(clock))
    async with open_api(services) as api:
        made = Desk(api)
        await made.join("boss", Role.ADMIN)
        await made.join("mira")
        await made.join("mod-a", Role.MODERATOR)
        yield made


async def test_every_statement_compiles(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for name, value in vars(storage).items():
            if name[0] != "_" and name.isupper() and isinstance(value, str):
                await connection.prepare(value)


async def names(desk: Desk, query: str) -> list[str]:
    answer = await desk.ask("boss", "GET", f"/admin/users?{query}")
    assert answer.status_code == 200, answer.text
    return sorted(item["username"] for item in answer.json()["items"])


async def test_users_are_found_by_what_is_known_of_them(desk: Desk) -> None:
    for name in ("mi_ra", "mixra", "zoe"):
        await desk.join(name)
    assert await names(desk, "name=MI") == ["mi_ra", "mira", "mixra"]
    assert await names(desk, "name=mi_") == ["mi_ra"], "no wildcard"
    assert await names(desk, "email=ZOE%40example.org") == ["zoe"]
    assert await names(desk, "email=zoe%40example") == [], "the whole address"
    assert await names(desk, "role=moderator") == ["mod-a"]
    await desk.api.pool.execute(
        "update users.users set status = 'suspended' where username = 'zoe'"
    )
    assert await names(desk, "status=suspended") == ["zoe"]
    assert await names(desk, "status=suspended&name=mi") == []
    for bad in ("name=%25", "status=gone", "role=king", "cursor=x", "limit=0"):
        answer = await desk.ask("boss", "GET", f"/admin/users?{bad}")
        assert answer.status_code == 422, bad


async def test_the_listing_is_paged(desk: Desk) -> None:
    seen, cursor = [], ""
    while True:
        body = (await desk.ask("boss", "GET", f"/admin/users?limit=1{cursor}")).json()
        seen += [item["username"] for item in body["items"]]
        if not body["next_cursor"]:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert sorted(seen) == ["boss", "mira", "mod-a"]


async def test_one_user_without_secrets_and_that_it_was_looked_at(desk: Desk) -> None:
    path = f"/admin/users/{desk.ids['mira']}"
    answer = await desk.ask("boss", "GET", path)
    assert answer.json()["email"] == "mira@example.org"
    assert answer.json()["sessions"] == 1
    assert not any(word in answer.text.lower() for word in SECRETS)
    assert_problem(await desk.ask("boss", "GET", f"/admin/users/{NOBODY}"), 404, "user-not-found")
    trail = (await desk.ask("boss", "GET", f"{path}/audit")).json()["items"]
    assert (trail[0]["action"], trail[0]["actor"]) == ("user.viewed", desk.ids["boss"])
    assert "session.started" in {entry["action"] for entry in trail}
    assert all(
        desk.ids["mira"] in {entry["actor"], entry["subject"].removeprefix("user:")}
        for entry in trail
    )
    assert "example.org" not in json.dumps(trail)


GUARDED: list[tuple[str, str, Any]] = [
    ("GET", "/admin/users", None),
    ("GET", f"/admin/users/{NOBODY}", None),
    ("PUT", f"/admin/users/{NOBODY}/role", {"role": "user"}),
    ("DELETE", f"/admin/users/{NOBODY}/throttle", None),
    ("GET", f"/admin/users/{NOBODY}/audit", None),
]


@pytest.mark.parametrize(("method", "path", "body"), GUARDED)
async def test_users_are_the_admins(desk: Desk, method: str, path: str, body: Any) -> None:
    assert_problem(await desk.ask("", method, path, body), 401, "unauthenticated")
    for who in ("mira", "mod-a"):
        assert_problem(await desk.ask(who, method, path, body), 403, "permission-missing")


async def role(desk: Desk, who: str, whom: str, new: str) -> Any:
    path = f"/admin/users/{desk.ids[whom]}/role"
    return await desk.ask(who, "PUT", path, {"role": new})


async def test_another_role_counts_at_once_and_ends_sessions(desk: Desk) -> None:
    changed = await role(desk, "boss", "mod-a", "user")
    assert (changed.status_code, changed.json()["role"]) == (200, "user")
    left = await desk.api.pool.fetchval(
        "select count(*) from users.sessions where user_id = $1 and ended_at_ms is null",
        desk.ids["mod-a"],
    )
    assert left == 0
    told = await desk.events("mod-a")
    assert told[-2:] == ["RoleChanged", "SessionClosed"]
    await desk.api.sign_in("mod-a")
    desk.tokens["mod-a"] = desk.api.token
    refused = await desk.ask("mod-a", "GET", "/moderation/cases")
    assert_problem(refused, 403, "permission-missing")
    again = await role(desk, "boss", "mod-a", "user")
    assert again.status_code == 200
    assert (await desk.events("mod-a")).count("RoleChanged") == 1
    actions = [a for a in await desk.trail() if a.startswith("user.role")]
    assert actions == ["user.role-changed"]


async def test_roles_that_are_not_given(desk: Desk) -> None:
    assert_problem(await role(desk, "boss", "boss", "user"), 409, "last-admin")
    assert_problem(await role(desk, "boss", "mira", "service"), 409, "role-not-assignable")
    assert_problem(await role(desk, "boss", "mira", "king"), 422, "invalid-request")
    await desk.api.pool.execute("update users.users set status = 'deleted' where username = 'mira'")
    assert_problem(await role(desk, "boss", "mira", "admin"), 404, "user-not-found")
    desk.ids["nobody"] = NOBODY
    assert_problem(await role(desk, "boss", "nobody", "admin"), 404, "user-not-found")
    desk.api.services.clock.now_ms += 6 * 60_000  # type: ignore[attr-defined]
    assert_problem(await role(desk, "boss", "mod-a", "user"), 403, "step-up-required")
    assert "RoleChanged" not in await desk.events("mod-a")


async def test_admins_who_demote_each_other_at_once_leave_one(desk: Desk) -> None:
    await desk.join("chief", Role.ADMIN)
    for _ in range(3):
        answers = await asyncio.gather(
            role(desk, "boss", "chief", "user"), role(desk, "chief", "boss", "user")
        )
        assert min(a.status_code for a in answers) == 200, [a.text for a in answers]
        left = await desk.api.pool.fetch("select username from users.users where role = 'admin'")
        assert len(left) == 1
        await desk.api.pool.execute(
            "update users.users set role = 'admin' where username in ('boss', 'chief')"
        )
        for name in ("boss", "chief"):
            await desk.api.sign_in(name)
            desk.tokens[name] = desk.api.token


def test_the_rule_of_roles() -> None:
    for was in Role:
        for new in Role:
            if Role.SERVICE in {was, new}:
                with pytest.raises(RoleNotAssignable):
                    check_role_change(was, new, 5)
            elif was is Role.ADMIN and new is not Role.ADMIN:
                check_role_change(was, new, 1)
                with pytest.raises(LastAdmin):
                    check_role_change(was, new, 0)
            else:
                check_role_change(was, new, 0)


async def guess(desk: Desk) -> int:
    body = {"username": "mira", "password": "not the password at all"}
    return (await desk.api.client.post("/api/v1/sessions", json=body)).status_code


async def test_a_user_is_unlocked(desk: Desk) -> None:
    while await guess(desk) != 429:
        pass
    right = {"username": "mira", "password": PASSWORD}
    assert (await desk.api.client.post("/api/v1/sessions", json=right)).status_code == 429
    path = f"/admin/users/{desk.ids['mira']}/throttle"
    assert (await desk.ask("boss", "DELETE", path)).status_code == 204
    assert (await desk.api.client.post("/api/v1/sessions", json=right)).status_code == 201
    assert "user.unlocked" in await desk.trail()
    nobody = await desk.ask("boss", "DELETE", f"/admin/users/{NOBODY}/throttle")
    assert_problem(nobody, 404, "user-not-found")


async def test_what_redis_counted_is_forgotten_of_that_account_alone(
    redis_client: redis_asyncio.Redis,
) -> None:
    shared = RedisAttempts(redis_client)
    both = SteadyAttempts(shared, LocalAttempts(lambda: NOW_MS))
    mine, other = (throttle.charges(account, "net", None) for account in ("mine", "other"))
    device = throttle.charges("mine", "net", "d-1")
    for asked in (mine, other, device):
        await both.attempt(asked)
    await both.forgive("mine")
    keys = {key.decode() async for key in redis_client.scan_iter("throttle:*")}
    assert keys == {"throttle:pair:other:net", "throttle:account:other", "throttle:network:net"}

    class Away(RedisAttempts):
        async def forgive(self, account: str) -> None:
            raise RedisAwayError("away")

    with pytest.raises(Unavailable):
        await SteadyAttempts(Away(redis_client), LocalAttempts(lambda: NOW_MS)).forgive("mine")
