"""The whole way to Google or Apple and back through the gateway, and whoever tries another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.services import ExternalSignIn
from deployments.launcher.identity import EmbeddedIdentity
from messages.errors import Unavailable
from storage.database import Pool
from tests.api_services import assert_problem, make_services, open_api
from tests.external_person import (
    PAGE,
    PROGRAM,
    Person,
    RealClock,
    another,
    open_person,
    place,
    told,
)
from tests.sign_in_browser import MIRA, Returned

BOTH = pytest.mark.parametrize("provider", ["google", "apple"])


@pytest.fixture
async def person(
    identity_server: EmbeddedIdentity, pool: Pool, tmp_path: Path
) -> AsyncIterator[Person]:
    async with open_person(identity_server, pool, tmp_path) as opened:
        yield opened


@BOTH
async def test_the_first_sign_in_makes_an_account_and_the_second_finds_it(
    person: Person, provider: str
) -> None:
    first = await person.complete(await person.proof(provider), username="mira", locale="es")
    assert first.status_code == 201, first.text
    me = await person.api.client.get("/api/v1/users/me", headers=person.api.headers())
    assert (me.json()["username"], me.json()["locale"]) == ("mira", "es")
    second = await person.complete(await person.proof(provider), username="somebody-else")
    assert second.json()["user_id"] == first.json()["user_id"]
    assert second.json()["session_id"] != first.json()["session_id"]
    (identity,) = await person.identities()
    assert (identity["provider"], identity["email"]) == (provider, me.json()["email"])
    assert identity["used_at_ms"] > identity["linked_at_ms"]
    claims = person.api.services.tokens.verify(person.api.token, person.api.services.clock())
    assert claims.methods == (provider,)


async def test_a_page_that_chose_no_name_gets_one_that_tells_nothing(person: Person) -> None:
    await person.complete(await person.proof("google"))
    me = await person.api.client.get("/api/v1/users/me", headers=person.api.headers())
    assert me.json()["username"].startswith("listener-")
    assert "solano" not in me.json()["username"]


async def test_facts_and_audit_say_what_happened_and_not_to_whom(person: Person) -> None:
    user_id = (await person.complete(await person.proof("google"))).json()["user_id"]
    events = await person.api.pool.fetch(
        "select type, sequence, body from bus.outbox where stream = 'users' order by sequence"
    )
    kinds = [(row["type"], row["sequence"]) for row in events]
    assert kinds[:3] == [
        ("UserRegistered", 1), ("EmailVerified", 2), ("ExternalIdentityLinked", 3),
    ]  # fmt: skip
    assert not any(
        secret in row["body"] for row in events for secret in ("gmail", MIRA["google"], "Solano")
    )
    actions = await person.api.pool.fetch(
        "select action, actor, detail from audit.entries order by entry_id"
    )
    assert [row["action"] for row in actions][:2] == ["user.registered", "external-identity.linked"]
    assert all(row["actor"] == user_id for row in actions)
    letters = await person.api.pool.fetch("select recipient, template from mail.outgoing")
    assert [tuple(row) for row in letters] == [("mira.solano@gmail.com", "external-linked")]


async def test_nothing_of_the_sign_in_is_left_behind(person: Person) -> None:
    await person.complete(await person.proof("apple"))
    for table in ("external_authorizations", "external_completions"):
        assert await person.api.pool.fetchval(f"select count(*) from users.{table}") == 0


@BOTH
async def test_no_secret_is_stored_as_it_is(person: Person, provider: str) -> None:
    begun = await person.begin(provider)
    state = parse_qs(urlsplit(begun.json()["authorization_url"]).query)["state"][0]
    cookie = person.api.client.cookies[f"oauth-{provider}"]
    row = await person.api.pool.fetchrow(
        "select row_to_json(a)::text from users.external_authorizations a"
    )
    assert row is not None
    for secret in (state, cookie, begun.json()["handle"]):
        assert len(secret) == 43
        assert secret not in row[0]


# --- the browser ----------------------------------------------------------------------------------


@BOTH
async def test_with_tls_the_cookie_is_bound_to_the_host(
    identity_server: EmbeddedIdentity, pool: Pool, tmp_path: Path, provider: str
) -> None:
    async with open_person(identity_server, pool, tmp_path, secure=True) as person:
        begun = await person.begin(provider)
        cookie = begun.headers["set-cookie"].lower()
        assert cookie.startswith(f"__host-oauth-{provider}=")
        parts = {part.strip() for part in cookie.split(";")[1:]}
        site = "samesite=none" if provider == "apple" else "samesite=lax"
        assert parts == {"httponly", "secure", "path=/", "max-age=600", site}


async def test_without_tls_the_cookie_is_one_that_browsers_take(person: Person) -> None:
    cookie = (await person.begin("apple")).headers["set-cookie"].lower()
    assert cookie.startswith("oauth-apple=")
    assert "secure" not in cookie
    assert "samesite=lax" in cookie


@BOTH
async def test_two_tabs_both_come_back(person: Person, provider: str) -> None:
    first, second = await person.begin(provider), await person.begin(provider)
    for begun in (first, second):
        back = await person.bring(await person.go(provider, begun))
        proof = {"code": told(back)["code"], "handle": begun.json()["handle"]}
        assert (await person.complete(proof)).status_code == 201


async def test_a_native_program_needs_no_cookie_but_its_handle(person: Person) -> None:
    url = PROGRAM.replace("127.0.0.1", "127.0.0.1:51004")
    begun = await person.begin("google", client="native", return_url=url)
    assert "set-cookie" not in begun.headers
    async with another(person) as system_browser:
        back = await system_browser.bring(await person.go("google", begun))
    assert place(back).startswith(url + "?code=")
    proof = {"code": told(back)["code"], "handle": begun.json()["handle"]}
    assert (await person.complete(proof)).status_code == 201


async def test_what_goes_to_the_page_is_a_code_and_no_token(person: Person) -> None:
    back = await person.bring(await person.go("google", await person.begin("google")))
    assert place(back).startswith(PAGE + "?code=")
    assert set(told(back)) == {"code"}
    assert len(told(back)["code"]) == 43
    assert back.headers["cache-control"] == "no-store"
    assert back.headers["referrer-policy"] == "no-referrer"


# --- attacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        PAGE + "/",
        PAGE + "?next=https://evil.example",
        PAGE + "#",
        PAGE.upper(),
        "//app.example/signed-in",
        "javascript:alert(1)",
        "https://app.example\\@evil.example/signed-in",
        "\x00",
        "",
    ],
)
async def test_no_browser_is_sent_elsewhere(person: Person, url: str) -> None:
    assert_problem(await person.begin("google", return_url=url), 422, "return-url-not-allowed")
    count = await person.api.pool.fetchval("select count(*) from users.external_authorizations")
    assert count == 0


@BOTH
async def test_another_browsers_answer_is_not_taken(person: Person, provider: str) -> None:
    """Login CSRF: somebody has a victim's browser bring the answer of their own sign-in."""
    async with another(person) as attacker:
        answer = await attacker.go(provider, await attacker.begin(provider))
        assert_problem(await person.bring(answer), 422, "external-sign-in-invalid")
        await person.begin(provider)  # the victim has a cookie of a sign-in of their own
        assert_problem(await person.bring(answer), 422, "external-sign-in-invalid")
        assert "code" in told(await attacker.bring(answer)), "who began is not disturbed"


