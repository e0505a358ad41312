"""One-time passwords and recovery codes through the gateway on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from domain.users_factors import POLICY
from integrations.sealing import SealBrokenError, Vault
from storage.database import Pool
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.integration.factors_support import ME, SESSIONS, STEP_MS, Person

MINUTE_MS = 60_000


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


@pytest.fixture
async def mira(api: Api) -> Person:
    return await Person(api).join()


async def test_from_enrolment_to_a_session_of_two_methods(mira: Person) -> None:
    begun = await mira.ask("POST", f"{ME}/totp")
    found = begun.json()
    assert begun.status_code == 201
    assert begun.headers["cache-control"] == "no-store"
    assert len(found["secret"]) == 32, "160 bits"
    assert found["uri"].startswith("otpauth://totp/VibeStream:mira?secret=" + found["secret"])
    assert found["qr_svg"].startswith("<svg")
    assert (await mira.sign_in()).status_code == 201, "nothing is asked for before it is confirmed"
    made = await mira.enrol()
    assert len(set(made.json()["recovery_codes"])) == 10
    assert await mira.factors() == {
        "second_factor": True,
        "one_time_passwords": True,
        "passkeys": 0,
        "recovery_codes_left": 10,
    }
    pending = await mira.pending()
    assert pending["status"] == "second-factor-required"
    assert pending["methods"] == ["otp", "recovery"]
    mira.wait()
    session = await mira.complete(pending["pending"], "otp", code=mira.code())
    assert session.status_code == 201
    assert mira.claims().methods == ("pwd", "otp")
    assert await mira.facts() == ["TotpAdded", "RecoveryCodesMade"]
    assert await mira.letters() == ["recovery-codes-made", "totp-added"]


async def test_nothing_secret_is_stored_in_the_clear_or_told(mira: Person) -> None:
    await mira.enrol()
    for table in ("users.totp", "users.recovery_codes", "bus.outbox", "audit.entries",
                  "mail.outgoing", "api.idempotency"):  # fmt: skip
        rows = str([tuple(row) for row in await mira.api.pool.fetch(f"select * from {table}")])
        assert mira.secret not in rows, table
        for code in mira.recovery_codes:
            assert code not in rows, table
            assert code.replace("-", "") not in rows, table
    sealed = await mira.api.pool.fetchval("select secret from users.totp")
    vault = mira.api.services.vault
    assert vault.open(sealed, f"totp:{mira.user_id}").decode() == mira.secret
    with pytest.raises(SealBrokenError):
        vault.open(sealed, "totp:somebody-else")
    with pytest.raises(SealBrokenError):
        Vault([b"w" * 32]).open(sealed, f"totp:{mira.user_id}")


async def test_a_code_is_good_a_step_to_either_side_and_once(mira: Person) -> None:
    await mira.enrol()
    mira.wait(10 * STEP_MS)
    for steps, good in ((-2, False), (2, False), (-1, True), (-1, False), (1, True), (0, False)):
        pending = (await mira.pending())["pending"]
        answer = await mira.complete(pending, "otp", code=mira.code(steps))
        assert answer.status_code == (201 if good else 401), steps


async def test_the_code_that_confirmed_opens_nothing_more(mira: Person) -> None:
    await mira.enrol()
    pending = (await mira.pending())["pending"]
    answer = await mira.complete(pending, "otp", code=mira.code())
    assert_problem(answer, 401, "second-factor-wrong")


async def test_a_code_used_at_once_from_everywhere_opens_one_session(mira: Person) -> None:
    await mira.enrol()
    mira.wait()
    waiting = [(await mira.pending())["pending"] for _ in range(8)]
    code = mira.code()
    answers = await asyncio.gather(*(mira.complete(p, "otp", code=code) for p in waiting))
    assert sorted(a.status_code for a in answers)[:2] == [201, 401]
    assert sum(a.status_code == 201 for a in answers) == 1


async def test_a_recovery_code_used_at_once_from_everywhere_opens_one_session(
    mira: Person,
) -> None:
    await mira.enrol()
    waiting = [(await mira.pending())["pending"] for _ in range(8)]
    code = mira.recovery_codes[3]
    answers = await asyncio.gather(*(mira.complete(p, "recovery", code=code) for p in waiting))
    assert sorted(a.status_code for a in answers) == [201] + [401] * 7
    assert (await mira.factors())["recovery_codes_left"] == 9


async def test_a_pending_sign_in_becomes_one_session(mira: Person) -> None:
    await mira.enrol()
    pending = (await mira.pending())["pending"]
    answers = await asyncio.gather(
        *(mira.complete(pending, "recovery", code=code) for code in mira.recovery_codes[:5])
    )
    assert sum(a.status_code == 201 for a in answers) == 1
    late = await mira.complete(pending, "recovery", code=mira.recovery_codes[9])
    assert_problem(late, 401, "sign-in-expired")
    assert (await mira.factors())["recovery_codes_left"] >= 5, "the late one is not used up"


async def test_a_recovery_code_is_typed_as_people_type_and_told_of(mira: Person) -> None:
    await mira.enrol()
    typed = mira.recovery_codes[0].lower().replace("-", " ").replace("0", "o").replace("1", "l")
    pending = (await mira.pending())["pending"]
    assert (await mira.complete(pending, "recovery", code=typed)).status_code == 201
    assert mira.claims().methods == ("pwd", "recovery")
    assert (await mira.facts())[-1] == "RecoveryCodeUsed"
    assert "recovery-code-used" in await mira.letters()
    pending = (await mira.pending())["pending"]
    again = await mira.complete(pending, "recovery", code=typed)
    assert_problem(again, 401, "second-factor-wrong")


async def test_new_recovery_codes_void_the_old(mira: Person) -> None:
    assert_problem(await mira.ask("POST", f"{ME}/recovery-codes"), 409, "second-factor-absent")
    await mira.enrol()
    old = mira.recovery_codes[0]
    mira.wait()
    await mira.step_up("otp", code=mira.code())
    made = await mira.ask("POST", f"{ME}/recovery-codes")
    assert made.status_code == 201
    assert not set(made.json()["recovery_codes"]) & set(mira.recovery_codes)
    pending = (await mira.pending())["pending"]
    assert (await mira.complete(pending, "recovery", code=old)).status_code == 401
    new = made.json()["recovery_codes"][0]
    assert (await mira.complete(pending, "recovery", code=new)).status_code == 201


async def test_six_digits_cannot_be_guessed(mira: Person) -> None:
    await mira.enrol()
    mira.wait()
    pending = (await mira.pending())["pending"]
    for _ in range(POLICY.pending_attempts):
        wrong = await mira.complete(pending, "otp", code=mira.wrong_code())
        assert_problem(wrong, 401, "second-factor-wrong")
    over = await mira.complete(pending, "otp", code=mira.code())
    assert_problem(over, 401, "sign-in-expired")
    pending = (await mira.pending())["pending"]
    limited = await mira.complete(pending, "otp", code=mira.code())
    assert_problem(limited, 429, "guesses-used-up")
    assert limited.headers["retry-after"] == "60"
    assert (await mira.facts())[-1] == "GuessingSeen"
    assert "guessing-seen" in await mira.letters()
    # What cannot be guessed still opens the account.
    code = mira.recovery_codes[0]
    assert (await mira.complete(pending, "recovery", code=code)).status_code == 201
    mira.wait(MINUTE_MS)
    pending = (await mira.pending())["pending"]
    assert (await mira.complete(pending, "otp", code=mira.code())).status_code == 201
    assert await mira.api.pool.fetchval("select count(*) from users.factor_failures") == 0


async def test_a_year_of_guessing_is_a_few_hundred_guesses(mira: Person) -> None:
    await mira.enrol()
    heard, end = 0, mira.api.services.clock() + 30 * 24 * 60 * MINUTE_MS
    while mira.api.services.clock() < end:
        pending = (await mira.pending())["pending"]
        answer = await mira.complete(pending, "otp", code=mira.wrong_code())
        if answer.status_code == 429:
            mira.wait(int(answer.headers["retry-after"]) * 1_000)
        else:
            heard += 1
    assert heard < 50, "in the first month"


async def test_a_pending_sign_in_is_its_clients_and_short(mira: Person) -> None:
    await mira.enrol()
    pending = (await mira.pending())["pending"]
    mira.api.client.headers["user-agent"] = "somebody else"
    code = mira.recovery_codes[0]
    other = await mira.complete(pending, "recovery", code=code)
    assert_problem(other, 401, "sign-in-expired")
    del mira.api.client.headers["user-agent"]
    mira.api.client.headers["user-agent"] = "mine"
    pending = (await mira.pending())["pending"]
    mira.wait(POLICY.pending_ms)
    late = await mira.complete(pending, "recovery", code=code)
    assert_problem(late, 401, "sign-in-expired")
    unknown = await mira.complete("x" * 43, "recovery", code=code)
    assert_problem(unknown, 401, "sign-in-expired")


async def test_nobody_learns_of_the_factor_without_the_password(mira: Person) -> None:
    await mira.enrol()
    wrong = await mira.api.sign_in("mira", "not the password")
    unknown = await mira.api.sign_in("nobody", "not the password")
    a, b = (assert_problem(x, 401, "credentials-wrong") for x in (wrong, unknown))
    assert {**a, "request_id": ""} == {**b, "request_id": ""}


async def test_removing_the_last_factor_removes_the_recovery_codes(mira: Person) -> None:
    assert_problem(await mira.ask("DELETE", f"{ME}/totp"), 404, "totp-not-found")
    await mira.enrol()
    refused = await mira.ask("DELETE", f"{ME}/totp")
    problem = assert_problem(refused, 403, "step-up-required")
    assert problem["params"] == {"methods": "otp"}
    mira.wait()
    await mira.step_up("otp", code=mira.code())
    assert (await mira.ask("DELETE", f"{ME}/totp")).status_code == 204
    assert (await mira.sign_in()).status_code == 201
    assert (await mira.factors())["recovery_codes_left"] == 0
    assert (await mira.facts())[-2:] == ["TotpRemoved", "RecoveryCodesMade"]


async def test_an_account_with_a_factor_steps_up_with_it_only(mira: Person) -> None:
    await mira.enrol()
    by_password = await mira.step_up("pwd", password="plinth marmot 42 quilt")
    problem = assert_problem(by_password, 403, "method-not-enough")
    assert problem["params"] == {"methods": "otp"}
    wrong = await mira.step_up("otp", code=mira.wrong_code())
    assert_problem(wrong, 401, "second-factor-wrong")
    mira.wait()
    code = mira.code()
    answers = await asyncio.gather(*(mira.step_up("otp", code=code) for _ in range(4)))
    assert sorted(a.status_code for a in answers) == [200, 401, 401, 401]
    assert mira.claims().methods == ("pwd", "otp")


async def test_guesses_of_sign_in_and_step_up_count_together(mira: Person) -> None:
    await mira.enrol()
    mira.wait()
    for _ in range(3):
        await mira.step_up("otp", code=mira.wrong_code())
    pending = (await mira.pending())["pending"]
    for _ in range(2):
        await mira.complete(pending, "otp", code=mira.wrong_code())
    limited = await mira.step_up("otp", code=mira.code())
    assert_problem(limited, 429, "guesses-used-up")


async def test_an_enrolment_is_confirmed_in_time_with_the_newest_secret(mira: Person) -> None:
    nothing = await mira.ask("POST", f"{ME}/totp/confirmation", {"code": "123456"})
    assert_problem(nothing, 404, "totp-enrolment-not-found")
    old = (await mira.ask("POST", f"{ME}/totp")).json()["secret"]
    new = (await mira.ask("POST", f"{ME}/totp")).json()["secret"]
    mira.secret = old
    stale = await mira.ask("POST", f"{ME}/totp/confirmation", {"code": mira.code()})
    assert_problem(stale, 401, "second-factor-wrong")
    mira.secret = new
    mira.wait(POLICY.enrolment_ms)
    await mira.sign_in()
    late = await mira.ask("POST", f"{ME}/totp/confirmation", {"code": mira.code()})
    assert_problem(late, 404, "totp-enrolment-not-found")
    await mira.enrol()
    mira.wait()
    await mira.step_up("otp", code=mira.code())
    assert_problem(await mira.ask("POST", f"{ME}/totp"), 409, "totp-exists")
    again = await mira.ask("POST", f"{ME}/totp/confirmation", {"code": mira.code(1)})
    assert_problem(again, 404, "totp-enrolment-not-found")


async def test_changes_of_factors_want_a_recent_proof(mira: Person) -> None:
    mira.wait(POLICY.recent_ms + 1_000)
    for method, path, body in (
        ("POST", f"{ME}/totp", None),
        ("POST", f"{ME}/totp/confirmation", {"code": "123456"}),
        ("DELETE", f"{ME}/totp", None),
        ("POST", f"{ME}/recovery-codes", None),
        ("POST", f"{ME}/passkeys/options", None),
    ):
        problem = assert_problem(await mira.ask(method, path, body), 403, "step-up-required")
        assert problem["params"] == {"methods": "pwd"}, path


BAD: list[dict[str, Any]] = [
    {},
    {"method": "otp"},
    {"method": "otp", "code": "123456"},
    {"method": "otp", "pending": "x" * 129, "code": "123456"},
    {"method": "otp", "pending": "x", "code": "1" * 17},
    {"method": "otp", "pending": "x", "code": 123456},
    {"method": "pwd", "pending": "x", "password": "x"},
    {"method": "recovery", "pending": "x", "code": "1" * 41},
    {"method": "otp", "pending": "x", "code": "123456", "user_id": "x"},
    {"method": "hwk", "pending": "x", "challenge_id": "x", "credential": {}},
]


@pytest.mark.parametrize("body", BAD)
async def test_bad_second_factors_are_refused(mira: Person, body: dict[str, Any]) -> None:
    answer = await mira.open(f"{SESSIONS}/second-factor", body)
    assert_problem(answer, 422, "invalid-request")


@pytest.mark.parametrize("code", ["", " ", "٣" * 6, "\x00" * 6, "-12345", "12 34 56x", "💥"])
async def test_odd_codes_are_wrong_codes(mira: Person, code: str) -> None:
    await mira.enrol()
    for method in ("otp", "recovery"):
        pending = (await mira.pending())["pending"]
        answer = await mira.complete(pending, method, code=code)
        assert_problem(answer, 401, "second-factor-wrong")
