"""Passkeys through the gateway on a real PostgreSQL, with an authenticator in software."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.users_factors import POLICY
from storage.database import Pool
from tests.api_services import Api, assert_problem, make_services, open_api
from tests.authenticator import Authenticator, base64url, cbor, raw_of
from tests.integration.factors_support import ME, SESSIONS, Person

Change = Callable[[Authenticator], None]


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


@pytest.fixture
async def mira(api: Api) -> Person:
    return await Person(api).join()


async def alone(person: Person, authenticator: Authenticator | None = None) -> httpx.Response:
    """Sign in with a passkey and nothing else."""
    asked = (await person.open(f"{SESSIONS}/passkey/options")).json()
    credential = (authenticator or person.authenticator).get(asked["options"])
    body = {"challenge_id": asked["challenge_id"], "credential": credential}
    answer = await person.open(f"{SESSIONS}/passkey", body)
    if answer.status_code == 201:
        person.token = answer.json()["access_token"]
    return answer


async def second(person: Person) -> httpx.Response:
    """Sign in with the password, then a passkey."""
    pending = (await person.pending())["pending"]
    path = f"{SESSIONS}/second-factor/options"
    asked = (await person.open(path, {"pending": pending})).json()
    credential = person.authenticator.get(asked["options"])
    challenge_id = asked["challenge_id"]
    return await person.complete(pending, "hwk", challenge_id=challenge_id, credential=credential)


async def lately(person: Person) -> httpx.Response:
    """Step up with a passkey."""
    asked = (await person.ask("POST", f"{SESSIONS}/current/step-up/options")).json()
    credential = person.authenticator.get(asked["options"])
    return await person.step_up("hwk", challenge_id=asked["challenge_id"], credential=credential)


@pytest.mark.parametrize("eddsa", [False, True])
@pytest.mark.parametrize("synced", [False, True])
async def test_a_passkey_signs_in_alone_and_as_a_second_factor(
    mira: Person, eddsa: bool, synced: bool
) -> None:
    mira.authenticator = Authenticator(eddsa=eddsa, synced=synced)
    made = await mira.add_passkey()
    assert made.status_code == 201, made.text
    assert len(made.json()["recovery_codes"]) == 10
    assert made.json()["passkey"]["synced"] is synced
    assert (await second(mira)).status_code == 201
    assert mira.claims().methods == ("pwd", "hwk")
    assert (await alone(mira)).status_code == 201
    assert mira.claims().methods == ("hwk",)
    assert (await lately(mira)).status_code == 200
    (item,) = (await mira.ask("GET", f"{ME}/passkeys")).json()["items"]
    assert item["name"] == "telephone"
    assert item["used_at_ms"] == mira.api.services.clock()
    assert await mira.letters() == ["passkey-added", "recovery-codes-made"]


async def test_options_say_what_the_browser_needs_and_no_more(mira: Person) -> None:
    found = (await mira.ask("POST", f"{ME}/passkeys/options")).json()
    options = found["options"]
    assert options["rp"] == {"id": "localhost", "name": "VibeStream"}
    assert options["attestation"] == "none"
    assert len(raw_of(options["challenge"])) == 32
    assert {each["alg"] for each in options["pubKeyCredParams"]} >= {-7, -8, -257}
    await mira.add_passkey()
    await lately(mira)
    again = (await mira.ask("POST", f"{ME}/passkeys/options")).json()
    (known,) = again["options"]["excludeCredentials"]
    assert raw_of(known["id"]) == mira.authenticator.credentials[0].credential_id
    anybody = (await mira.open(f"{SESSIONS}/passkey/options")).json()["options"]
    assert not anybody.get("allowCredentials")
    assert anybody["userVerification"] == "required"


async def test_alone_a_passkey_must_know_its_user(mira: Person) -> None:
    mira.authenticator.verifies = False
    assert (await mira.add_passkey()).status_code == 201
    assert_problem(await alone(mira), 401, "passkey-refused")
    assert (await second(mira)).status_code == 201, "beside the password it may be touched only"
    assert_problem(await lately(mira), 401, "passkey-refused")


def bent(**fields: Any) -> Change:
    def change(authenticator: Authenticator) -> None:
        for name, value in fields.items():
            setattr(authenticator, name, value)

    return change


BENT = {
    "another origin": bent(origin="http://localhost:8001"),
    "a page that looks like ours": bent(origin="http://localhost:8000.evil.example"),
    "a frame of another page": bent(cross_origin=True),
    "nobody present": bent(present=False),
}


@pytest.mark.parametrize("change", BENT.values(), ids=BENT)
async def test_what_a_registration_must_not_be(mira: Person, change: Change) -> None:
    change(mira.authenticator)
    assert_problem(await mira.add_passkey(), 401, "passkey-refused")
    assert (await mira.factors())["passkeys"] == 0


@pytest.mark.parametrize("change", BENT.values(), ids=BENT)
async def test_what_an_assertion_must_not_be(mira: Person, change: Change) -> None:
    await mira.add_passkey()
    change(mira.authenticator)
    for sign_in in (alone, second, lately):
        assert (await sign_in(mira)).status_code in {401, 403}


async def test_a_credential_of_another_relying_party_is_refused(mira: Person) -> None:
    await mira.add_passkey()
    mira.authenticator.credentials[0].rp_id = "evil.example"
    assert_problem(await alone(mira), 401, "passkey-refused")


async def test_a_copied_passkey_is_noticed_and_blocked(mira: Person) -> None:
    await mira.add_passkey()
    copied = copy.deepcopy(mira.authenticator)
    for _ in range(3):
        assert (await alone(mira)).status_code == 201
    assert_problem(await alone(mira, copied), 401, "passkey-refused")
    assert (await mira.facts())[-1] == "PasskeySuspected"
    assert "passkey-suspected" in await mira.letters()
    assert_problem(await alone(mira), 401, "passkey-refused")
    assert (await mira.factors())["passkeys"] == 0
    (item,) = (await mira.ask("GET", f"{ME}/passkeys")).json()["items"]
    assert item["suspected"] is True


async def test_a_forged_counter_blocks_nothing(mira: Person) -> None:
    """Only a good signature says anything about the counter."""
    await mira.add_passkey()
    assert (await alone(mira)).status_code == 201
    forger = copy.deepcopy(mira.authenticator)
    forger.credentials[0].count = 0
    forger.credentials[0].private = Authenticator().create_key()
    assert_problem(await alone(mira, forger), 401, "passkey-refused")
    assert (await alone(mira)).status_code == 201


async def test_a_passkey_that_counts_nothing_goes_on(mira: Person) -> None:
    mira.authenticator.counts = False
    await mira.add_passkey()
    for _ in range(3):
        assert (await alone(mira)).status_code == 201


async def test_a_challenge_is_answered_once_by_whom_it_was_given_to(mira: Person) -> None:
    await mira.add_passkey()
    asked = (await mira.open(f"{SESSIONS}/passkey/options")).json()
    bodies = [
        {
            "challenge_id": asked["challenge_id"],
            "credential": mira.authenticator.get(asked["options"]),
        }
        for _ in range(6)
    ]
    answers = await asyncio.gather(*(mira.open(f"{SESSIONS}/passkey", b) for b in bodies))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 5
    asked = (await mira.open(f"{SESSIONS}/passkey/options")).json()
    body = {
        "challenge_id": asked["challenge_id"],
        "credential": mira.authenticator.get(asked["options"]),
    }
    mira.api.client.headers["user-agent"] = "another client"
    other = await mira.open(f"{SESSIONS}/passkey", body)
    assert_problem(other, 409, "challenge-not-found")
    asked = (await mira.open(f"{SESSIONS}/passkey/options")).json()
    body = {
        "challenge_id": asked["challenge_id"],
        "credential": mira.authenticator.get(asked["options"]),
    }
    mira.wait(POLICY.challenge_ms)
    late = await mira.open(f"{SESSIONS}/passkey", body)
    assert_problem(late, 409, "challenge-not-found")


async def test_a_challenge_is_answered_for_what_it_was_given(mira: Person) -> None:
    """An assertion made for a sign-in steps nobody up, nor completes another's sign-in."""
    await mira.add_passkey()
    asked = (await mira.open(f"{SESSIONS}/passkey/options")).json()
    credential = mira.authenticator.get(asked["options"])
    answer = await mira.step_up("hwk", challenge_id=asked["challenge_id"], credential=credential)
    assert_problem(answer, 409, "challenge-not-found")
    one, other = (await mira.pending())["pending"], (await mira.pending())["pending"]
    path = f"{SESSIONS}/second-factor/options"
    asked = (await mira.open(path, {"pending": one})).json()
    credential = mira.authenticator.get(asked["options"])
    answer = await mira.complete(
        other, "hwk", challenge_id=asked["challenge_id"], credential=credential
    )
    assert_problem(answer, 409, "challenge-not-found")


