"""Tokens that prove a mailbox is read: 256 random bits, kept only as their SHA-256.

A fast digest is right here: 256 random bits cannot be guessed, however fast guessing is.
"""

from __future__ import annotations

import hashlib
import secrets

TOKEN_BYTES = 32


def generate() -> tuple[str, bytes]:
    """A fresh token, and the digest to keep."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return token, digest(token)


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()
