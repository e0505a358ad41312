"""API keys: `vsk_<key id>_<secret>`. Only the digest of the secret is kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from uuid import UUID

import msgspec

from integrations.opaque_tokens import digest

PREFIX = "vsk_"
_FORM = re.compile(r"vsk_([0-9a-f]{32})_([A-Za-z0-9_-]{43})", re.ASCII)


class Presented(msgspec.Struct, frozen=True):
    """A key as a caller presents it: which it claims to be, and the digest of its secret."""

    key_id: str
    digest: bytes


def make(secret: bytes, key_id: str) -> tuple[str, bytes]:
    """The key of that id (a UUID): the token, shown once, and the digest to keep.

    Its secret is derived from the platform's, so a request that is sent again can be answered again
    although nothing that was stored tells the token.
    """
    raw = hmac.new(secret, b"api-key:" + key_id.encode(), hashlib.sha256).digest()
    own = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return f"{PREFIX}{key_id.replace('-', '')}_{own}", digest(own)


def parse(token: str) -> Presented | None:
    """What a token says; None if it is no API key."""
    found = _FORM.fullmatch(token)
    if found is None:
        return None
    return Presented(str(UUID(hex=found[1])), digest(found[2]))
