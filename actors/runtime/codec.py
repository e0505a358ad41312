"""How commands, answers, events and states become bytes, and what hosts say of themselves.

MessagePack, or JSON for the rare value that it cannot hold: its integers end at 64 bits, an amount
in wei does not. The first byte tells which, as no MessagePack array or map begins like a JSON one.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec

from actors.runtime.kind import EntityKind
from messages.envelope import Answer, CommandEnvelope
from messages.errors import VibeStreamError

Payload = tuple[str, list[CommandEnvelope]]

_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1

_pack = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode
decode_payload = msgspec.msgpack.Decoder(Payload).decode
decode_answers = msgspec.msgpack.Decoder(list[Answer]).decode


class Health(msgspec.Struct, frozen=True):
    """What a host says of itself. `partitions`: how many it owns, by kind."""

    name: str
    incarnation: int
    retired: bool
    partitions: dict[str, int]
    entities: int
    mailbox: int


class Codec:
    """The decoders of one kind. Each raises msgspec.DecodeError."""

    def __init__(self, kind: EntityKind[Any, Any, Any]) -> None:
        self.command = _decoder(kind.command_type)
        self.events = _decoder(list[kind.event_type])  # type: ignore[name-defined]
        self.state = _decoder(kind.state_type)
        self.answer = _decoder(kind.answer_type)


def encode(value: Any) -> bytes:
    """The bytes of a value. Raises OverflowError for a bare integer beyond 64 bits."""
    try:
        return _pack(value)
    except OverflowError:
        if isinstance(value, int):
            raise
        return _encode_json(value)


def _decoder(of: Any) -> Callable[[bytes], Any]:
    unpack = msgspec.msgpack.Decoder(of).decode
    from_json = msgspec.json.Decoder(of).decode

    def decode(body: bytes) -> Any:
        if len(body) > 1 and body[0] in b"{[":  # one byte alone is a small integer
            return from_json(body)
        return unpack(body)

    return decode


def fingerprint(entity_id: str, body: bytes) -> int:
    """What a key stands for besides itself: 64 signed bits of the entity and the command."""
    digest = blake2b(b"%b\0%b" % (entity_id.encode(), body), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def error_answer(error: VibeStreamError) -> Answer:
    """The answer that carries an error, with params that surely travel."""
    params = {name: _portable(value) for name, value in error.params.items()}
    return Answer(code=error.code, detail=error.detail, params=params)


def _portable(value: Any) -> str | int:
    if isinstance(value, int) and _MIN_INT <= value <= _MAX_INT:
        return value
    return str(value)
