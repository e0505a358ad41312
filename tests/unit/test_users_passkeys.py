"""Whatever a client sends in place of an authenticator's answer is refused, and nothing else."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.passkeys import (
    RelyingParty,
    credential_id_of,
    new_challenge,
    user_handle_of,
)
from messages.users_factors import PasskeyRefused
from tests.authenticator import Authenticator, base64url, raw_of

PARTY = RelyingParty.of("http://localhost:8000")
CHALLENGE = new_challenge()
OPTIONS = PARTY.registration_options(b"u" * 16, "mira", CHALLENGE, [], 1_000)
AUTHENTICATOR = Authenticator()
MADE = AUTHENTICATOR.create(OPTIONS)
KEY = AUTHENTICATOR.credentials[0].cose()
GIVEN = AUTHENTICATOR.get(PARTY.sign_in_options(CHALLENGE, [], 1_000, verified=True))


def register(credential: Any) -> bool:
    """Whether it is taken; anything but a refusal is a crash."""
    try:
        PARTY.check_registration(credential, CHALLENGE)
    except PasskeyRefused:
        return False
    return True


def assert_(credential: Any, key: bytes = KEY) -> bool:
    try:
        PARTY.check_assertion(credential, CHALLENGE, key, verified=True)
    except PasskeyRefused:
        return False
    return True


def with_part(credential: dict[str, Any], name: str, raw: bytes) -> dict[str, Any]:
    changed = copy.deepcopy(credential)
    changed["response"][name] = base64url(raw)
    return changed


def test_an_answer_names_the_credential_that_was_made() -> None:
    other = base64url(b"x" * 32)
    assert not register({**MADE, "id": other, "rawId": other})


def test_a_key_off_its_curve_is_refused_at_registration() -> None:
    fields = {**cbor2.loads(KEY), -3: b"\x01" * 32}
    auth_data = AUTH_DATA[: -len(KEY)] + cbor2.dumps(fields)
    statement = {"fmt": "none", "attStmt": {}, "authData": auth_data}
    assert not register(with_part(MADE, "attestationObject", cbor2.dumps(statement)))


def test_what_is_good_is_taken() -> None:
    assert register(MADE)
    assert assert_(GIVEN)


@pytest.mark.parametrize(
    ("url", "rp_id", "origin"),
    [
        ("https://vibestream.example", "vibestream.example", "https://vibestream.example"),
        ("https://Music.Example:8443/x", "music.example", "https://music.example:8443"),
        ("http://127.0.0.1:8000", "localhost", "http://localhost:8000"),
        ("http://[::1]:8000/", "localhost", "http://localhost:8000"),
    ],
)
def test_the_relying_party_is_the_public_address(url: str, rp_id: str, origin: str) -> None:
    party = RelyingParty.of(url)
    assert (party.rp_id, party.origins) == (rp_id, (origin,))


edits = st.lists(
    st.tuples(
        st.integers(0, 400), st.sampled_from(["flip", "cut", "insert"]), st.binary(max_size=8)
    ),
    min_size=1,
    max_size=4,
)


def edited(raw: bytes, changes: list[tuple[int, str, bytes]]) -> bytes:
    for place, kind, content in changes:
        at = place % (len(raw) + 1)
        if kind == "flip":
            raw = raw[:at] + bytes(b ^ 0x41 for b in raw[at : at + 1]) + raw[at + 1 :]
        elif kind == "cut":
            raw = raw[:at]
        else:
            raw = raw[:at] + content + raw[at:]
    return raw


@given(st.sampled_from(["attestationObject", "clientDataJSON"]), edits)
def test_an_edited_registration_is_no_crash(part: str, changes: Any) -> None:
    register(with_part(MADE, part, edited(raw_of(MADE["response"][part]), changes)))


@given(st.sampled_from(["authenticatorData", "clientDataJSON", "signature"]), edits)
def test_an_edited_assertion_is_refused(part: str, changes: Any) -> None:
    raw = raw_of(GIVEN["response"][part])
    changed = edited(raw, changes)
    assert assert_(with_part(GIVEN, part, changed)) == (changed == raw)


items = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.binary(max_size=80)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["fmt", "attStmt", "authData", "sig", "alg", "x5c", "none", "packed"])
        | st.integers(-5, 5), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
AUTH_DATA = cbor2.loads(raw_of(MADE["response"]["attestationObject"]))["authData"]


@given(items)
def test_any_cbor_is_no_crash(item: Any) -> None:
    assert not register(with_part(MADE, "attestationObject", cbor2.dumps(item)))
    statement = {"fmt": "packed", "attStmt": item, "authData": AUTH_DATA}
    assert not register(with_part(MADE, "attestationObject", cbor2.dumps(statement)))
    key = {"fmt": "none", "attStmt": {}, "authData": AUTH_DATA[:87] + cbor2.dumps(item)}
    register(with_part(MADE, "attestationObject", cbor2.dumps(key)))
    assert not assert_(GIVEN, cbor2.dumps(item))


keys = st.dictionaries(
    st.sampled_from([1, 3, -1, -2, -3]),
    st.integers(-300, 10) | st.binary(max_size=66) | st.binary(min_size=32, max_size=32),
)


@given(keys, st.sampled_from([-7, -8, -257, -35, -36, -65535]), st.sampled_from([1, 2, 3]))
def test_any_key_is_no_crash(fields: dict[int, Any], alg: int, kty: int) -> None:
    """A key that was taken at registration must not crash the assertion, either."""
    raw = cbor2.dumps({**fields, 1: kty, 3: alg})
    statement = {"fmt": "none", "attStmt": {}, "authData": AUTH_DATA[:87] + raw}
    with contextlib.suppress(PasskeyRefused):
        made = PARTY.check_registration(
            with_part(MADE, "attestationObject", cbor2.dumps(statement)), CHALLENGE
        )
        assert not assert_(GIVEN, made.public_key)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "rawId", "type", "response", "clientDataJSON", "userHandle"])
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["id", "rawId", "type", "response"]), json_values))
def test_any_json_is_no_crash(body: dict[str, Any]) -> None:
    for credential in (body, {**MADE, **body}, {**GIVEN, **body}):
        register(credential)
        assert_(credential)
        with contextlib.suppress(PasskeyRefused):
            credential_id_of(credential)
        with contextlib.suppress(PasskeyRefused):
            user_handle_of(credential)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x81" * 200_000, b"\xa1\x61a" * 50_000, b"\xbf" * 1_000, b"\x9f" * 100_000,
     b"\x5f" * 1_000, b"\xdb" + b"\xff" * 8 + b"\x00", b"\xbb" + b"\xff" * 8,
     b"\x5b\x7f" + b"\xff" * 7, b"\xc2\x5a\x00\x10\x00\x00" + b"\xff" * 1_048_576,
     b"\xd8\x1c\x81\xd8\x1d\x00", b"\xd8\x1d\x18\x64", b"\xc0\x61x", b"\xd9\x01\x02\x81\x80"],
    ids=range(14),
)  # fmt: skip
def test_cbor_made_to_hurt_is_refused(raw: bytes) -> None:
    assert not register(with_part(MADE, "attestationObject", raw))
    nested = {"fmt": "none", "attStmt": {}, "authData": AUTH_DATA[:87] + raw}
    assert not register(with_part(MADE, "attestationObject", cbor2.dumps(nested)))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"type":' * 1_000, "null", "[]", '"x"', "1e999", '{"type":1}', "\udcff"],
)
def test_client_data_made_to_hurt_is_refused(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    assert not register(with_part(MADE, "clientDataJSON", raw))
    assert not assert_(with_part(GIVEN, "clientDataJSON", raw))
