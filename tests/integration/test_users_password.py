"""Passwords changed and chosen anew: who may, what it ends, and that asking tells nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from domain.users_accounts import HOUR_MS, MINUTE_MS, POLICY
from integrations import opaque_tokens
from storage import users_accounts, users_resets
from storage.database import Pool
from tests.api_services import PASSWORD, Api, assert_problem, make_services, open_api

NEW = "velvet orbit 77 gable"
MAIL = "mira@example.org"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        await opened.register()
        await opened.sign_in()
        yield opened


def wait(api: Api, ms: int) -> None:
    api.services.clock.now_ms += ms  # type: ignore[attr-defined]


async def change(api: Api, **body: Any) -> httpx.Response:
    body = {"current_password": PASSWORD, "password": NEW, **body}
    return await api.client.put("/api/v1/users/me/password", json=body, headers=api.headers())


async def ask(api: Api, email: str = MAIL) -> httpx.Response:
    return await api.client.post("/api/v1/password-resets", json={"email": email})


async def answer(api: Api) -> None:
    """What the worker does."""
    while await users_resets.answer_some(api.pool, opaque_tokens.generate, api.services.clock):
        pass


async def token_for(api: Api, email: str = MAIL) -> str:
    assert (await ask(api, email)).status_code == 202
    await answer(api)
    return await api.mailed_token(email, "mira")


async def complete(api: Api, token: str, password: str = NEW) -> httpx.Response:
    body = {"token": token, "password": password}
    return await api.client.post("/api/v1/password-resets/completion", json=body)


async def me(api: Api) -> httpx.Response:
    return await api.client.get("/api/v1/users/me", headers=api.headers())


async def open_sessions(api: Api) -> int:
    count = await api.pool.fetchval("select count(*) from users.sessions where ended_at_ms is null")
    return int(count)


@pytest.mark.parametrize("module", [users_accounts, users_resets])
async def test_every_statement_compiles(pool: Pool, module: object) -> None:
    statements = [
        value for name, value in vars(module).items()
        if name[0] != "_" and name.isupper() and isinstance(value, str) and " " in value
    ]  # fmt: skip
    assert len(statements) >= 3
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_a_changed_password_ends_the_other_sessions_and_is_told(api: Api) -> None:
    here = api.token
    await api.sign_in()
    api.token = here
    assert await open_sessions(api) == 2
    assert (await change(api)).status_code == 204
    assert await open_sessions(api) == 1
    assert (await me(api)).status_code == 200, "this one goes on"
    assert_problem(await api.sign_in(password=PASSWORD), 401, "credentials-wrong")
    assert (await api.sign_in(password=NEW)).status_code == 201
    assert ("password-changed", {"username": "mira"}) in await api.letters(MAIL)
    types = await api.pool.fetch("select type from bus.outbox order by id")
    assert "PasswordChanged" in {row["type"] for row in types}
    entries = await api.pool.fetch("select action from audit.entries")
    assert "password.changed" in {row["action"] for row in entries}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"current_password": "wrong"}, 401, "credentials-wrong"),
        ({"current_password": None}, 401, "credentials-wrong"),
        ({"password": "short"}, 422, "password-length"),
        ({"password": "mira-mira-mira"}, 422, "password-guessable"),
        ({"password": "password1234"}, 422, "password-guessable"),
    ],
)
async def test_a_bad_change_changes_nothing(
    api: Api, body: dict[str, Any], status: int, code: str
) -> None:
    before = await api.rows()
    assert_problem(await change(api, **body), status, code)
    assert await api.rows() == before
    assert (await api.sign_in()).status_code == 201


async def test_a_change_wants_a_recent_proof(api: Api) -> None:
    wait(api, 6 * MINUTE_MS)
    assert_problem(await change(api), 403, "step-up-required")


async def test_an_account_without_a_password_gets_its_first(api: Api) -> None:
    await api.pool.execute("update users.users set password_hash = null")
    assert (await change(api, current_password=None)).status_code == 204
    assert (await api.sign_in(password=NEW)).status_code == 201


async def test_a_forgotten_password_is_chosen_anew_by_mail(api: Api) -> None:
    asked = await ask(api, "MIRA@example.org")
    assert asked.json() == {"token_lifetime_ms": 30 * MINUTE_MS}
    token = await token_for(api)
    assert (await complete(api, token)).status_code == 204
    assert await open_sessions(api) == 0, "every session ends"
    assert_problem(await api.sign_in(password=PASSWORD), 401, "credentials-wrong")
    assert (await api.sign_in(password=NEW)).status_code == 201
    assert ("password-changed", {"username": "mira"}) in await api.letters(MAIL)
    assert_problem(await complete(api, token), 404, "mail-token-unknown")
    kept = await api.pool.fetchval("select count(*) from users.mail_tokens")
    assert kept == 0


async def test_asking_does_the_same_for_every_address(database_url: str, tmp_path: Path) -> None:
    statements: list[str] = []

    async def log(connection: Any) -> None:
        connection.add_query_logger(lambda record: statements.append(record.query))

    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=1, init=log) as pool,
        open_api(make_services(tmp_path, pool)) as api,
    ):
        await api.register()
        seen = []
        for email in (MAIL, "nobody@example.org"):
            statements.clear()
            got = await ask(api, email)
            headers = {k: v for k, v in got.headers.items() if k != "x-request-id"}
            seen.append((got.status_code, got.json(), headers, list(statements)))
        assert seen[0] == seen[1]
        assert len(seen[0][3]) == 2, "one insert, and the reset of the connection"
        await answer(api)
        assert await api.letters("nobody@example.org") == []
        assert [name for name, _ in await api.letters(MAIL)] == ["verification", "password-reset"]


async def test_a_token_is_good_for_half_an_hour_and_the_last_one_only(api: Api) -> None:
    first = await token_for(api)
    second = await token_for(api)
    assert_problem(await complete(api, first), 404, "mail-token-unknown")
    wait(api, POLICY.reset_ms - 1)
    third = await token_for(api)
    assert_problem(await complete(api, second), 404, "mail-token-unknown")
    wait(api, POLICY.reset_ms)
    assert_problem(await complete(api, third), 404, "mail-token-unknown")
    assert await users_accounts.purge(api.pool, api.services.clock()) == 1


async def test_a_refused_password_leaves_the_token_good(api: Api) -> None:
    token = await token_for(api)
    assert_problem(await complete(api, token, "mira12345678"), 422, "password-guessable")
    assert (await complete(api, token)).status_code == 204


async def test_of_two_resets_at_once_one_counts(api: Api) -> None:
    token = await token_for(api)
    passwords = [f"{NEW} {n}" for n in range(4)]
    answers = await asyncio.gather(*(complete(api, token, word) for word in passwords))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404]
    [won] = [word for word, got in zip(passwords, answers, strict=True) if got.status_code == 204]
    assert (await api.sign_in(password=won)).status_code == 201


async def test_two_workers_write_one_letter(api: Api) -> None:
    for _ in range(3):
        await ask(api)
    await asyncio.gather(*(answer(api) for _ in range(4)))
    assert [name for name, _ in await api.letters(MAIL)].count("password-reset") == 3
    assert await api.pool.fetchval("select count(*) from users.reset_requests") == 0


async def test_a_mailbox_gets_a_few_letters_an_hour(api: Api) -> None:
    for _ in range(POLICY.letters_an_hour + 3):
        await ask(api)
    await answer(api)
    sent = [name for name, _ in await api.letters(MAIL)].count("password-reset")
    assert sent == POLICY.letters_an_hour
    wait(api, HOUR_MS)
    assert await token_for(api)


async def test_a_changed_password_voids_what_was_mailed(api: Api) -> None:
    token = await token_for(api)
    assert (await change(api)).status_code == 204
    assert_problem(await complete(api, token, f"{NEW} again"), 404, "mail-token-unknown")


@pytest.mark.parametrize("token", ["x", "A" * 43, "\u0000", "ñ"])
async def test_a_token_that_was_never_ours_is_unknown(api: Api, token: str) -> None:
    assert_problem(await complete(api, token), 404, "mail-token-unknown")


async def test_a_reset_signs_nobody_in_around_a_second_factor(api: Api) -> None:
    user_id = (await me(api)).json()["user_id"]
    await api.pool.execute(
        "insert into users.totp (user_id, secret, added_at_ms, confirmed_at_ms, last_step) "
        "values ($1, 'sealed', 0, 0, 0)", user_id,
    )  # fmt: skip
    answered = await complete(api, await token_for(api))
    assert answered.status_code == 204
    assert answered.content == b""
    assert (await api.sign_in(password=NEW)).status_code == 200, "it asks for the factor"