async def test_a_code_is_worth_nothing_without_its_handle(person: Person) -> None:
    """Code injection: a stolen code at somebody else's page, and a stolen handle without a code."""
    proof = await person.proof("google")
    async with another(person) as attacker:
        theirs = await attacker.proof("google", MIRA["google"])
        for bad in (
            {**proof, "handle": theirs["handle"]},
            {**theirs, "handle": proof["handle"]},
            {**proof, "handle": ""},
            {**proof, "code": ""},
            {"code": proof["handle"], "handle": proof["code"]},
        ):
            assert_problem(await attacker.complete(bad), 422, "external-sign-in-invalid")
    assert (await person.complete(proof)).status_code == 201, "failed attempts use nothing up"


@BOTH
async def test_everything_counts_once(person: Person, provider: str) -> None:
    begun = await person.begin(provider)
    answer = await person.go(provider, begun)
    back = await person.bring(answer)
    assert_problem(await person.bring(answer), 422, "external-sign-in-invalid")
    proof = {"code": told(back)["code"], "handle": begun.json()["handle"]}
    answers = await asyncio.gather(*(person.complete(proof) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [201, 422, 422, 422, 422, 422]
    assert_problem(await person.complete(proof), 422, "external-sign-in-invalid")


async def test_the_state_is_the_providers_own(person: Person) -> None:
    """Mix-up: an answer at the other provider's callback."""
    answer = await person.go("google", await person.begin("google"))
    await person.begin("apple")
    crossed = Returned("POST", "http://api.test/api/v1/oauth/apple/callback", answer.answer)
    assert_problem(await person.bring(crossed), 422, "external-sign-in-invalid")
    posted = await person.go("apple", await person.begin("apple"))
    url = httpx.URL("http://api.test/api/v1/oauth/google/callback", params=posted.fields)
    assert_problem(await person.bring(Returned("GET", str(url))), 422, "external-sign-in-invalid")
    assert "code" in told(await person.bring(answer))
    assert "code" in told(await person.bring(posted))
    native = await person.go("google", await person.begin("google", client="native"))
    crossed = Returned("POST", "http://api.test/api/v1/oauth/apple/callback", native.answer)
    assert_problem(await person.bring(crossed), 422, "external-sign-in-invalid")


async def test_an_answer_of_another_issuer_is_refused(person: Person) -> None:
    """Mix-up (RFC 9207): the issuer in the answer is another's, or is left out."""
    for change in ("other", "missing"):
        answer = await person.go("google", await person.begin("google"))
        params = dict(answer.answer)
        if change == "other":
            params["iss"] = "https://evil.example"
        else:
            del params["iss"]
        url = httpx.URL("http://api.test/api/v1/oauth/google/callback", params=params)
        back = await person.bring(Returned("GET", str(url)))
        assert told(back) == {"error": "provider-answer-refused"}


@BOTH
async def test_a_code_of_another_sign_in_is_refused(person: Person, provider: str) -> None:
    """Code injection at the callback: PKCE at Google, the nonce at Apple."""
    async with another(person) as victim:
        stolen = await victim.go(provider, await victim.begin(provider))
    mine = await person.go(provider, await person.begin(provider))
    fields = {**mine.answer, "code": stolen.answer["code"]}
    if mine.method == "GET":
        url = httpx.URL("http://api.test/api/v1/oauth/google/callback", params=fields)
        back = await person.bring(Returned("GET", str(url)))
    else:
        back = await person.bring(Returned("POST", mine.url, fields))
    assert told(back) == {"error": "provider-answer-refused"}


async def test_what_apple_posts_unsigned_is_not_believed(person: Person) -> None:
    answer = await person.go("apple", await person.begin("apple"))
    forged = '{"email": "victim@example.org", "name": {"firstName": "Victim"}}'
    back = await person.bring(replace(answer, fields={**answer.fields, "user": forged}))
    assert "code" in told(back)
    email = await person.api.pool.fetchval("select email from users.external_completions")
    assert email == "mira@icloud.com"


async def test_parameters_come_once(person: Person) -> None:
    answer = await person.go("google", await person.begin("google"))
    double = f"{answer.url}&state=x"
    assert_problem(await person.bring(Returned("GET", double)), 422, "external-sign-in-invalid")
    posted = await person.go("apple", await person.begin("apple"))
    body: dict[str, Any] = {**posted.fields, "code": [posted.fields["code"], "another"]}
    twice = await person.api.client.post(posted.url, data=body)
    assert_problem(twice, 422, "external-sign-in-invalid")


@pytest.mark.parametrize("sent", [{}, {"state": ""}, {"state": "x"}, {"code": "x"}, {"error": "x"}])
@BOTH
async def test_an_answer_that_nobody_asked_for(
    person: Person, provider: str, sent: dict[str, str]
) -> None:
    url = f"http://api.test/api/v1/oauth/{provider}/callback"
    if provider == "google":
        answer = await person.api.client.get(url, params=sent)
    else:
        answer = await person.api.client.post(url, data=sent)
    assert_problem(answer, 422, "external-sign-in-invalid")


async def test_it_takes_ten_minutes_at_most(person: Person) -> None:
    clock = person.api.services.clock
    assert isinstance(clock, RealClock)
    begun = await person.begin("google")
    answer = await person.go("google", begun)
    clock.ahead_ms = 600_000
    assert_problem(await person.bring(answer), 422, "external-sign-in-invalid")
    clock.ahead_ms = 0
    proof = await person.proof("google")
    clock.ahead_ms = 600_000
    assert_problem(await person.complete(proof), 422, "external-sign-in-invalid")
    await person.begin("google")
    await person.begin("apple")
    left = await person.api.pool.fetchval("select count(*) from users.external_authorizations")
    assert left == 2, "what nobody came back for is forgotten as others begin"


# --- what the page is told ------------------------------------------------------------------------


@BOTH
async def test_who_cancels_is_back_at_the_page(person: Person, provider: str) -> None:
    begun = await person.begin(provider)
    url = begun.json()["authorization_url"]
    answer = await person.browser.sign_in(url, MIRA[provider], agree=False)
    assert told(await person.bring(answer)) == {"error": "external-sign-in-cancelled"}


async def test_a_provider_that_goes_away_meanwhile(person: Person) -> None:
    answer = await person.go("google", await person.begin("google"))

    async def gone(*_: object) -> None:
        raise Unavailable

    asked: Any = person.api.services.external.provider("google")  # type: ignore[arg-type]
    asked.identify = gone
    assert told(await person.bring(answer)) == {"error": "unavailable"}


async def test_a_provider_that_is_away_is_503_with_a_moment_to_come_back(
    identity_server: EmbeddedIdentity, pool: Pool, tmp_path: Path
) -> None:
    async with open_person(identity_server, pool, tmp_path) as person:
        asked: Any = person.api.services.external.provider("google")  # type: ignore[arg-type]
        asked._published._issuer = "http://127.0.0.1:1"
        for _ in range(6):  # the breaker opens meanwhile
            answer = await person.begin("google")
            assert_problem(answer, 503, "unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await person.begin("apple")).status_code == 201, "each has a breaker of its own"


async def test_a_provider_that_is_not_configured(pool: Pool, tmp_path: Path) -> None:
    services = make_services(tmp_path, pool, external=ExternalSignIn({}, (PAGE,)))
    async with open_api(services) as api:
        begun = await api.client.post(
            "/api/v1/oauth/google/authorizations", json={"return_url": PAGE}
        )
        assert_problem(begun, 404, "identity-provider-not-configured")
        callback = await api.client.get("/api/v1/oauth/google/callback")
        assert_problem(callback, 404, "identity-provider-not-configured")
        unknown = await api.client.post(
            "/api/v1/oauth/github/authorizations", json={"return_url": PAGE}
        )
        assert_problem(unknown, 422, "invalid-request")
        listed = await api.client.get("/api/v1/oauth/providers")
        assert listed.json() == {"providers": []}


async def test_the_providers_are_listed(person: Person) -> None:
    listed = await person.api.client.get("/api/v1/oauth/providers")
    assert listed.json() == {"providers": ["apple", "google"]}
