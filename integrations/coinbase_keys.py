"""Bearer tokens of Coinbase's developer platform: one for each request, good for two minutes.

A token names the one request that it is for (`uri`: method, host, path) and is signed by the API
key's secret: ES256 for an EC key on P-256 in PEM, EdDSA for an Ed25519 key, which Coinbase gives
out as base64 of seed and public part (CDP: "API key authentication", "Generate a bearer token").
"""

from __future__ import annotations

import base64
import binascii

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

ISSUER = "cdp"
LASTS_S = 120
SEED_BYTES, PAIR_BYTES = 32, 64

PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


class BearerSigner:
    """Signs with an API key. ValueError if the secret is neither of the two kinds."""

    def __init__(self, key_id: str, secret: str) -> None:
        self.key_id = key_id
        self._private = read_secret(secret)
        self.algorithm = "EdDSA" if isinstance(self._private, Ed25519PrivateKey) else "ES256"

    def token(self, method: str, host: str, path: str, now_s: int, nonce: str) -> str:
        """A token for one request; `path` without its query."""
        claims = {
            "iss": ISSUER,
            "sub": self.key_id,
            "nbf": now_s,
            "exp": now_s + LASTS_S,
            "uri": f"{method} {host}{path}",
        }
        headers = {"kid": self.key_id, "nonce": nonce}
        return jwt.encode(claims, self._private, self.algorithm, headers)


def read_secret(secret: str) -> PrivateKey:
    """The private key in a secret. ValueError if there is none that Coinbase takes."""
    text = secret.replace("\\n", "\n").strip()  # one line, as variables of an environment have it
    if "-----BEGIN" in text:
        return _of_pem(text)
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("neither PEM nor base64") from None
    if len(raw) not in {SEED_BYTES, PAIR_BYTES}:
        raise ValueError("no Ed25519 key")
    private = Ed25519PrivateKey.from_private_bytes(raw[:SEED_BYTES])
    if raw[SEED_BYTES:] not in {b"", private.public_key().public_bytes_raw()}:
        raise ValueError("the parts of the Ed25519 key do not belong together")
    return private


def _of_pem(text: str) -> PrivateKey:
    private = load_pem_private_key(text.encode(), None)
    if isinstance(private, Ed25519PrivateKey):
        return private
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        return private
    raise ValueError("no EC key on P-256")