async def test_anothers_passkey_completes_nothing(api: Api, mira: Person) -> None:
    eve = await Person(api, "eve").join()
    await mira.add_passkey()
    await eve.add_passkey()
    pending = (await mira.pending())["pending"]
    path = f"{SESSIONS}/second-factor/options"
    asked = (await mira.open(path, {"pending": pending})).json()
    credential = eve.authenticator.get(asked["options"])
    answer = await mira.complete(
        pending, "hwk", challenge_id=asked["challenge_id"], credential=credential
    )
    assert_problem(answer, 401, "passkey-refused")
    item = (await mira.ask("GET", f"{ME}/passkeys")).json()["items"][0]["passkey_id"]
    await lately(eve)
    for method, body in (("PATCH", {"name": "mine"}), ("DELETE", None)):
        answer = await eve.ask(method, f"{ME}/passkeys/{item}", body)
        assert_problem(answer, 404, "passkey-not-found")
    assert (await alone(mira)).status_code == 201


async def test_a_credential_that_is_registered_is_nobody_elses(api: Api, mira: Person) -> None:
    eve = await Person(api, "eve").join()
    await mira.add_passkey()
    stolen = mira.authenticator.credentials[0].credential_id
    asked = (await eve.ask("POST", f"{ME}/passkeys/options")).json()
    eve.authenticator.fixed_id = stolen
    credential = eve.authenticator.create(asked["options"])
    body = {"challenge_id": asked["challenge_id"], "name": "x", "credential": credential}
    assert_problem(await eve.ask("POST", f"{ME}/passkeys", body), 409, "passkey-exists")
    assert (await alone(mira)).status_code == 201


