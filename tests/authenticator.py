"""A software authenticator, slow and obvious: what WebAuthn 3 says one does, byte by byte.

It writes its own CBOR (RFC 8949) and COSE keys (RFC 9052), so that the library under test does not
judge its own encoding.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

ORIGIN = "http://localhost:8000"
USER_PRESENT, USER_VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, ATTESTED = 1, 4, 8, 16, 64
ES256, EDDSA = -7, -8


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value: Any) -> bytes:
    """CBOR of integers, byte and text strings and maps: all that an authenticator sends."""
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    assert isinstance(value, dict)
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    if argument < 256:
        return bytes([major << 5 | 24, argument])
    return bytes([major << 5 | 25]) + struct.pack(">H", argument)


@dataclass
class Credential:
    """A key pair that answers for one user at one relying party."""

    rp_id: str
    user_handle: bytes
    private: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    count: int = 0

    def cose(self) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            raw = self.private.public_key().public_bytes_raw()
            return cbor({1: 1, 3: EDDSA, -1: 6, -2: raw})
        numbers = self.private.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")
        return cbor({1: 2, 3: ES256, -1: 1, -2: x, -3: y})

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))


@dataclass
class Authenticator:
    """Makes credentials and answers with them. Fields are what a test may bend.

    counts: whether it counts its signatures.  verifies: whether it knows its user.
    """

    origin: str = ORIGIN
    counts: bool = True
    verifies: bool = True
    present: bool = True
    synced: bool = False
    eddsa: bool = False
    cross_origin: bool = False
    fixed_id: bytes = b""
    credentials: list[Credential] = field(default_factory=list)

    def create_key(self) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
        if self.eddsa:
            return ed25519.Ed25519PrivateKey.generate()
        return ec.generate_private_key(ec.SECP256R1())

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """navigator.credentials.create(): a new credential, as toJSON() has it."""
        handle = raw_of(options["user"]["id"])
        credential = Credential(options["rp"]["id"], handle, self.create_key())
        credential.credential_id = self.fixed_id or credential.credential_id
        self.credentials.append(credential)
        client_data = self.client_data("webauthn.create", options["challenge"])
        attested = bytes(16) + struct.pack(">H", 32) + credential.credential_id + credential.cose()
        auth_data = self.auth_data(credential, ATTESTED) + attested
        attestation = cbor({"fmt": "none", "attStmt": {}, "authData": auth_data})
        return self.answer(
            credential,
            {
                "clientDataJSON": base64url(client_data),
                "attestationObject": base64url(attestation),
                "transports": ["internal", "hybrid"],
            },
        )

    def get(self, options: dict[str, Any], which: int = -1) -> dict[str, Any]:
        """navigator.credentials.get(): an assertion of a credential, the newest by default."""
        credential = self.credentials[which]
        if self.counts:
            credential.count += 1
        client_data = self.client_data("webauthn.get", options["challenge"])
        auth_data = self.auth_data(credential, 0)
        signature = credential.sign(auth_data + hashlib.sha256(client_data).digest())
        return self.answer(
            credential,
            {
                "clientDataJSON": base64url(client_data),
                "authenticatorData": base64url(auth_data),
                "signature": base64url(signature),
                "userHandle": base64url(credential.user_handle),
            },
        )

    def client_data(self, kind: str, challenge: str) -> bytes:
        found = {"type": kind, "challenge": challenge, "origin": self.origin}
        return json.dumps({**found, "crossOrigin": self.cross_origin}).encode()

    def auth_data(self, credential: Credential, flags: int) -> bytes:
        flags |= USER_PRESENT * self.present | USER_VERIFIED * self.verifies
        flags |= (BACKUP_ELIGIBLE | BACKED_UP) * self.synced
        rp_hash = hashlib.sha256(credential.rp_id.encode()).digest()
        return rp_hash + bytes([flags]) + struct.pack(">I", credential.count)

    @staticmethod
    def answer(credential: Credential, response: dict[str, Any]) -> dict[str, Any]:
        named = base64url(credential.credential_id)
        return {
            "id": named,
            "rawId": named,
            "type": "public-key",
            "response": response,
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
        }
