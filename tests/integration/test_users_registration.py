"""Registration: nobody learns whether an address has an account; a token makes one, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from domain.users_accounts import DAY_MS, HOUR_MS, MINUTE_MS, POLICY
from storage import users_registrations as storage
from storage.database import Pool
from tests.api_services import NOW_MS, PASSWORD, Api, assert_problem, make_services, open_api

TAKEN = "mira@example.org"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


def _pass(api: Api, ms: int) -> None:
    api.services.clock.now_ms += ms  # type: ignore[attr-defined]


async def test_every_statement_compiles(pool: Pool) -> None:
    statements = [
        value for name, value in vars(storage).items()
        if name[0] != "_" and name.isupper() and isinstance(value, str)
    ]  # fmt: skip
    assert len(statements) > 6
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_an_account_begins_when_its_token_is_shown(api: Api) -> None:
    asked = await api.ask_to_register("Mira")
    assert asked.status_code == 202
    assert set(asked.json()) == {"registration_id", "expires_at_ms"}
    assert asked.json()["expires_at_ms"] == NOW_MS + DAY_MS
    assert_problem(await api.sign_in("mira"), 401, "credentials-wrong")
    assert (await api.rows())["users.users"] == 0
    [(template, params)] = await api.letters("Mira@example.org")
    assert (template, params["username"], params["hours"]) == ("verification", "Mira", 24)
    made = await api.verify(params["token"])
    assert (made.status_code, made.json()["email_verified"]) == (201, True)
    assert (await api.sign_in("mira")).status_code == 201
    kept = await api.pool.fetchrow("select * from users.registrations")
    assert kept is not None
    assert kept["email"] is kept["email_key"] is kept["password_hash"] is None
    assert params["token"] not in str(dict(kept))
    [entry] = await api.pool.fetch(
        "select action, subject from audit.entries where action ~ '^user'"
    )
    assert tuple(entry) == ("user.registered", f"user:{made.json()['user_id']}")


async def _work(
    api: Api, statements: list[str], **changes: Any
) -> tuple[Any, int, dict[str, int], list[str]]:
    """What a registration answers, how much it hashes and writes, and which statements it runs."""
    hashes = 0
    real = api.services.passwords.hash

    async def counted(password: str) -> str:
        nonlocal hashes
        hashes += 1
        return await real(password)

    api.services.passwords.hash = counted  # type: ignore[method-assign]
    before = await api.rows()
    statements.clear()
    answer = await api.ask_to_register(**changes)
    run = list(statements)
    after = await api.rows()
    api.services.passwords.hash = real  # type: ignore[method-assign]
    written = {table: after[table] - before[table] for table in after}
    body = answer.json()
    assert body.pop("registration_id")
    headers = {k: v for k, v in answer.headers.items() if k != "x-request-id"}
    return (answer.status_code, body, headers), hashes, written, run


async def test_a_taken_address_is_answered_like_a_free_one(
    database_url: str, tmp_path: Path
) -> None:
    statements: list[str] = []

    async def log(connection: Any) -> None:
        connection.add_query_logger(lambda record: statements.append(record.query))

    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=1, init=log) as pool,
        open_api(make_services(tmp_path, pool)) as api,
    ):
        await api.register("mira")
        free = await _work(api, statements, name="nils", email="nils@example.org")
        taken = await _work(api, statements, name="nora", email="Mira@Example.org")
        assert free == taken
        assert free[1] == 1
        assert free[2]["users.users"] == 0
        assert len(free[3]) > 8
        await _check_letters(api)


async def _check_letters(api: Api) -> None:
    letters = await api.letters(TAKEN)
    assert letters[1:] == [("address-taken", {"username": "mira"})], "its owner is told"
    assert await api.mailed_token(TAKEN, "nora") == "", "and nobody gets a token"
    # Both names are reserved alike, whoever the addresses belong to.
    for name in ("nils", "nora"):
        answer = await api.ask_to_register(name, email="other@example.org")
        assert_problem(answer, 409, "username-taken")


async def test_the_letter_to_an_owner_goes_to_the_address_they_gave(api: Api) -> None:
    await api.register("mira", locale="es")
    await api.ask_to_register("nora", email="MIRA@EXAMPLE.ORG", locale="en")
    row = await api.pool.fetchrow("select * from mail.outgoing where template = 'address-taken'")
    assert row is not None
    assert (row["recipient"], row["locale"]) == (TAKEN, "es")


async def test_usernames_are_unique_in_any_case(api: Api) -> None:
    await api.register("mira")
    await api.ask_to_register("nils")
    before = await api.rows()
    for name in ("MIRA", "Nils"):
        answer = await api.ask_to_register(name, email="x@example.org")
        assert_problem(answer, 409, "username-taken")
    assert await api.rows() == before


async def test_a_repeated_request_answers_the_same_and_writes_once(api: Api) -> None:
    first = await api.ask_to_register(key="same-key-1")
    rows = await api.rows()
    again = await api.ask_to_register(key="same-key-1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    other = await api.ask_to_register("someone", key="same-key-1")
    assert_problem(other, 422, "idempotency-key-reused")
    wrong = await api.ask_to_register(password=PASSWORD + "!", key="same-key-1")
    assert_problem(wrong, 422, "idempotency-key-reused")
    assert await api.rows() == rows


async def test_concurrent_repetitions_register_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.ask_to_register(key="same-key-2") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    rows = await api.rows()
    assert (rows["users.registrations"], rows["mail.outgoing"]) == (1, 1)


async def test_one_of_many_at_once_gets_the_name(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.ask_to_register("mira", email=f"m{n}@example.org") for n in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 5]


async def test_a_token_shown_by_many_at_once_makes_one_account(api: Api) -> None:
    await api.ask_to_register()
    token = await api.mailed_token(TAKEN, "mira")
    answers = await asyncio.gather(*(api.verify(token) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["user_id"] for answer in answers}) == 1
    rows = await api.rows()
    assert (rows["users.users"], rows["bus.outbox"]) == (1, 2)


async def test_a_used_token_is_answered_for_ten_minutes_and_then_unknown(api: Api) -> None:
    await api.ask_to_register()
    token = await api.mailed_token(TAKEN, "mira")
    first = await api.verify(token)
    _pass(api, POLICY.answered_ms - 1)
    assert (await api.verify(token)).json() == first.json()
    _pass(api, 1)
    assert_problem(await api.verify(token), 404, "mail-token-unknown")


async def test_a_late_token_makes_nothing_and_frees_the_name(api: Api) -> None:
    await api.ask_to_register()
    token = await api.mailed_token(TAKEN, "mira")
    _pass(api, DAY_MS)
    before = await api.rows()
    assert_problem(await api.verify(token), 404, "mail-token-unknown")
    assert await api.rows() == before
    assert (await api.ask_to_register("mira", email="other@example.org")).status_code == 202
    assert await storage.purge(api.pool, NOW_MS + 2 * DAY_MS) == 1


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 128, "\u0000", "ñ"])
async def test_a_token_that_was_never_ours_is_unknown(api: Api, token: str) -> None:
    assert_problem(await api.verify(token), 404, "mail-token-unknown")


@pytest.mark.parametrize("token", ["", "A" * 129])
async def test_a_token_of_no_length_is_invalid(api: Api, token: str) -> None:
    assert_problem(await api.verify(token), 422, "invalid-request")


async def test_two_who_wait_for_one_address_become_one_account(api: Api) -> None:
    await api.ask_to_register("mira", email="shared@example.org")
    await api.ask_to_register("nils", email="shared@example.org")
    first = await api.mailed_token("shared@example.org", "mira")
    second = await api.mailed_token("shared@example.org", "nils")
    answers = await asyncio.gather(api.verify(first), api.verify(second))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "email-taken"}


async def _again(api: Api, registration_id: str) -> Any:
    return await api.client.post(f"/api/v1/users/registrations/{registration_id}/letters")


async def test_another_letter_has_the_token_that_counts(api: Api) -> None:
    asked = (await api.ask_to_register()).json()
    old = await api.mailed_token(TAKEN, "mira")
    assert_problem(await _again(api, asked["registration_id"]), 429, "letters-used-up")
    _pass(api, MINUTE_MS)
    again = await _again(api, asked["registration_id"])
    assert (again.status_code, again.json()) == (202, asked)
    new = await api.mailed_token(TAKEN, "mira")
    assert_problem(await api.verify(old), 404, "mail-token-unknown")
    assert (await api.verify(new)).status_code == 201
    _pass(api, MINUTE_MS)
    assert_problem(await _again(api, asked["registration_id"]), 404, "registration-not-found")


async def test_a_registration_has_a_few_letters_and_an_address_a_few_an_hour(api: Api) -> None:
    asked = [(await api.ask_to_register(f"user{n}", email=TAKEN)).json() for n in range(7)]
    assert len(await api.letters(TAKEN)) == POLICY.letters_an_hour
    for _ in range(POLICY.letters - 1):
        _pass(api, HOUR_MS)
        assert (await _again(api, asked[0]["registration_id"])).status_code == 202
    _pass(api, HOUR_MS)
    assert_problem(await _again(api, asked[0]["registration_id"]), 429, "letters-used-up")


async def test_letters_of_a_taken_address_are_as_many(api: Api) -> None:
    await api.register("mira")
    asked = (await api.ask_to_register("nils", email=TAKEN)).json()
    assert_problem(await _again(api, asked["registration_id"]), 429, "letters-used-up")
    _pass(api, MINUTE_MS)
    assert (await _again(api, asked["registration_id"])).json() == asked
    assert [name for name, _ in await api.letters(TAKEN)][1:] == ["address-taken"] * 2


async def test_a_registration_that_nobody_made_has_no_letters(api: Api) -> None:
    assert_problem(
        await _again(api, "0" * 8 + "-0000-4000-8000-" + "0" * 12), 404, "registration-not-found"
    )
    assert_problem(await _again(api, "x"), 422, "invalid-request")
