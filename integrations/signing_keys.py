"""The Ed25519 keys of access tokens: a folder of PEM files, the same for every replica.

A file's name begins with the moment from which its key signs (epoch ms). To rotate, a file is
added whose moment is still to come; to retire, one is removed. Replicas look every two seconds,
whoever changes the folder: this program, or the platform that mounts it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from integrations.private_files import UnsafeKeyFileError, create, make_folder, read_private

ALGORITHM = "EdDSA"
FIRST = "0001-first.pem"
MOMENT = re.compile(r"\d+")
NANOSECONDS = 10**15  # names of old had nanoseconds
LOOK_S = 2.0

log = structlog.get_logger(__name__)


class SigningKey:
    """A key with its id, the RFC 7638 thumbprint of its public part.

    signs_from_ms: epoch ms; a key without a moment signs if no other does.
    """

    def __init__(self, private: Ed25519PrivateKey, signs_from_ms: int = 0) -> None:
        self.private = private
        self.signs_from_ms = signs_from_ms
        self.public: Ed25519PublicKey = private.public_key()
        raw = self.public.public_bytes_raw()
        members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
        canonical = json.dumps(members, separators=(",", ":"), sort_keys=True)
        self.key_id = _base64url(hashlib.sha256(canonical.encode()).digest())
        self.jwk = {**members, "kid": self.key_id, "alg": ALGORITHM, "use": "sig"}


def generate_signing_key(signs_from_ms: int = 0) -> SigningKey:
    """A fresh key that is nowhere on disk."""
    return SigningKey(Ed25519PrivateKey.generate(), signs_from_ms)


def load_signing_keys(folder: Path) -> list[SigningKey]:
    """The keys in `folder`, the one that signs last first; one is made if there is none.

    Raises UnsafeKeyFileError if others may read a key. Two processes that start at once agree.
    """
    make_folder(folder)
    if not _files(folder):
        create(folder / FIRST, _pem(Ed25519PrivateKey.generate()))
    return read_signing_keys(folder)


def read_signing_keys(folder: Path) -> list[SigningKey]:
    """The same, and perhaps none."""
    return [key for _, key in key_files(folder)]


def key_files(folder: Path) -> list[tuple[Path, SigningKey]]:
    """The keys with their files, the one that signs last first."""
    found = [(file, _read(file)) for file in _files(folder)]
    return sorted(found, key=lambda each: each[1].signs_from_ms, reverse=True)


def add_signing_key(folder: Path, signs_from_ms: int) -> SigningKey:
    """Make a key that signs from a moment on."""
    make_folder(folder)
    key = generate_signing_key(signs_from_ms)
    create(folder / f"{signs_from_ms:013d}-{key.key_id[:8]}.pem", _pem(key.private))
    return key


def parse_signing_key(pem: bytes, signs_from_ms: int = 0) -> SigningKey:
    """A key from unencrypted PKCS#8 PEM. ValueError if it is not an Ed25519 key."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key is not an Ed25519 key")  # noqa: TRY004
    return SigningKey(key, signs_from_ms)


async def follow(
    folder: Path, use: Callable[[Sequence[SigningKey]], None], every_s: float = LOOK_S
) -> None:
    """Have the folder's keys used whenever they change, for ever.

    What cannot be read, or a folder without any key, changes nothing and is logged.
    """
    seen: object = None
    while True:
        try:
            found = await asyncio.to_thread(_look, folder)
            if found != seen:
                use(await asyncio.to_thread(_some, folder))
                seen = found
        except (OSError, ValueError, UnsafeKeyFileError) as error:
            log.warning("signing keys stay as they were", error=str(error))
        await asyncio.sleep(every_s)


def _some(folder: Path) -> list[SigningKey]:
    keys = read_signing_keys(folder)
    if not keys:
        raise ValueError(f"{folder} has no key")
    return keys


def _look(folder: Path) -> list[tuple[str, int, int]]:
    """What tells that the folder has changed."""
    stats = [(file.name, file.stat()) for file in _files(folder)]
    return [(name, stat.st_ino, stat.st_mtime_ns) for name, stat in stats]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pem"), reverse=True)


def _read(file: Path) -> SigningKey:
    digits = MOMENT.match(file.name)
    moment = int(digits[0]) if digits else 0
    if moment > NANOSECONDS:
        moment //= 1_000_000
    return parse_signing_key(read_private(file), moment)


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
