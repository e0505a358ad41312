"""Linking, unlinking, and what a provider tells by itself. No account for who did not prove it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from deployments.launcher.identity import EmbeddedIdentity
from messages.users_external import Provider
from storage import users_external as storage
from storage.database import Pool
from tests.api_services import assert_problem
from tests.external_person import Person, RealClock, another, open_person
from tests.sign_in_browser import HIDDEN, MIRA, NO_ADDRESS, OTHER_MAIL, UNVERIFIED

MAIL = "mira.solano@gmail.com"


@pytest.fixture
async def person(
    identity_server: EmbeddedIdentity, pool: Pool, tmp_path: Path
) -> AsyncIterator[Person]:
    async with open_person(identity_server, pool, tmp_path) as opened:
        yield opened


async def with_password(person: Person, name: str = "mira", email: str = MAIL) -> str:
    """An account of the ordinary kind, signed in."""
    assert (await person.api.register(name, email=email)).is_success
    return str((await person.api.sign_in(name)).json()["user_id"])


async def test_statements_compile(pool: Pool) -> None:
    async with pool.acquire() as connection:
        for name, statement in inspect.getmembers(storage):
            if name.isupper() and name[0] != "_" and isinstance(statement, str):
                await connection.prepare(statement)


async def test_an_account_is_not_handed_to_who_has_its_address(person: Person) -> None:
    user_id = await with_password(person)
    person.api.token = ""
    proof = await person.proof("google")
    assert_problem(await person.complete(proof), 409, "external-email-taken")
    assert await person.api.pool.fetchval("select count(*) from users.users") == 1
    # The owner signs in as before and brings the same code.
    await person.api.sign_in()
    linked = await person.link(proof)
    assert linked.status_code == 201, linked.text
    assert (linked.json()["provider"], linked.json()["email"]) == ("google", MAIL)
    signed_in = await person.complete(await person.proof("google"))
    assert signed_in.json()["user_id"] == user_id


async def test_addresses_are_compared_in_any_case(person: Person) -> None:
    await with_password(person, email=MAIL.upper())
    assert_problem(await person.complete(await person.proof("google")), 409, "external-email-taken")


@pytest.mark.parametrize(
    ("provider", "account"),
    [
        ("google", UNVERIFIED["google"]),
        ("google", NO_ADDRESS),
        ("apple", UNVERIFIED["apple"]),
    ],
)
async def test_without_a_verified_address_there_is_no_account(
    person: Person, provider: str, account: str
) -> None:
    proof = await person.proof(provider, account)
    assert_problem(await person.complete(proof), 403, "external-email-unverified")
    assert await person.api.pool.fetchval("select count(*) from users.users") == 0
    # But whoever has one may link: the subject is proved, whatever the address.
    await with_password(person)
    assert (await person.link(proof)).status_code == 201
    assert (await person.complete(await person.proof(provider, account))).status_code == 201


async def test_a_name_that_will_not_do_may_be_corrected(person: Person) -> None:
    await with_password(person, "taken", "taken@example.org")
    proof = await person.proof("apple", HIDDEN)
    assert_problem(await person.complete(proof, username="-"), 422, "username-invalid")
    assert_problem(await person.complete(proof, username="Taken"), 409, "username-taken")
    assert_problem(await person.complete(proof, locale="tlh"), 422, "locale-unknown")
    assert (await person.complete(proof, username="noor")).status_code == 201


async def test_first_sign_ins_of_one_person_at_once_make_one_account(person: Person) -> None:
    proofs = [await person.proof("google") for _ in range(5)]
    answers = await asyncio.gather(*(person.complete(proof) for proof in proofs))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["user_id"] for answer in answers}) == 1
    assert await person.api.pool.fetchval("select count(*) from users.users") == 1


async def test_linking_wants_a_fresh_proof_of_the_account(person: Person) -> None:
    await with_password(person)
    proof = await person.proof("google")
    clock = person.api.services.clock
    assert isinstance(clock, RealClock)
    clock.ahead_ms = 5 * 60_000 + 1_000
    assert_problem(await person.link(proof), 403, "step-up-required")
    clock.ahead_ms = 0
    person.api.token = ""
    assert_problem(await person.link(proof), 401, "unauthenticated")
    assert await person.api.pool.fetchval("select count(*) from users.external_identities") == 0


async def test_linking_needs_code_and_handle(person: Person) -> None:
    await with_password(person)
    proof = await person.proof("google")
    bad = {**proof, "handle": "x" * 43}
    assert_problem(await person.link(bad), 422, "external-sign-in-invalid")
    first = await person.link(proof, "same-key-1")
    again = await person.link(proof, "same-key-1")
    assert (first.status_code, first.json()) == (201, again.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert_problem(await person.link(proof), 422, "external-sign-in-invalid")
    assert len(await person.identities()) == 1
    relinked = await person.link(await person.proof("google"))
    assert relinked.json()["identity_id"] == first.json()["identity_id"], "it is linked already"


async def test_an_identity_signs_in_to_one_account(person: Person) -> None:
    await with_password(person)
    await person.link(await person.proof("google"))
    async with another(person) as other:
        await with_password(other, "teo", "teo@example.org")
        taken = await other.link(await other.proof("google"))
        assert_problem(taken, 409, "external-identity-taken")
        assert await other.identities() == []
        mine = (await person.identities())[0]["identity_id"]
        assert_problem(await other.unlink(mine), 404, "external-identity-not-found")
    assert len(await person.identities()) == 1


async def test_two_accounts_that_link_one_identity_at_once(person: Person) -> None:
    await with_password(person)
    async with another(person) as other:
        await with_password(other, "teo", "teo@example.org")
        proofs = [await person.proof("google"), await other.proof("google")]
        answers = await asyncio.gather(person.link(proofs[0]), other.link(proofs[1]))
        assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_the_last_way_to_sign_in_stays(person: Person) -> None:
    await person.complete(await person.proof("google"))
    (google,) = await person.identities()
    assert_problem(await person.unlink(google["identity_id"]), 409, "last-way-to-sign-in")
    await person.link(await person.proof("apple"))
    google, apple = await person.identities()
    answers = await asyncio.gather(
        person.unlink(google["identity_id"]), person.unlink(apple["identity_id"])
    )
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert len(await person.identities()) == 1


async def test_who_has_a_password_may_unlink_all_and_is_told(person: Person) -> None:
    user_id = await with_password(person)
    await person.link(await person.proof("google"))
    (google,) = await person.identities()
    assert (await person.unlink(google["identity_id"])).status_code == 204
    assert_problem(await person.unlink(google["identity_id"]), 404, "external-identity-not-found")
    letters = await person.api.pool.fetch(
        "select template from mail.outgoing where user_id = $1 order by mail_id", user_id
    )
    sent = [row["template"] for row in letters if row["template"].startswith("external")]
    assert sorted(sent) == ["external-linked", "external-unlinked"]
    kinds = await person.api.pool.fetch(
        "select type, sequence from bus.outbox where stream = 'users' order by sequence"
    )
    assert [row["sequence"] for row in kinds] == list(range(1, len(kinds) + 1))
    assert [row["type"] for row in kinds][-2:] == [
        "ExternalIdentityLinked", "ExternalIdentityUnlinked",
    ]  # fmt: skip
    proof = await person.proof("google")
    assert_problem(await person.complete(proof), 409, "external-email-taken")


async def test_a_second_factor_is_asked_for_after_the_provider(person: Person) -> None:
    user_id = (await person.complete(await person.proof("google"))).json()["user_id"]
    await person.api.pool.execute(
        "insert into users.totp (user_id, secret, added_at_ms, confirmed_at_ms) "
        "values ($1, 'x', 1, 1)", user_id,
    )  # fmt: skip
    answer = await person.complete(await person.proof("google"))
    assert answer.status_code == 200
    assert answer.json()["status"] == "second-factor-required"
    assert "access_token" not in answer.json()


async def test_an_account_without_a_password_has_none_that_fits(person: Person) -> None:
    await person.complete(await person.proof("google"), username="mira")
    for password in ("", "x" * 12, "None"):
        assert_problem(await person.api.sign_in("mira", password), 401, "credentials-wrong")


async def test_an_address_of_another_mail_service_is_verified_but_not_for_ever(
    person: Person,
) -> None:
    proof = await person.proof("google", OTHER_MAIL)
    row = await person.api.pool.fetchrow("select * from users.external_completions")
    assert row is not None
    assert (row["is_email_verified"], row["is_email_authoritative"]) == (True, False)
    assert (await person.complete(proof)).status_code == 201
    me = await person.api.client.get("/api/v1/users/me", headers=person.api.headers())
    assert me.json()["email_verified"] is False
    async with another(person) as mira:
        await mira.complete(await mira.proof("google"))
        me = await mira.api.client.get("/api/v1/users/me", headers=mira.api.headers())
        assert me.json()["email_verified"] is True


async def test_a_name_that_somebody_is_registering_is_reserved(person: Person) -> None:
    assert (await person.api.ask_to_register("mira")).status_code == 202
    proof = await person.proof("google")
    assert_problem(await person.complete(proof, username="Mira"), 409, "username-taken")
    assert (await person.complete(proof, username="mira2")).status_code == 201


async def test_who_began_to_register_with_an_address_does_not_get_the_account(
    person: Person,
) -> None:
    """Pre-hijacking: a password that somebody else chose for this address opens nothing."""
    await person.api.ask_to_register("mallory", email=MAIL)
    token = await person.api.mailed_token(MAIL, "mallory")
    assert (await person.complete(await person.proof("google"))).status_code == 201
    assert_problem(await person.api.verify(token), 409, "email-taken")
    assert await person.api.pool.fetchval("select count(*) from users.users") == 1


# --- notices --------------------------------------------------------------------------------------


async def notice(person: Person, kind: str, subject: str, provider: str = "apple") -> str:
    url = f"{person.browser.provider_url}/control/{provider}/notice"
    async with httpx.AsyncClient(trust_env=False) as control:
        return (await control.post(url, json={"type": kind, "sub": subject})).text


async def take(person: Person, token: str) -> httpx.Response:
    return await person.api.client.post("/api/v1/oauth/apple/notices", json={"payload": token})


@pytest.mark.parametrize("kind", ["consent-revoked", "account-delete"])
async def test_who_leaves_apple_is_unlinked_once(person: Person, kind: str) -> None:
    await with_password(person)
    await person.link(await person.proof("apple"))
    token = await notice(person, kind, MIRA["apple"])
    assert (await take(person, token)).status_code == 200
    assert await person.identities() == []
    await person.link(await person.proof("apple"))
    assert (await take(person, token)).status_code == 200, "a replay is answered, and does nothing"
    assert len(await person.identities()) == 1


async def test_who_leaves_apple_keeps_the_only_way_in(person: Person) -> None:
    await person.complete(await person.proof("apple"))
    token = await notice(person, "consent-revoked", MIRA["apple"])
    assert (await take(person, token)).status_code == 200
    assert len(await person.identities()) == 1
    actions = await person.api.pool.fetch("select action, actor from audit.entries")
    assert ("external-identity.revoked", "service:apple") in [tuple(row) for row in actions]
    assert (await person.complete(await person.proof("apple"))).status_code == 201


async def test_notices_of_others_change_nothing(person: Person) -> None:
    await with_password(person)
    await person.link(await person.proof("apple"))
    good = await notice(person, "consent-revoked", MIRA["apple"])
    for token in (
        await notice(person, "consent-revoked", MIRA["apple"], "google"),
        good[:-8] + "AAAAAAAA",
        "",
    ):
        assert_problem(await take(person, token), 403, "provider-answer-refused")
    for kind, subject in (("email-disabled", MIRA["apple"]), ("consent-revoked", HIDDEN)):
        assert (await take(person, await notice(person, kind, subject))).status_code == 200
    assert len(await person.identities()) == 1
    clock = person.api.services.clock
    assert isinstance(clock, RealClock)
    clock.ahead_ms = 2 * 24 * 3_600_000
    assert_problem(await take(person, good), 403, "provider-answer-refused")


# --- for the deletion and the export of accounts --------------------------------------------------


async def test_what_is_kept_can_be_exported_and_erased(person: Person) -> None:
    user_id = (await person.complete(await person.proof("google"))).json()["user_id"]
    (kept,) = await storage.export(person.api.pool, user_id)
    assert (kept["provider"], kept["subject"], kept["email"]) == ("google", MIRA["google"], MAIL)
    async with person.api.pool.acquire() as connection, connection.transaction():
        await storage.erase(connection, user_id)
    assert await storage.export(person.api.pool, user_id) == []
    assert await storage.find(person.api.pool, Provider.GOOGLE, MIRA["google"]) is None
