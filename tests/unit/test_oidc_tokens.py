"""An ID token that is wrong in any way is refused with a typed error, and only that."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from integrations import oidc_tokens
from integrations.oidc_apple import email_of as apple_email
from integrations.oidc_google import email_of as google_email
from integrations.oidc_metadata import read_keys
from integrations.oidc_tokens import Expected
from messages.users_external import ProviderAnswerRefused

NOW_S = 1_790_000_000
ISSUER, CLIENT, NONCE = "https://accounts.example", "our-client", "n" * 43
ACCESS_TOKEN = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
AT_HASH = "77QmUPtjPfzWtF2AnpK9RQ"  # of OpenID Connect Core, A.3
KEY = RSAKey.import_key(rsa.generate_private_key(65_537, 2_048))
OTHER_KEY = RSAKey.import_key(rsa.generate_private_key(65_537, 2_048))
PUBLISHED = {**KEY.as_dict(private=False), "kid": "k1", "alg": "RS256", "use": "sig"}
PUBLIC = read_keys({"keys": [PUBLISHED]})["k1"]
EXPECTED = Expected(ISSUER, CLIENT, NONCE, ACCESS_TOKEN, NOW_S)


def good(**changes: Any) -> dict[str, Any]:
    """Claims that are taken; None takes one away."""
    claims = {
        "iss": ISSUER, "aud": CLIENT, "sub": "1042", "nonce": NONCE,
        "iat": NOW_S - 1, "exp": NOW_S + 600, "at_hash": AT_HASH, **changes,
    }  # fmt: skip
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims: dict[str, Any], key: RSAKey = KEY, **header: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": "k1", **header}, claims, key)


def take(token: str) -> str:
    if oidc_tokens.key_id_of(token) != "k1":
        raise ProviderAnswerRefused("as of a key that is not published")
    return oidc_tokens.check_id_token(oidc_tokens.verified_claims(token, PUBLIC), EXPECTED)


GOOD: list[dict[str, Any]] = [
    {},
    {"aud": [CLIENT]},
    {"azp": CLIENT},
    {"at_hash": None},
    {"iat": NOW_S + 60},
    {"exp": NOW_S - 59},
    {"nbf": NOW_S + 60},
    {"extra": {"any": "thing"}},
]
BAD: list[dict[str, Any]] = [
    {"iss": "https://accounts.example/"},
    {"iss": "accounts.example"},
    {"iss": None},
    {"iss": [ISSUER]},
    {"aud": "another"},
    {"aud": [CLIENT, "another"]},
    {"aud": []},
    {"aud": None},
    {"aud": {CLIENT: 1}},
    {"azp": "another"},
    {"azp": 7},
    {"nonce": None},
    {"nonce": "n" * 42},
    {"nonce": ["n" * 43]},
    {"nonce": "ñ" * 43},
    {"exp": NOW_S - 60},
    {"exp": None},
    {"exp": str(NOW_S + 600)},
    {"exp": True},
    {"exp": 1e300},
    {"iat": NOW_S + 61},
    {"iat": NOW_S - 661},
    {"iat": None},
    {"nbf": NOW_S + 61},
    {"nbf": "soon"},
    {"sub": None},
    {"sub": ""},
    {"sub": "x" * 256},
    {"sub": "1\x00"},
    {"sub": "mañana"},
    {"sub": 1042},
    {"at_hash": AT_HASH[:-1]},
    {"at_hash": ""},
    {"at_hash": 0},
    {"at_hash": "é"},
]


@pytest.mark.parametrize("changes", GOOD, ids=str)
def test_what_is_right_is_taken(changes: dict[str, Any]) -> None:
    assert take(signed(good(**changes))) == "1042"


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_what_is_wrong_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProviderAnswerRefused):
        take(signed(good(**changes)))


def test_a_hash_of_a_token_that_did_not_come_is_refused() -> None:
    claims = good()
    with pytest.raises(ProviderAnswerRefused):
        oidc_tokens.check_id_token(claims, Expected(ISSUER, CLIENT, NONCE, None, NOW_S))


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def by_hmac(secret: bytes) -> str:
    text = f"{segment({'alg': 'HS256', 'kid': 'k1'})}.{segment(good())}"
    mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


FORGED = {
    "none": f"{segment({'alg': 'none', 'kid': 'k1'})}.{segment(good())}.",
    "None": f"{segment({'alg': 'None', 'kid': 'k1'})}.{segment(good())}.",
    "no alg": f"{segment({'kid': 'k1'})}.{segment(good())}.AAAA",
    "unsigned": f"{segment({'alg': 'RS256', 'kid': 'k1'})}.{segment(good())}.",
    "other key": signed(good(), OTHER_KEY),
    "no kid": jwt.encode({"alg": "RS256"}, good(), KEY),
    "kid of another type": f"{segment({'alg': 'RS256', 'kid': ['k1']})}.{segment(good())}.AAAA",
    "public key as a secret": by_hmac(PUBLIC.as_pem(private=False)),
    "another algorithm": jwt.encode({"alg": "RS512", "kid": "k1"}, good(), KEY, ["RS512"]),
    "access token": signed(good(), typ="at+jwt"),
    "logout token": signed(good(), typ="logout+jwt"),
    "critical": f"{segment({'alg': 'RS256', 'kid': 'k1', 'crit': ['b64']})}.e30.AAAA",
    "claims that are a list": f"{segment({'alg': 'RS256', 'kid': 'k1'})}.{segment([1])}.AAAA",
    "header that is a list": f"{segment([1])}.{segment(good())}.AAAA",
    "too long": signed(good(extra="x" * 16_384)),
    "four parts": signed(good()) + ".AAAA",
    "empty": "",
    "not ASCII": "é.é.é",
    "encrypted": "a.b.c.d.e",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(name: str) -> None:
    with pytest.raises(ProviderAnswerRefused):
        take(FORGED[name])


HEADERS = (
    *("none", "None", "no alg", "no kid", "kid of another type", "public key as a secret"),
    *("another algorithm", "access token", "logout token", "critical", "header that is a list"),
)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_we_would_not_have_written_is_refused_by_itself(name: str) -> None:
    with pytest.raises(ProviderAnswerRefused):
        oidc_tokens.key_id_of(FORGED[name])


TOKEN = signed(good())


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("ABCDEFghij0189-_.=+/ \né"))
def test_a_token_with_one_letter_changed_is_refused(place: int, letter: str) -> None:
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    if not same_bytes(changed, TOKEN):
        with pytest.raises(ProviderAnswerRefused):
            take(changed)


def same_bytes(left: str, right: str) -> bool:
    """The last letter of a segment has bits that mean nothing: another text, the same token."""
    try:
        return [base64.urlsafe_b64decode(part + "==") for part in left.split(".")] == [
            base64.urlsafe_b64decode(part + "==") for part in right.split(".")
        ]
    except ValueError:
        return False


@given(st.integers(0, len(TOKEN) - 1))
def test_a_truncated_token_is_refused(length: int) -> None:
    with pytest.raises(ProviderAnswerRefused):
        take(TOKEN[:length])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.sampled_from(["iss", "aud", "nonce", "exp", "iat", "at_hash", "azp", "nbf", "sub"]), JSON)
def test_signed_nonsense_is_refused_or_harmless(name: str, value: Any) -> None:
    claims = {**good(), name: value}
    try:
        subject = oidc_tokens.check_id_token(claims, EXPECTED)
    except ProviderAnswerRefused:
        return
    assert name in {"exp", "iat", "nbf", "sub"}
    assert subject == claims["sub"]


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ProviderAnswerRefused):
        take(text)


@given(
    st.dictionaries(st.sampled_from(["email", "email_verified", "hd", "is_private_email"]), JSON)
)
def test_addresses_are_believed_only_where_the_provider_says_so(claims: dict[str, Any]) -> None:
    for email, truths in ((google_email, ("true",)), (apple_email, ("true", '"true"'))):
        address, is_verified, is_authoritative = email(claims)
        said = json.dumps(claims.get("email_verified")) in truths
        assert is_verified == (said and isinstance(claims.get("email"), str))
        assert not is_authoritative or is_verified
        assert address is None or address == claims["email"]


def test_keys_that_are_weak_or_for_something_else_are_left_out() -> None:
    numbers = rsa.generate_private_key(65_537, 1_024).public_key().public_numbers()
    modulus = base64.urlsafe_b64encode(numbers.n.to_bytes(128, "big")).rstrip(b"=").decode()
    weak = {**PUBLISHED, "n": modulus}
    listed: list[Any] = [
        {**weak, "kid": "weak"},
        {**PUBLISHED, "kid": "enc", "use": "enc"},
        {**PUBLISHED, "kid": "other", "alg": "RS512"},
        {"kty": "oct", "k": "AAAA", "kid": "oct", "alg": "RS256"},
        {**PUBLISHED, "kid": 7},
        {"kty": "RSA", "kid": "half", "alg": "RS256", "n": "AQAB"},
        "no key",
        PUBLISHED,
    ]
    assert list(read_keys({"keys": listed})) == ["k1"]
    documents: list[dict[str, Any]] = [{}, {"keys": None}, {"keys": {}}]
    assert [read_keys(document) for document in documents] == [{}, {}, {}]
