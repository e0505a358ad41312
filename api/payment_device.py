"""Which browser a payment comes from: an id in a cookie of ours that only says "the same again".

It is there so that one browser with many accounts is noticed. A client without cookies has none,
and nothing is made of that.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

from fastapi import Request

from api.edge import COOKIES

NAME = "payer-device"
LIFE_S = 400 * 24 * 3_600  # what browsers keep at most (RFC 6265bis)
ID_BYTES, PROOF_BYTES = 16, 16


def known_device(request: Request, secret: bytes) -> bytes | None:
    """The browser's id, if it has shown one of ours; else the answer gives it one."""
    is_secure = request.scope.get("scheme") == "https"
    name = f"__Host-{NAME}" if is_secure else NAME
    found = _read(request.cookies.get(name, ""), secret)
    if found is None:
        device = secrets.token_bytes(ID_BYTES)
        value = urlsafe_b64encode(device + _proof(secret, device)).decode().rstrip("=")
        cookie = f"{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={LIFE_S}"
        cookie += "; Secure" if is_secure else ""
        request.scope["state"].setdefault(COOKIES, []).append(cookie.encode())
    return found


def _read(text: str, secret: bytes) -> bytes | None:
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    device, proof = raw[:ID_BYTES], raw[ID_BYTES:]
    is_ours = len(device) == ID_BYTES and hmac.compare_digest(proof, _proof(secret, device))
    return device if is_ours else None


def _proof(secret: bytes, device: bytes) -> bytes:
    return hmac.digest(secret, b"payer-device\0" + device, "sha256")[:PROOF_BYTES]
