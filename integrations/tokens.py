"""Access tokens: JWT, EdDSA over Ed25519 (`signing_keys.py`), good for a quarter of an hour."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import jwt
import msgspec

from domain.access import Permission
from domain.signing_keys import POLICY, KeyPolicy, is_good, signer
from integrations.signing_keys import ALGORITHM, SigningKey
from messages.users import Role, TokenExpired, TokenInvalid
from messages.users_sessions import Method

HEADER_TYPE = "at+jwt"  # RFC 9068: an access token and nothing else
HEADER_NAMES = {"alg", "kid", "typ"}  # no key, no address of one, nothing critical
LEEWAY_MS = 30_000  # how far another gateway's clock may be ahead
CACHE = 4_096  # verified tokens kept: a signature takes about 0.1 ms to check
MAX_TOKEN_CHARS = 4_096
CLAIMS = ("iss", "aud", "sub", "sid", "typ", "jti", "iat", "exp", "roles", "amr", "auth_time")
# 64 bytes of signature, whose last character holds two bits: one spelling for each token.
SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]", re.ASCII)


class Grant(msgspec.Struct, frozen=True):
    """What an access token is to say.

    authenticated_at_ms: when the user last proved who they are, by `methods` in all.
    """

    user_id: str
    session_id: str
    roles: tuple[Role, ...]
    methods: tuple[Method, ...]
    authenticated_at_ms: int


class Claims(msgspec.Struct, frozen=True):
    """Who the bearer of a valid access token or API key is.

    scopes: all that an API key may do; None for an access token.
    """

    user_id: str
    session_id: str
    token_id: str
    roles: tuple[Role, ...]
    methods: tuple[Method, ...]
    authenticated_at_ms: int
    issued_at_ms: int
    expires_at_ms: int
    scopes: tuple[Permission, ...] | None = None


class Revocations(Protocol):
    """Who knows which sessions ended; `storage.users_revocations.Revocations` does."""

    def check(self, session_id: str) -> None:
        """Raises SessionEnded, or Unavailable if it cannot be known."""


class AccessTokens:
    """Issue and verify with keys that may be replaced at any time."""

    def __init__(
        self,
        keys: Sequence[SigningKey],
        *,
        issuer: str = "vibestream",
        audience: str = "vibestream-api",
        policy: KeyPolicy = POLICY,
        revocations: Revocations | None = None,
    ) -> None:
        self.issuer, self.audience = issuer, audience
        self._policy, self._revocations = policy, revocations
        self._verified: OrderedDict[str, Claims] = OrderedDict()
        self._keys: list[SigningKey] = []
        self.use(keys)

    @property
    def lifetime_ms(self) -> int:
        """Of a token."""
        return self._policy.lifetime_ms

    def use(self, keys: Sequence[SigningKey]) -> None:
        """From now on these keys: each signs from its moment, and all verify until theirs is over.

        Tokens of a key that is not among them are void at once.
        """
        assert keys, "there is a key to sign with"
        gone = {key.key_id for key in self._keys} - {key.key_id for key in keys}
        self._keys = list(keys)
        self._moments = [key.signs_from_ms for key in keys]
        self._by_id = {key.key_id: index for index, key in enumerate(keys)}
        if gone:
            self._verified.clear()

    def issue(self, grant: Grant, token_id: str, now_ms: int) -> str:
        """A signed token that says what `grant` does, valid for `lifetime_ms`."""
        issued = now_ms // 1_000
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": grant.user_id,
            "sid": grant.session_id,
            "typ": "access",
            "jti": token_id,
            "iat": issued,
            "exp": issued + self.lifetime_ms // 1_000,
            "roles": [role.value for role in grant.roles],
            "amr": [method.value for method in grant.methods],
            "auth_time": grant.authenticated_at_ms // 1_000,
        }
        key = self._keys[signer(self._moments, now_ms)]
        headers = {"kid": key.key_id, "typ": HEADER_TYPE}
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers=headers)

    def verify(self, token: str, now_ms: int) -> Claims:
        """Who the token speaks for. Raises TokenInvalid or TokenExpired.

        And SessionEnded, or Unavailable if nobody knows whether the session has ended.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._check(token, now_ms)
            self._verified[token] = claims
            if len(self._verified) > CACHE:
                self._verified.popitem(last=False)
        if now_ms >= claims.expires_at_ms:
            self._verified.pop(token, None)
            raise TokenExpired
        if claims.issued_at_ms > now_ms + LEEWAY_MS:
            raise TokenInvalid
        if self._revocations is not None:
            self._revocations.check(claims.session_id)
        return claims

    def jwks(self, now_ms: int) -> dict[str, list[dict[str, str]]]:
        """The public keys (RFC 7517): those that sign, will sign, or have signed lately."""
        return {
            "keys": [
                key.jwk
                for index, key in enumerate(self._keys)
                if is_good(self._moments, index, now_ms, self._policy)
            ]
        }

    def _check(self, token: str, now_ms: int) -> Claims:
        if len(token) > MAX_TOKEN_CHARS or SHAPE.fullmatch(token) is None:
            raise TokenInvalid
        try:
            header = jwt.get_unverified_header(token)
            if header.keys() != HEADER_NAMES or header["typ"] != HEADER_TYPE:
                raise TokenInvalid
            index = self._by_id.get(header["kid"])
            if index is None or not is_good(self._moments, index, now_ms, self._policy):
                raise TokenInvalid
            return _claims(self._decode(token, self._keys[index]))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise TokenInvalid from None

    def _decode(self, token: str, key: SigningKey) -> dict[str, Any]:
        # The algorithm is ours, never the token's; the clock is the caller's.
        return jwt.decode(
            token,
            key.public,
            algorithms=[ALGORITHM],
            audience=self.audience,
            issuer=self.issuer,
            options={"require": list(CLAIMS), "verify_exp": False, "verify_iat": False},
        )


def _claims(body: dict[str, Any]) -> Claims:
    if body["typ"] != "access":
        raise TokenInvalid
    return Claims(
        user_id=str(body["sub"]),
        session_id=str(body["sid"]),
        token_id=str(body["jti"]),
        roles=tuple(Role(role) for role in body["roles"]),
        methods=tuple(Method(method) for method in body["amr"]),
        authenticated_at_ms=int(body["auth_time"]) * 1_000,
        issued_at_ms=int(body["iat"]) * 1_000,
        expires_at_ms=int(body["exp"]) * 1_000,
    )
