"""Access tokens, the keys that sign them, and password hashing."""

from __future__ import annotations

import asyncio
import stat
import threading
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.passwords import Passwords
from integrations.private_files import UnsafeKeyFileError, load_secret
from integrations.signing_keys import (
    add_signing_key,
    generate_signing_key,
    load_signing_keys,
    parse_signing_key,
)
from integrations.tokens import HEADER_TYPE, AccessTokens, Grant
from messages.errors import Overloaded
from messages.users import Role, TokenExpired, TokenInvalid
from messages.users_sessions import Method

NOW = 1_790_000_000_123


def issue(tokens: AccessTokens) -> str:
    grant = Grant("user-1", "session-1", (Role.ARTIST,), (Method.PASSWORD,), NOW - 5_000)
    return tokens.issue(grant, "token-1", NOW)


def test_a_token_says_who_until_it_expires() -> None:
    tokens = AccessTokens([generate_signing_key()])
    token = issue(tokens)
    claims = tokens.verify(token, NOW)
    assert (claims.user_id, claims.session_id, claims.token_id) == (
        "user-1",
        "session-1",
        "token-1",
    )
    assert claims.roles == (Role.ARTIST,)
    assert claims.methods == (Method.PASSWORD,)
    assert claims.authenticated_at_ms == (NOW - 5_000) // 1_000 * 1_000
    last = claims.expires_at_ms - 1
    assert tokens.verify(token, last) == claims
    for _ in range(2):  # from the cache, and not
        with pytest.raises(TokenExpired):
            tokens.verify(token, last + 1)


def test_a_token_from_the_future_is_not_ours() -> None:
    tokens = AccessTokens([generate_signing_key()])
    with pytest.raises(TokenInvalid):
        tokens.verify(issue(tokens), NOW - 60_000)


def test_a_retired_key_verifies_and_a_strange_one_does_not() -> None:
    old, new = generate_signing_key(), generate_signing_key()
    token = issue(AccessTokens([old]))
    both = AccessTokens([new, old])
    assert both.verify(token, NOW).user_id == "user-1"
    assert jwt.get_unverified_header(issue(both))["kid"] == new.key_id
    assert [key["kid"] for key in both.jwks(NOW)["keys"]] == [new.key_id, old.key_id]
    with pytest.raises(TokenInvalid):
        AccessTokens([new]).verify(token, NOW)


@pytest.mark.parametrize(
    ("claim", "value"),
    [("iss", "other"), ("aud", "other"), ("typ", "refresh"), ("roles", ["king"]), ("roles", None),
     ("iat", "x"), ("sid", None), ("amr", ["magic"]), ("amr", None), ("auth_time", None)],
)  # fmt: skip
def test_every_claim_is_checked(claim: str, value: object) -> None:
    key = generate_signing_key()
    tokens = AccessTokens([key])
    body = jwt.decode(issue(tokens), options={"verify_signature": False})
    changed = {**body, claim: value}
    if value is None:
        del changed[claim]
    headers = {"kid": key.key_id, "typ": HEADER_TYPE}
    forged = jwt.encode(changed, key.private, algorithm="EdDSA", headers=headers)
    with pytest.raises(TokenInvalid):
        tokens.verify(forged, NOW)


def test_the_algorithm_is_ours() -> None:
    key = generate_signing_key()
    tokens = AccessTokens([key])
    body = jwt.decode(issue(tokens), options={"verify_signature": False})
    headers = {"kid": key.key_id, "typ": HEADER_TYPE}
    secret = key.public.public_bytes_raw()
    for forged in (
        jwt.encode(body, "", algorithm="none", headers=headers),
        jwt.encode(body, secret, algorithm="HS256", headers=headers),
        jwt.encode(body, key.private, algorithm="EdDSA", headers={**headers, "typ": "JWT"}),
    ):
        with pytest.raises(TokenInvalid):
            tokens.verify(forged, NOW)


@given(st.text(max_size=100))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        AccessTokens([generate_signing_key()]).verify(text, NOW)


def test_keys_are_made_once_private_and_rotated(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    found: list[str] = []

    def start() -> None:
        found.append(load_signing_keys(folder)[0].key_id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1, "processes that start at once agree"
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    added = add_signing_key(folder, NOW)
    assert [key.key_id for key in load_signing_keys(folder)] == [added.key_id, found[0]]
    file.chmod(0o640)
    with pytest.raises(UnsafeKeyFileError):
        load_signing_keys(folder)


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    first = load_secret(tmp_path / "a" / "secret")
    assert len(first) == 32
    assert load_secret(tmp_path / "a" / "secret") == first


def test_only_ed25519_keys_are_taken() -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(ValueError, match="Ed25519"):
        parse_signing_key(pem)


async def test_passwords_are_hashed_with_argon2id_and_verified() -> None:
    passwords = Passwords(time_cost=1, memory_kib=64)
    encoded = await passwords.hash("a fine password")
    assert encoded.startswith("$argon2id$")
    assert encoded != await passwords.hash("a fine password")
    assert await passwords.verify(encoded, "a fine password")
    assert not await passwords.verify(encoded, "another")
    assert not await passwords.verify(None, "nobody has this password")
    assert not await passwords.verify("not a hash", "another")
    assert not await passwords.verify(encoded, "x" * 5_000)
    assert not passwords.is_outdated(encoded)
    other = Passwords(time_cost=2, memory_kib=64)
    assert other.is_outdated(encoded)
    passwords.close()
    other.close()


async def test_a_full_queue_refuses_and_empties_again() -> None:
    passwords = Passwords(workers=1, queue=1, time_cost=1, memory_kib=64)
    release = threading.Event()
    waiting = [asyncio.create_task(passwords._run(release.wait)) for _ in range(2)]
    try:
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await passwords.hash("one too many")
        waiting[0].cancel()  # the caller left; the thread is still at work
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await passwords.hash("one too many")
    finally:
        release.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    for _ in range(1_000):  # the thread reports through the event loop
        if not passwords._under_way:
            break
        await asyncio.sleep(0.001)
    assert await passwords.hash("there is room again")
    passwords.close()
