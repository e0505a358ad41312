"""Refresh tokens: 256 random bits that mean nothing, and how one follows from another.

Only SHA-256 digests are stored: with 256 bits there is nothing to guess, so no slow hash is needed.

The next token is not drawn but derived, from the one that is used, from random bits drawn at that
moment (the seed, stored) and from a secret of the server (not stored in the database). So the same
answer can be given again without keeping it. What each thief would need: the database alone has
neither tokens nor the secret; the secret alone has nothing to derive from; a token alone is worth
what a bearer token always is. Only who has all three at once can tell the next token, and who has a
token that is still good may ask for the next one anyway.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from messages.users_sessions import RefreshTokenInvalid

TOKEN_BYTES = 32
SEED_BYTES = 16
PREFIX = "vsr_"  # by which scanners of leaked secrets know it
# Of 43 characters the last holds four bits: one spelling for each token.
TOKEN = re.compile(r"vsr_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", re.ASCII)


class RefreshTokens:
    """Makes tokens under a secret that all replicas share. It holds no token."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) >= TOKEN_BYTES, "a secret as strong as the tokens"
        self._secret = secret

    def first(self) -> str:
        """The first token of a session."""
        return _text(secrets.token_bytes(TOKEN_BYTES))

    def new_seed(self) -> bytes:
        """What makes the token after one its own."""
        return secrets.token_bytes(SEED_BYTES)

    def following(self, token: str, seed: bytes) -> str:
        """The token after `token`, which is well formed: the same for the same seed."""
        message = b"vibestream refresh\0" + seed + _raw(token)
        return _text(hmac.digest(self._secret, message, hashlib.sha256))

    def csrf_token(self, session_id: str) -> str:
        """What a page proves by that it may read its own site's cookies; the session's for life."""
        message = b"vibestream csrf\0" + session_id.encode()
        return _base64url(hmac.digest(self._secret, message, hashlib.sha256))


def digest(token: str) -> bytes:
    """What is stored of a token. Raises RefreshTokenInvalid if it cannot be one."""
    if TOKEN.fullmatch(token) is None:
        raise RefreshTokenInvalid
    return hashlib.sha256(_raw(token)).digest()


def _raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.removeprefix(PREFIX) + "=")


def _text(raw: bytes) -> str:
    return PREFIX + _base64url(raw)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
