"""ID tokens (OpenID Connect Core 1.0, 3.1.3.7) and notices: what makes one good."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from domain.users_external import EXTERNAL_POLICY
from messages.users_external import ProviderAnswerRefused

# Both providers sign with it. Read from here, never from the token.
ALGORITHM = "RS256"
LEEWAY_S = 60  # between their clock and ours
MAX_AGE_S = 600  # of a token that was asked for a moment ago
MAX_TOKEN_CHARS = 16_384
TYPES = frozenset({None, "JWT", "jwt"})


class Expected(msgspec.Struct, frozen=True):
    """What an ID token must say. access_token: that came with it."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str | None
    now_s: int


def key_id_of(token: str) -> str:
    """The key that a token says it is signed with. Raises ProviderAnswerRefused.

    All else in the header has to be what we would have written there ourselves.
    """
    header = _header(token)
    key_id = header.get("kid")
    if header.get("alg") != ALGORITHM or header.get("typ") not in TYPES or "crit" in header:
        raise ProviderAnswerRefused("a token of another kind")
    if not isinstance(key_id, str):
        raise ProviderAnswerRefused("a token that names no key")
    return key_id


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARS or token.count(".") != 2:
        raise ProviderAnswerRefused("no signed token")
    first = token.partition(".")[0]
    try:
        raw = base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (ValueError, msgspec.MsgspecError):
        raise ProviderAnswerRefused("no signed token") from None


def verified_claims(token: str, key: RSAKey) -> dict[str, Any]:
    """What a token says, if the key signed it. Raises ProviderAnswerRefused."""
    try:
        return dict(jwt.decode(token, key, algorithms=[ALGORITHM]).claims)
    except (JoseError, ValueError, TypeError) as error:
        raise ProviderAnswerRefused("a signature that does not hold") from error


def check_notice(
    claims: dict[str, Any], issuer: str, audiences: Collection[str], now_s: int, max_age_s: int
) -> str:
    """The id of a notice to one of `audiences`. Raises ProviderAnswerRefused."""
    if claims.get("iss") != issuer:
        raise ProviderAnswerRefused("another issuer")
    audience = claims.get("aud")
    if not isinstance(audience, str) or audience not in audiences:
        raise ProviderAnswerRefused("another audience")
    if "exp" in claims and _moment(claims, "exp") <= now_s - LEEWAY_S:
        raise ProviderAnswerRefused("expired")
    _check_issued_at(claims, now_s, max_age_s)
    notice_id = claims.get("jti")
    if not isinstance(notice_id, str):
        raise ProviderAnswerRefused("a notice without an id")
    return notice_id


def check_id_token(claims: dict[str, Any], expected: Expected) -> str:
    """The subject. Raises ProviderAnswerRefused with the first thing that is wrong."""
    _check_issued_to(claims, expected.issuer, expected.client_id)
    _check_times(claims, expected.now_s)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not _are_same(nonce, expected.nonce):
        raise ProviderAnswerRefused("another sign-in's nonce")
    if "at_hash" in claims:
        _check_access_token(claims["at_hash"], expected.access_token)
    return _subject_of(claims)


def _check_issued_to(claims: dict[str, Any], issuer: str, client_id: str) -> None:
    if claims.get("iss") != issuer:
        raise ProviderAnswerRefused("another issuer")
    if claims.get("aud") not in (client_id, [client_id]):
        raise ProviderAnswerRefused("another audience")
    if claims.get("azp", client_id) != client_id:
        raise ProviderAnswerRefused("another party")


def _check_issued_at(claims: dict[str, Any], now_s: int, max_age_s: int) -> None:
    issued_s = _moment(claims, "iat")
    if not now_s - max_age_s - LEEWAY_S <= issued_s <= now_s + LEEWAY_S:
        raise ProviderAnswerRefused("issued at another time")


def _subject_of(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isascii() or not subject.isprintable():
        raise ProviderAnswerRefused("no subject")
    if not 0 < len(subject) <= EXTERNAL_POLICY.max_subject_chars:
        raise ProviderAnswerRefused("no subject")
    return subject


def _check_times(claims: dict[str, Any], now_s: int) -> None:
    if _moment(claims, "exp") <= now_s - LEEWAY_S:
        raise ProviderAnswerRefused("expired")
    if "nbf" in claims and _moment(claims, "nbf") > now_s + LEEWAY_S:
        raise ProviderAnswerRefused("not valid yet")
    _check_issued_at(claims, now_s, MAX_AGE_S)


def _moment(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int:  # a bool is an int to Python
        raise ProviderAnswerRefused(f"no {name}")
    return value


def _check_access_token(given: Any, access_token: str | None) -> None:
    """The left half of the access token's SHA-256 (Core, 3.1.3.6)."""
    digest = hashlib.sha256((access_token or "").encode()).digest()[:16]
    wanted = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if access_token is None or not isinstance(given, str) or not _are_same(given, wanted):
        raise ProviderAnswerRefused("another access token")


def _are_same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
