"""Opaque tokens: 256 random bits, of which only the SHA-256 is kept.

A fast digest is right here: 256 random bits cannot be guessed, however fast guessing is.
"""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 32


def new_token() -> str:
    """A fresh token: 43 letters that a URL and a cookie take."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def generate() -> tuple[str, bytes]:
    """A fresh token, and the digest to keep."""
    token = new_token()
    return token, digest(token)


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()
