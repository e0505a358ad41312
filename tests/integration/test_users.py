"""Users through the gateway on a real PostgreSQL: accounts, tokens, and each bad input."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from domain.access import Permission
from messages.errors import Overloaded
from messages.users import Role
from storage import users as storage
from storage.database import Pool
from tests.api_services import NOW_MS, Api, assert_problem, make_services, open_api


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(make_services(tmp_path, pool)) as opened:
        yield opened


async def test_register_sign_in_and_see_oneself(api: Api) -> None:
    registered = await api.register("Mira", time_zone="Europe/Madrid", locale="es")
    assert registered.status_code == 201
    assert "password" not in registered.text
    session = (await api.sign_in("mira@EXAMPLE.org")).json()
    assert session["expires_at_ms"] == NOW_MS + 15 * 60_000
    me = await api.client.get("/api/v1/users/me", headers=api.headers())
    assert me.json() == registered.json()
    assert me.json()["tier"] == "free"
    assert me.json()["time_zone"] == "Europe/Madrid"


async def test_registering_writes_a_fact_without_the_address(api: Api) -> None:
    user_id = (await api.register()).json()["user_id"]
    rows = await api.pool.fetch("select * from bus.outbox order by id")
    assert [(row["type"], row["sequence"]) for row in rows] == [
        ("UserRegistered", 1), ("EmailVerified", 2),
    ]  # fmt: skip
    for row in rows:
        assert (row["stream"], row["entity_id"]) == ("users", user_id)
        assert row["channels"] == [f"user:{user_id}"]
        assert "example.org" not in row["body"]


BAD_REGISTRATIONS: list[tuple[dict[str, Any], int, str]] = [
    ({"username": "ab"}, 422, "username-invalid"),
    ({"username": "a" * 31}, 422, "username-invalid"),
    ({"username": "-mira"}, 422, "username-invalid"),
    ({"username": "mira-"}, 422, "username-invalid"),
    ({"username": "mí ra"}, 422, "username-invalid"),
    ({"username": "mira\n"}, 422, "username-invalid"),
    ({"username": "mi\u0000ra"}, 422, "username-invalid"),
    ({"email": "no-at-sign"}, 422, "email-invalid"),
    ({"email": "a@b"}, 422, "email-invalid"),
    ({"email": "a@example.org\n"}, 422, "email-invalid"),
    ({"email": "a" * 250 + "@example.org"}, 422, "email-invalid"),
    ({"password": "short"}, 422, "password-length"),
    ({"password": "x7" * 65}, 422, "password-length"),
    ({"password": "password1234"}, 422, "password-guessable"),
    ({"password": "aaaaaaaaaaaaaaaa"}, 422, "password-guessable"),
    ({"password": "mira12345678"}, 422, "password-guessable"),
    ({"time_zone": "Mars/Olympus"}, 422, "time-zone-unknown"),
    ({"time_zone": "../../etc/passwd"}, 422, "time-zone-unknown"),
    ({"locale": "tlh"}, 422, "locale-unknown"),
    ({"username": 7}, 422, "invalid-request"),
    ({"username": "x" * 2_000}, 422, "invalid-request"),
    ({"role": "admin"}, 422, "invalid-request"),
    ({"key": "short"}, 422, "invalid-request"),
    ({"key": "with a space in it"}, 422, "invalid-request"),
]


@pytest.mark.parametrize(("change", "status", "code"), BAD_REGISTRATIONS)
async def test_a_bad_registration_changes_nothing(
    api: Api, change: dict[str, Any], status: int, code: str
) -> None:
    before = await api.rows()
    assert_problem(await api.register(**{"name": "mira", **change}), status, code)
    assert await api.rows() == before


async def test_a_refused_registration_may_be_corrected_under_its_key(api: Api) -> None:
    assert_problem(await api.ask_to_register("-", key="same-key-3"), 422, "username-invalid")
    assert (await api.register("mira", key="same-key-3")).status_code == 201


async def test_an_unknown_name_and_a_wrong_password_are_answered_alike(api: Api) -> None:
    await api.register()
    hashes: list[str | None] = []
    verify = api.services.passwords.verify

    async def counted(encoded: str | None, password: str) -> bool:
        hashes.append(encoded)
        return await verify(encoded, password)

    api.services.passwords.verify = counted  # type: ignore[method-assign]
    wrong = assert_problem(await api.sign_in(password="not the password"), 401, "credentials-wrong")
    unknown = assert_problem(await api.sign_in("nobody"), 401, "credentials-wrong")
    nul = assert_problem(await api.sign_in("mi\u0000ra"), 401, "credentials-wrong")
    varying = {"request_id"}
    for other in (unknown, nul):
        assert {k: v for k, v in wrong.items() if k not in varying} == {
            k: v for k, v in other.items() if k not in varying
        }
    assert len(hashes) == 3, "every attempt costs one hash"
    assert hashes[1] is hashes[2] is None


async def test_a_full_hashing_queue_is_answered_with_503(api: Api) -> None:
    async def full(password: str) -> str:
        raise Overloaded(retry_after_ms=2_500)

    api.services.passwords.hash = full  # type: ignore[method-assign]
    answer = await api.ask_to_register()
    assert_problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "3"
    assert (await api.rows())["users.users"] == 0


async def test_the_hash_is_renewed_at_sign_in(api: Api) -> None:
    await api.register()
    old = await storage.find_credentials(api.pool, "mira")
    api.services.passwords.is_outdated = lambda encoded: True  # type: ignore[method-assign]
    assert (await api.sign_in()).status_code == 201
    new = await storage.find_credentials(api.pool, "mira")
    assert old is not None
    assert new is not None
    assert old.password_hash != new.password_hash
    assert (await api.sign_in()).status_code == 201


async def test_without_a_good_token_nobody_is_let_in(api: Api) -> None:
    await api.register()
    await api.sign_in()
    good = api.token
    anonymous = await api.client.get("/api/v1/users/me")
    assert_problem(anonymous, 401, "unauthenticated")
    assert anonymous.headers["www-authenticate"].startswith("Bearer")
    for bad in (
        "x",
        good[:-4] + "AAAA",
        jwt.encode({"sub": "x"}, "k" * 32, algorithm="HS256"),
        good.split(".")[0] + ".e30.",
    ):
        answer = await api.client.get(
            "/api/v1/users/me", headers={"Authorization": f"Bearer {bad}"}
        )
        assert_problem(answer, 401, "token-invalid")
    api.services.clock.now_ms += 15 * 60_000  # type: ignore[attr-defined]
    late = await api.client.get("/api/v1/users/me", headers=api.headers())
    assert_problem(late, 401, "token-expired")


async def test_jwks_verifies_our_tokens(api: Api) -> None:
    await api.register()
    await api.sign_in()
    keys = jwt.PyJWKSet.from_dict((await api.client.get("/.well-known/jwks.json")).json())
    header = jwt.get_unverified_header(api.token)
    body = jwt.decode(
        api.token,
        keys[header["kid"]],
        algorithms=["EdDSA"],
        audience="vibestream-api",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert body["roles"] == ["user"]
    assert body["exp"] - body["iat"] == 900


async def test_a_token_of_a_user_who_is_gone_sees_nothing(api: Api) -> None:
    await api.register()
    await api.sign_in()
    await api.pool.execute("delete from users.users")
    me = await api.client.get("/api/v1/users/me", headers=api.headers())
    assert_problem(me, 404, "user-not-found")
    artist = await api.client.post("/api/v1/artists", json={"name": "M"}, headers=api.headers())
    assert_problem(artist, 404, "user-not-found")


async def test_an_artist_is_one_once(api: Api) -> None:
    await api.become_artist()
    me = await api.client.get("/api/v1/users/me", headers=api.headers())
    assert me.json()["role"] == "artist"
    before = await api.rows()
    second = await api.client.post("/api/v1/artists", json={"name": "Two"}, headers=api.headers())
    assert_problem(second, 409, "artist-exists")
    for name in ("", "   ", "a\u0000b", "\u202e", "x" * 81):
        bad = await api.client.post("/api/v1/artists", json={"name": name}, headers=api.headers())
        assert_problem(bad, 422, "artist-name-invalid")
    assert await api.rows() == before


async def test_a_role_given_by_the_operator_counts_at_once(api: Api) -> None:
    from api.auth import check_permission

    user_id = (await api.register()).json()["user_id"]
    await api.sign_in()
    claims = api.services.tokens.verify(api.token, NOW_MS)
    from messages.users import PermissionMissing

    with pytest.raises(PermissionMissing):
        await check_permission(api.services, claims, Permission.FUND_POOL)
    assert await storage.grant_role(api.pool, "Mira", Role.ADMIN) == user_id
    await check_permission(api.services, claims, Permission.FUND_POOL)
    assert await storage.grant_role(api.pool, "nobody", Role.ADMIN) is None
