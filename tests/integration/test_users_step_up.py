"""Step-up: sensitive actions want a recent proof, and guesses of it are slowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from api.app import CONTEXTS
from api.step_up import SENSITIVE, check_recent
from domain.users_factors import POLICY, Sensitive
from messages.errors import Overloaded
from messages.users_factors import StepUpRequired
from storage.database import Pool
from tests.api_services import NOW_MS, PASSWORD, Api, assert_problem, make_services, open_api

MINUTE_MS = 60_000


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        await opened.register()
        await opened.sign_in()
        yield opened


async def step_up(api: Api, **body: Any) -> httpx.Response:
    path = "/api/v1/sessions/current/step-up"
    return await api.client.post(path, json=body, headers=api.headers())


def wait(api: Api, ms: int) -> None:
    api.services.clock.now_ms += ms  # type: ignore[attr-defined]


async def is_recent(api: Api) -> bool:
    claims = api.services.tokens.verify(api.token, api.services.clock())
    try:
        await check_recent(api.services, claims, POLICY.recent_ms)
    except StepUpRequired:
        return False
    return True


async def test_an_authentication_is_recent_for_five_minutes_and_renewed_by_the_password(
    api: Api,
) -> None:
    assert await is_recent(api)
    wait(api, 5 * MINUTE_MS)
    assert await is_recent(api)
    wait(api, 1_000)
    assert not await is_recent(api)
    answer = await step_up(api, method="pwd", password=PASSWORD)
    assert answer.status_code == 200
    before = api.services.tokens.verify(api.token, api.services.clock())
    api.token = answer.json()["access_token"]
    after = api.services.tokens.verify(api.token, api.services.clock())
    assert after.session_id == before.session_id
    assert await is_recent(api)


async def test_wrong_passwords_are_refused_and_then_have_to_wait(api: Api) -> None:
    for _ in range(POLICY.free_failures):
        assert_problem(
            await step_up(api, method="pwd", password="not it"), 401, "credentials-wrong"
        )
    full = await step_up(api, method="pwd", password=PASSWORD)
    assert_problem(full, 429, "guesses-used-up")
    assert full.headers["retry-after"] == "60"
    (event,) = await api.pool.fetch("select * from bus.outbox where type = 'GuessingSeen'")
    assert event["sequence"] == 3
    wait(api, MINUTE_MS)
    assert (await step_up(api, method="pwd", password=PASSWORD)).status_code == 200
    assert await api.pool.fetchval("select count(*) from users.factor_failures") == 0


async def test_what_was_not_looked_at_is_no_guess(api: Api) -> None:
    verify = api.services.passwords.verify

    async def full(encoded: str | None, password: str) -> bool:
        raise Overloaded(retry_after_ms=1_000)

    await step_up(api, method="pwd", password="not it")
    api.services.passwords.verify = full  # type: ignore[method-assign]
    for _ in range(POLICY.free_failures + 1):
        assert_problem(await step_up(api, method="pwd", password=PASSWORD), 503, "overloaded")
    assert await api.pool.fetchval("select failures from users.factor_failures") == 1
    api.services.passwords.verify = verify  # type: ignore[method-assign]
    assert (await step_up(api, method="pwd", password=PASSWORD)).status_code == 200


# What is no action of its own, and what asks within its route because that wants another permission
# (tests/integration/test_users_admin.py).
WITHOUT_ROUTE = {Sensitive.OTHER, Sensitive.CHANGE_ROLE}


def test_every_sensitive_action_has_a_route_that_wants_a_recent_proof() -> None:
    actions = {
        dependency.call.__dict__[SENSITIVE]
        for context in CONTEXTS
        for route in context.router.routes
        if isinstance(route, APIRoute)
        for dependency in route.dependant.dependencies
        if SENSITIVE in getattr(dependency.call, "__dict__", {})
    }
    assert actions >= set(Sensitive) - WITHOUT_ROUTE


async def test_many_guesses_at_once_are_heard_no_more_than_in_a_row(api: Api) -> None:
    guesses = [step_up(api, method="pwd", password=f"guess {n}") for n in range(12)]
    answers = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert answers.count(401) == POLICY.free_failures
    assert answers.count(429) == 12 - POLICY.free_failures


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"method": "otp", "code": "000000"}, 403, "method-not-enough"),
        ({"method": "recovery", "code": "0"}, 422, "invalid-request"),
        ({"method": "pwd"}, 422, "invalid-request"),
        ({"method": "pwd", "password": "x", "code": "0"}, 422, "invalid-request"),
        ({}, 422, "invalid-request"),
    ],
)
async def test_bad_step_ups_change_nothing(
    api: Api, body: dict[str, Any], status: int, code: str
) -> None:
    assert_problem(await step_up(api, **body), status, code)
    claims = api.services.tokens.verify(api.token, NOW_MS)
    assert claims.authenticated_at_ms == NOW_MS
    assert await api.pool.fetchval("select count(*) from users.factor_failures") == 0


async def test_nobody_steps_up_without_a_session(api: Api) -> None:
    api.token = ""
    assert_problem(await step_up(api, method="pwd", password=PASSWORD), 401, "unauthenticated")
