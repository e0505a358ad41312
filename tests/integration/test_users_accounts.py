"""Accounts change their address, name and place, rest and wake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.users_accounts import DAY_MS, MINUTE_MS, POLICY
from storage.database import Pool
from tests.api_services import PASSWORD, Api, assert_problem, make_services, open_api

NEW_MAIL = "mira@elsewhere.example"


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        await opened.register()
        await opened.sign_in()
        yield opened


def wait(api: Api, ms: int) -> None:
    api.services.clock.now_ms += ms  # type: ignore[attr-defined]


async def change_email(api: Api, email: str = NEW_MAIL) -> httpx.Response:
    path = "/api/v1/users/me/email"
    return await api.client.put(path, json={"email": email}, headers=api.headers())


async def confirm(api: Api, token: str) -> httpx.Response:
    return await api.client.post("/api/v1/email-changes/completion", json={"token": token})


async def patch(api: Api, **body: Any) -> httpx.Response:
    return await api.client.patch("/api/v1/users/me", json=body, headers=api.headers())


async def me(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = (await api.client.get("/api/v1/users/me", headers=api.headers())).json()
    return found


async def test_an_address_changes_when_its_new_mailbox_is_read(api: Api) -> None:
    assert (await change_email(api)).status_code == 202
    assert (await me(api))["email"] == "mira@example.org"
    token = await api.mailed_token(NEW_MAIL, "mira")
    assert (await confirm(api, token)).status_code == 204
    assert (await me(api))["email"] == NEW_MAIL
    assert (await api.letters("mira@example.org"))[-1] == ("email-changed", {"username": "mira"})
    assert (await api.sign_in(NEW_MAIL)).status_code == 201
    assert_problem(await api.sign_in("mira@example.org"), 401, "credentials-wrong")
    assert_problem(await confirm(api, token), 404, "mail-token-unknown")
    rows = await api.pool.fetch("select body from bus.outbox")
    assert not any("elsewhere" in row["body"] for row in rows), "events carry no address"


async def test_the_owner_of_an_address_is_told_and_who_wants_it_is_not(api: Api) -> None:
    await api.register("nils")
    free, taken = await change_email(api), await change_email(api, "NILS@example.org")
    assert (free.status_code, free.json()) == (taken.status_code, taken.json())
    assert (await api.letters("nils@example.org"))[-1] == ("address-taken", {"username": "nils"})
    token = await api.mailed_token(NEW_MAIL, "mira")
    assert_problem(await confirm(api, token), 404, "mail-token-unknown")


async def test_an_address_taken_meanwhile_is_refused(api: Api) -> None:
    await change_email(api, "nils@example.org")
    token = await api.mailed_token("nils@example.org", "mira")
    assert (await api.register("nils")).status_code == 201
    assert_problem(await confirm(api, token), 409, "email-taken")
    assert (await me(api))["email"] == "mira@example.org"


async def test_a_change_of_address_wants_a_recent_proof_and_is_good_for_a_day(api: Api) -> None:
    await change_email(api)
    token = await api.mailed_token(NEW_MAIL, "mira")
    wait(api, POLICY.email_change_ms)
    assert_problem(await confirm(api, token), 404, "mail-token-unknown")
    await api.sign_in()
    wait(api, 6 * MINUTE_MS)
    assert_problem(await change_email(api), 403, "step-up-required")


@pytest.mark.parametrize("email", ["", "x", "a@b", "a@example.org\n", "a" * 300 + "@example.org"])
async def test_a_bad_address_is_refused(api: Api, email: str) -> None:
    assert_problem(await change_email(api, email), 422, "email-invalid")


async def test_what_was_mailed_to_the_old_address_is_void(api: Api) -> None:
    from tests.integration.test_users_password import complete, token_for

    reset = await token_for(api)
    await change_email(api)
    assert (await confirm(api, await api.mailed_token(NEW_MAIL, "mira"))).status_code == 204
    assert_problem(await complete(api, reset), 404, "mail-token-unknown")


async def test_a_profile_changes_what_it_is_asked_to(api: Api) -> None:
    before = await me(api)
    changed = await patch(api, locale="es", time_zone="Europe/Madrid")
    assert changed.status_code == 200
    assert changed.json() == {**before, "locale": "es", "time_zone": "Europe/Madrid"}
    rows = await api.rows()
    assert (await patch(api, locale="es")).json() == changed.json()
    assert await api.rows() == rows, "nothing changed, nothing is told"
    assert (await patch(api)).json() == changed.json()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"username": "-mira"}, "username-invalid"),
        ({"username": "m" * 31}, "username-invalid"),
        ({"locale": "tlh"}, "locale-unknown"),
        ({"time_zone": "Mars/Olympus"}, "time-zone-unknown"),
        ({"role": "admin"}, "invalid-request"),
        ({"email": "x@example.org"}, "invalid-request"),
    ],
)
async def test_a_bad_profile_changes_nothing(api: Api, body: dict[str, str], code: str) -> None:
    before = await me(api)
    assert_problem(await patch(api, **body), 422, code)
    assert await me(api) == before


async def test_a_name_that_was_given_up_is_nobody_elses_for_a_month(api: Api) -> None:
    assert (await patch(api, username="Mira-Two")).json()["username"] == "Mira-Two"
    taken = await api.ask_to_register("MIRA", email="other@example.org")
    assert_problem(taken, 409, "username-taken")
    assert (await api.sign_in("mira-two")).status_code == 201
    assert_problem(await api.sign_in("mira"), 401, "credentials-wrong")
    assert (await patch(api, username="mira")).status_code == 200, "its owner may have it back"
    assert (await patch(api, username="MIRA")).json()["username"] == "MIRA"
    wait(api, POLICY.name_kept_ms)
    freed = await api.ask_to_register("mira-two", email="other@example.org")
    assert freed.status_code == 202


async def test_names_are_not_changed_all_the_time(api: Api) -> None:
    assert (await patch(api, username="mira2")).status_code == 200
    assert (await patch(api, username="mira3")).status_code == 200
    assert_problem(await patch(api, username="mira4"), 429, "username-changes-used-up")
    assert (await patch(api, username="mira2")).status_code == 200
    wait(api, POLICY.name_kept_ms)
    await api.sign_in("mira2")
    assert (await patch(api, username="mira4")).status_code == 200


async def test_a_reserved_name_is_taken(api: Api) -> None:
    await api.ask_to_register("nils")
    assert_problem(await patch(api, username="Nils"), 409, "username-taken")
    wait(api, DAY_MS)
    await api.sign_in()
    assert (await patch(api, username="Nils")).status_code == 200


async def test_an_account_rests_until_its_owner_signs_in(api: Api) -> None:
    token = api.token
    answer = await api.client.post("/api/v1/users/me/deactivation", headers=api.headers())
    assert answer.status_code == 204
    ended = await api.pool.fetchval(
        "select count(*) from users.sessions where ended_because = 'account-closed'"
    )
    assert ended == 1
    assert ("account-deactivated", {"username": "mira"}) in await api.letters("mira@example.org")
    assert_problem(await api.sign_in(password="not the password"), 401, "credentials-wrong")
    assert await api.pool.fetchval("select status from users.users") == "deactivated"
    assert (await api.sign_in(password=PASSWORD)).status_code == 201
    assert await api.pool.fetchval("select status from users.users") == "active"
    types = [row["type"] for row in await api.pool.fetch("select type from bus.outbox order by id")]
    assert types.count("AccountDeactivated") == types.count("AccountReactivated") == 1
    assert api.token != token