async def test_a_credential_that_names_another_user_is_refused(api: Api, mira: Person) -> None:
    eve = await Person(api, "eve").join()
    await mira.add_passkey()
    mira.authenticator.credentials[0].user_handle = bytes.fromhex(eve.user_id.replace("-", ""))
    assert_problem(await alone(mira), 401, "passkey-refused")


async def test_passkeys_are_renamed_and_removed(mira: Person) -> None:
    made = await mira.add_passkey()
    path = f"{ME}/passkeys/{made.json()['passkey']['passkey_id']}"
    assert (await mira.ask("PATCH", path, {"name": " work laptop "})).status_code == 204
    for name in ("", " ", "x" * 65, "a\nb", "a\u202eb", "\u0000"):
        bad = await mira.ask("PATCH", path, {"name": name})
        assert_problem(bad, 422, "factor-name-invalid")
    (item,) = (await mira.ask("GET", f"{ME}/passkeys")).json()["items"]
    assert item["name"] == "work laptop"
    assert_problem(await mira.ask("DELETE", path), 403, "step-up-required")
    await lately(mira)
    assert (await mira.ask("DELETE", path)).status_code == 204
    assert_problem(await mira.ask("DELETE", path), 404, "passkey-not-found")
    assert_problem(await mira.ask("PATCH", path, {"name": "x"}), 404, "passkey-not-found")
    assert_problem(await alone(mira), 401, "passkey-refused")
    assert (await mira.sign_in()).status_code == 201
    assert (await mira.facts())[-2:] == ["PasskeyRemoved", "RecoveryCodesMade"]


async def test_there_are_no_more_passkeys_than_an_account_may_have(mira: Person) -> None:
    await mira.add_passkey()
    await lately(mira)
    await mira.api.pool.execute(
        """insert into users.passkeys
        select gen_random_uuid(), user_id, sha256(n::text::bytea), public_key, 0, name, aaguid,
            transports, synced, n
        from users.passkeys, generate_series(1, $1::int) n""",
        POLICY.max_passkeys - 1,
    )
    refused = await mira.ask("POST", f"{ME}/passkeys/options")
    assert_problem(refused, 409, "passkeys-limit")


