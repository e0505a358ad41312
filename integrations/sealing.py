"""Secrets that the platform must be able to read back, sealed where they are stored.

AES-256-GCM (NIST SP 800-38D) under a key of the installation that a stolen table does not hold. A
sealed text names its key, so that a new key seals while older ones still open. Digests of what only
has to be recognised are keyed by the same keys.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from integrations.private_files import load_secret

KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12
FORMAT = b"\x01"


class SealBrokenError(Exception):
    """A sealed text was changed, moved to another place, or its key is gone."""


class Vault:
    """Seal, open, digest. The first of `keys` seals."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        assert keys, "there is a key to seal with"
        assert all(len(key) == KEY_BYTES for key in keys), "keys are 256 bits"
        self._keys = {_key_id(key): key for key in keys}
        self._current = _key_id(keys[0])

    def seal(self, secret: bytes, place: str) -> bytes:
        """format (1) | key id (8) | nonce (12) | ciphertext and tag. Opens only at `place`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        head = FORMAT + self._current
        sealed = AESGCM(_derive(self._keys[self._current], "seal")).encrypt(
            nonce, secret, head + place.encode()
        )
        return head + nonce + sealed

    def open(self, sealed: bytes, place: str) -> bytes:
        """The secret that was sealed at `place`. Raises SealBrokenError."""
        head, rest = sealed[: 1 + KEY_ID_BYTES], sealed[1 + KEY_ID_BYTES :]
        key = self._keys.get(head[1:])
        if head[:1] != FORMAT or key is None or len(rest) <= NONCE_BYTES:
            raise SealBrokenError
        nonce, ciphertext = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
        try:
            return AESGCM(_derive(key, "seal")).decrypt(nonce, ciphertext, head + place.encode())
        except InvalidTag:
            raise SealBrokenError from None

    def digest(self, text: str, place: str) -> bytes:
        """A keyed digest of `text`, to be stored in its stead. Only for what nobody can guess."""
        return self._digest(self._keys[self._current], text, place)

    def digests(self, text: str, place: str) -> list[bytes]:
        """What `digest` gave or would have given, under any key: to recognise a stored one."""
        return [self._digest(key, text, place) for key in self._keys.values()]

    @staticmethod
    def _digest(key: bytes, text: str, place: str) -> bytes:
        framed = len(place).to_bytes(4, "big") + place.encode() + text.encode()
        return hmac.digest(_derive(key, "digest"), framed, "sha256")


def load_vault(folder: Path) -> Vault:
    """The vault whose keys are the files of `folder`, newest first by name; one is made if none is.

    Raises UnsafeKeyFileError if others may read a key. To rotate, add a file of 32 random bytes
    whose name sorts after the others; remove no key that still has to open something.
    """
    if not list(folder.glob("*.key")):
        load_secret(folder / "0001-first.key")
    return Vault([load_secret(file) for file in sorted(folder.glob("*.key"), reverse=True)])


def _derive(key: bytes, use: str) -> bytes:
    """A key for one use (HKDF-Expand, RFC 5869, of one block: the given key is uniform)."""
    return hmac.digest(key, f"vibestream {use}".encode() + b"\x01", "sha256")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"vibestream key id" + key).digest()[:KEY_ID_BYTES]
