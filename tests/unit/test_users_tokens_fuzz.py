"""A token that is not exactly one of ours is never accepted, whatever is done to it."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from integrations.signing_keys import SigningKey, generate_signing_key
from integrations.tokens import HEADER_TYPE, MAX_TOKEN_CHARS, AccessTokens, Grant
from messages.errors import Unauthenticated
from messages.users import Role, TokenExpired, TokenInvalid
from messages.users_sessions import Method

NOW = 1_790_000_000_000
OURS, THEIRS = generate_signing_key(), generate_signing_key()
GRANT = Grant("user", "session", (Role.USER,), (Method.PASSWORD,), NOW)
TOKENS = AccessTokens([OURS])
GOOD = TOKENS.issue(GRANT, "token", NOW)
HEADER = {"alg": "EdDSA", "kid": OURS.key_id, "typ": HEADER_TYPE}
BODY: dict[str, Any] = jwt.decode(GOOD, options={"verify_signature": False})
PUBLIC_PEM = OURS.public.public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: object, body: object, key: Ed25519PrivateKey = OURS.private) -> str:
    """Signed as it should be, whatever it says."""
    text = [part if isinstance(part, str) else json.dumps(part) for part in (header, body)]
    signing = ".".join(encoded(part.encode()) for part in text)
    return f"{signing}.{encoded(key.sign(signing.encode()))}"


def refused(token: str) -> None:
    with pytest.raises(TokenInvalid):
        AccessTokens([OURS]).verify(token, NOW)
    with pytest.raises(TokenInvalid):
        TOKENS.verify(token, NOW)


def test_what_these_tests_sign_is_accepted_when_nothing_is_wrong_with_it() -> None:
    assert TOKENS.verify(signed(HEADER, BODY), NOW) == TOKENS.verify(GOOD, NOW)


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_no_bit_may_be_another(bit: int) -> None:
    raw = bytearray(GOOD.encode())
    raw[bit // 8] ^= 1 << bit % 8
    refused(raw.decode("latin-1"))


@pytest.mark.parametrize("last", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
def test_a_signature_is_spelt_in_one_way(last: str) -> None:
    if last != GOOD[-1]:
        refused(GOOD[:-1] + last)


@given(st.integers(0, len(GOOD) - 1))
def test_no_token_is_cut_short(length: int) -> None:
    refused(GOOD[:length])
    refused(GOOD[-length:] if length else "")


@given(st.integers(0, len(GOOD)), st.text(min_size=1, max_size=9))
def test_nothing_is_put_into_a_token(place: int, text: str) -> None:
    refused(GOOD[:place] + text + GOOD[place:])


@given(st.permutations(GOOD.split(".")), st.permutations(signed(HEADER, BODY).split(".")))
def test_parts_do_not_change_places(parts: list[str], others: list[str]) -> None:
    for token in (".".join(parts), ".".join((parts[0], others[1], parts[2])), "..".join(parts)):
        if token not in {GOOD, signed(HEADER, BODY)}:
            refused(token)


@pytest.mark.parametrize("secret", [PUBLIC_PEM, OURS.public.public_bytes_raw(), b"", b"k" * 32])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_is_no_secret(secret: bytes, algorithm: str) -> None:
    """PyJWT would not sign like this, so it is done by hand."""
    import hashlib
    import hmac

    header = {**HEADER, "alg": algorithm}
    signing = ".".join(encoded(json.dumps(part).encode()) for part in (header, BODY))
    mac = hmac.digest(secret, signing.encode(), hashlib.sha256)
    for signature in (mac, (mac * 2)[:64]):
        refused(f"{signing}.{encoded(signature)}")


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", None, 0, "ES256", "RS256", "X"])
def test_the_algorithm_is_ours_alone(algorithm: object) -> None:
    header = {**HEADER, "alg": algorithm}
    signing = ".".join(encoded(json.dumps(part).encode()) for part in (header, BODY))
    for token in (f"{signing}.", signing, f"{signing}.{encoded(bytes(64))}"):
        refused(token)
    refused(signed(header, BODY))


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": THEIRS.jwk}, {"jku": "https://evil.example/jwks.json"}, {"x5c": ["MIIB"]},
        {"x5u": "https://evil.example/cert"}, {"crit": ["exp"]}, {"b64": False, "crit": ["b64"]},
        {"cty": "JWT"}, {"zip": "DEF"}, {"enc": "A256GCM"},
    ],
)  # fmt: skip
def test_a_token_brings_no_key_and_nothing_else_of_its_own(more: dict[str, Any]) -> None:
    for key in (THEIRS, OURS):
        for kid in (OURS.key_id, THEIRS.key_id):
            refused(signed({**HEADER, **more, "kid": kid}, BODY, key.private))


@pytest.mark.parametrize(
    "kid", [THEIRS.key_id, "", "../../etc/passwd", "' or 1=1 --", None, 0, [], {"a": 1}, "x" * 999]
)
def test_a_key_is_known_or_not(kid: object) -> None:
    for key in (OURS, THEIRS):
        refused(signed({**HEADER, "kid": kid}, BODY, key.private))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*HEADER, "jwk", "crit", "x"]), JSON, max_size=5))
def test_headers_of_any_kind_are_refused(header: dict[str, Any]) -> None:
    if header != HEADER:
        refused(signed({**header}, BODY))


@given(st.sampled_from(sorted(BODY)), JSON)
def test_a_claim_of_any_kind_raises_nothing_unknown(claim: str, value: Any) -> None:
    """Signed by us, so some are taken: what matters is that nothing else than a refusal happens."""
    try:
        AccessTokens([OURS]).verify(signed(HEADER, {**BODY, claim: value}), NOW)
    except Unauthenticated:
        return
    assert claim not in {"iss", "aud", "typ"}


@pytest.mark.parametrize("claim", sorted(BODY))
def test_no_claim_is_missing(claim: str) -> None:
    body = {name: value for name, value in BODY.items() if name != claim}
    refused(signed(HEADER, body))
    if claim in {"iss", "aud", "typ"}:
        refused(signed(HEADER, {**body, claim: "other"}))


def test_a_token_has_its_time() -> None:
    second = NOW // 1_000
    past = signed(HEADER, {**BODY, "iat": second - 1_000, "exp": second})
    with pytest.raises(TokenExpired):
        AccessTokens([OURS]).verify(past, NOW)
    for shift in (31, 1_000, 10**9, 10**18):
        refused(signed(HEADER, {**BODY, "iat": second + shift, "exp": second + shift + 900}))
    refused(signed(HEADER, {**BODY, "nbf": 10**12}))


def test_a_claim_that_is_said_twice_does_not_help_a_thief() -> None:
    """Without our signature nothing helps; the forged half is signed by another key."""
    text = json.dumps(BODY)[:-1] + ', "sub": "admin", "roles": ["admin"]}'
    refused(signed(json.dumps(HEADER), text, THEIRS.private))
    twice = json.dumps(HEADER)[:-1] + f', "kid": "{THEIRS.key_id}"}}'
    for key in (OURS, THEIRS):
        refused(signed(twice, text, key.private))


@pytest.mark.parametrize("size", [MAX_TOKEN_CHARS, 10**5, 10**7])
def test_a_huge_token_is_refused_before_it_is_read(size: int) -> None:
    refused("a" * size)
    refused(signed(HEADER, {**BODY, "pad": "x" * size}))
    refused("." * size)


def test_deep_json_is_refused() -> None:
    for text in ("[" * 2_000, '{"a":' * 600 + "1" + "}" * 600):
        refused(signed(text, BODY))
        refused(signed(HEADER, text))


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(min_size=64, max_size=64))
def test_bytes_of_any_kind_are_refused(header: bytes, body: bytes, signature: bytes) -> None:
    refused(".".join(map(encoded, (header, body, signature))))


def test_the_key_of_a_signature_is_looked_up_by_its_id() -> None:
    other = SigningKey(THEIRS.private)
    both = AccessTokens([OURS, other])
    token = signed({**HEADER, "kid": other.key_id}, BODY, OURS.private)
    with pytest.raises(TokenInvalid):
        both.verify(token, NOW)
