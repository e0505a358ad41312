"""Deterministic identifiers: idempotency keys, partitions and derived ids.

Nothing here draws chance or reads a clock: the same parts give the same key on every machine, which
is what lets a retry after a crash find the answer that was recorded for it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

KEY_BYTES = 16
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def derive_key(*parts: str | int | bytes) -> bytes:
    """A 16-byte idempotency key from its parts (BLAKE2b, RFC 7693). Parts are length-framed."""
    framed: list[bytes] = []
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        framed += (len(raw).to_bytes(4, "big"), raw)
    return blake2b(b"".join(framed), digest_size=KEY_BYTES).digest()


def derive_id(*parts: str | int | bytes) -> str:
    """A stable UUID (version 8, RFC 9562) from its parts."""
    digits = derive_key(*parts).hex()
    variant = _VARIANT[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


@lru_cache(maxsize=65_536)
def partition_of(entity_id: str, partitions: int) -> int:
    """The partition that owns an entity. Stable for ever: changing it moves every entity."""
    digest = blake2b(entity_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical form, as all ids of the platform are."""
    return _ID.fullmatch(text) is not None