def attestation(fmt: str, statement: dict[Any, Any]) -> Callable[[dict[str, Any]], None]:
    def change(credential: dict[str, Any]) -> None:
        given = raw_of(credential["response"]["attestationObject"])
        auth_data = given[given.index(b"authData") + 8 :]
        auth_data = auth_data[2:] if auth_data[0] == 0x58 else auth_data[3:]
        bent = cbor({"fmt": fmt, "attStmt": statement, "authData": auth_data})
        credential["response"]["attestationObject"] = base64url(bent)

    return change


STATEMENTS = {
    "tpm": attestation("tpm", {"ver": "2.0", "alg": -7, "sig": b"s", "certInfo": b"", "x5c": b""}),
    "fido-u2f": attestation("fido-u2f", {"sig": b"s"}),
    "android-safetynet": attestation("android-safetynet", {"ver": "1", "response": b"a.b.c"}),
    "unknown": attestation("nonsense", {}),
    "none with something": attestation("none", {"sig": b"s"}),
    "packed without": attestation("packed", {}),
    "packed wrong": attestation("packed", {"alg": -7, "sig": b"s" * 70}),
    "packed, certified": attestation("packed", {"alg": -7, "sig": b"s", "x5c": b"cert"}),
}


@pytest.mark.parametrize("change", STATEMENTS.values(), ids=STATEMENTS)
async def test_attestations_that_were_not_asked_for_are_refused(
    mira: Person, change: Callable[[dict[str, Any]], None]
) -> None:
    asked = (await mira.ask("POST", f"{ME}/passkeys/options")).json()
    credential = mira.authenticator.create(asked["options"])
    change(credential)
    body = {"challenge_id": asked["challenge_id"], "name": "x", "credential": credential}
    assert_problem(await mira.ask("POST", f"{ME}/passkeys", body), 401, "passkey-refused")


READ = {
    *("id", "rawId", "type", "attestationObject", "clientDataJSON"),
    *("authenticatorData", "signature", "userHandle"),
}


def bent_somewhere(credential: dict[str, Any], seed: int) -> dict[str, Any]:
    """The answer with something of it changed, at any depth."""
    chance = random.Random(seed)
    found = copy.deepcopy(credential)
    parts = found if chance.random() < 0.2 else found["response"]
    name = chance.choice(sorted(READ & parts.keys()))
    raw = bytearray(raw_of(parts[name])) or bytearray(b"\0")
    match chance.randrange(5):
        case 0:
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        case 1:
            del raw[chance.randrange(len(raw)) :]
        case 2:
            raw[chance.randrange(len(raw)) :] = chance.randbytes(chance.randrange(200))
        case 3:
            parts[name] = chance.choice(["", "=", "\u0000", "é", "A" * 60_000, "[" * 5_000])
            return found
        case 4:
            raw = bytearray(b"\x81" * 20_000)
    parts[name] = base64url(bytes(raw))
    return found


async def test_a_bent_registration_crashes_nothing(mira: Person) -> None:
    """With no attestation, a counter or a maker's id that is bent is as good as another."""
    for seed in range(60):
        asked = (await mira.ask("POST", f"{ME}/passkeys/options")).json()
        credential = bent_somewhere(mira.authenticator.create(asked["options"]), seed)
        body = {"challenge_id": asked["challenge_id"], "name": "x", "credential": credential}
        made = await mira.ask("POST", f"{ME}/passkeys", body)
        assert made.status_code in {201, 401, 422}, (seed, made.text)
        await mira.api.pool.execute("delete from users.passkeys")


async def test_a_bent_assertion_is_refused(mira: Person) -> None:
    await mira.add_passkey()
    for seed in range(60):
        asked = (await mira.open(f"{SESSIONS}/passkey/options")).json()
        credential = bent_somewhere(mira.authenticator.get(asked["options"]), seed)
        body = {"challenge_id": asked["challenge_id"], "credential": credential}
        answer = await mira.open(f"{SESSIONS}/passkey", body)
        assert answer.status_code in {401, 422}, (seed, credential, answer.text)
    assert (await alone(mira)).status_code == 201
