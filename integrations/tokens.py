"""Access tokens (JWT, EdDSA over Ed25519) and the keys that sign them.

Keys are PEM files in a folder of mode 0700, named by the moment they were made; the newest signs,
all verify, so a key is rotated by adding one and retired by removing it once its tokens expired.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import stat
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.access import Permission
from messages.users import Role, TokenExpired, TokenInvalid
from messages.users_sessions import Method

ALGORITHM = "EdDSA"
HEADER_TYPE = "at+jwt"  # RFC 9068: an access token and nothing else
LIFETIME_MS = 15 * 60_000
LEEWAY_MS = 30_000  # how far another gateway's clock may be ahead
CACHE = 4_096  # verified tokens kept: a signature takes about 0.1 ms to check
MAX_TOKEN_CHARS = 4_096
SECRET_BYTES = 32
CLAIMS = ("iss", "aud", "sub", "sid", "typ", "jti", "iat", "exp", "roles", "amr", "auth_time")


class UnsafeKeyFileError(Exception):
    """A secret's file can be read by others than its owner."""


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


class SigningKey:
    """An Ed25519 key with its key id, the RFC 7638 thumbprint of its public part."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private
        self.public: Ed25519PublicKey = private.public_key()
        raw = self.public.public_bytes_raw()
        members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True)
        self.key_id = _base64url(hashlib.sha256(canonical.encode()).digest())
        self.jwk = {**members, "kid": self.key_id, "alg": ALGORITHM, "use": "sig"}


class Revocations(Protocol):
    """Who knows which sessions ended; `storage.users_revocations.Revocations` does."""

    def check(self, session_id: str) -> None:
        """Raises SessionEnded, or Unavailable if it cannot be known."""


class AccessTokens:
    """Issue and verify. The first of `keys` signs."""

    def __init__(
        self,
        keys: Sequence[SigningKey],
        *,
        issuer: str = "vibestream",
        audience: str = "vibestream-api",
        lifetime_ms: int = LIFETIME_MS,
        revocations: Revocations | None = None,
    ) -> None:
        assert keys, "there is a key to sign with"
        self.issuer, self.audience, self.lifetime_ms = issuer, audience, lifetime_ms
        self._revocations = revocations
        self._current = keys[0]
        self._keys = {key.key_id: key for key in keys}
        self._verified: OrderedDict[str, Claims] = OrderedDict()

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
        key = self._current
        headers = {"kid": key.key_id, "typ": HEADER_TYPE}
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers=headers)

    def verify(self, token: str, now_ms: int) -> Claims:
        """Who the token speaks for. Raises TokenInvalid or TokenExpired.

        And SessionEnded, or Unavailable if nobody knows whether the session has ended.
        """
        claims = self._verified.get(token)
        if claims is None:
            claims = self._check(token)
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

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys (RFC 7517)."""
        return {"keys": [key.jwk for key in self._keys.values()]}

    def _check(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenInvalid
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(header.get("kid", ""))
            if key is None or header.get("typ") != HEADER_TYPE:
                raise TokenInvalid
            body = self._decode(token, key)
            return _claims(body)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
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


def generate_signing_key() -> SigningKey:
    """A fresh key that is nowhere on disk."""
    return SigningKey(Ed25519PrivateKey.generate())


def load_signing_keys(folder: Path) -> list[SigningKey]:
    """The keys in `folder`, newest first; one is made if there is none.

    Raises UnsafeKeyFileError if others may read a key. Two processes that start at once agree.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not list(folder.glob("*.pem")):
        _create(folder / "0001-first.pem", _pem(Ed25519PrivateKey.generate()))
    files = sorted(folder.glob("*.pem"), reverse=True)
    return [parse_signing_key(_read_private(file)) for file in files]


def add_signing_key(folder: Path) -> SigningKey:
    """Rotate: make a key that signs from the next start on. Older ones go on verifying."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{time.time_ns()}.pem"
    _create(file, _pem(Ed25519PrivateKey.generate()))
    return parse_signing_key(_read_private(file))


def parse_signing_key(pem: bytes) -> SigningKey:
    """A key from unencrypted PKCS#8 PEM. ValueError if it is not an Ed25519 key."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key is not an Ed25519 key")  # noqa: TRY004
    return SigningKey(key)


def load_secret(file: Path) -> bytes:
    """The secret in `file`, made with SECRET_BYTES random bytes if it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not file.exists():
        _create(file, secrets.token_bytes(SECRET_BYTES))
    return _read_private(file)


def _create(file: Path, content: bytes) -> None:
    """Write a file of mode 0600 that appears whole or not at all; the first of two writers wins."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        try:
            file.hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)


def _read_private(file: Path) -> bytes:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise UnsafeKeyFileError(f"{file} must be readable by its owner only (chmod 600)")
    return file.read_bytes()


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
