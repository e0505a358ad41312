"""How a kind's commands, answers, events and states become bytes, and what travels between processes."""  # noqa: E501

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from actors.runtime.kind import EntityKind
from messages.envelope import Answer, CommandEnvelope
from messages.errors import VibeStreamError

Payload = tuple[str, list[CommandEnvelope]]

_encoder = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()
_payloads = msgspec.msgpack.Decoder(Payload)
_answers = msgspec.msgpack.Decoder(list[Answer])

encode = _encoder.encode
encode_json = _json.encode
decode_payload = _payloads.decode
decode_answers = _answers.decode


class Health(msgspec.Struct, frozen=True):
    """What a host says of itself. `partitions`: how many it owns, by kind."""

    name: str
    incarnation: int
    retired: bool
    partitions: dict[str, int]
    entities: int
    mailbox: int


class Codec:
    """The decoders of one kind."""

    def __init__(self, kind: EntityKind[Any, Any, Any]) -> None:
        self.command = msgspec.msgpack.Decoder(kind.command_type).decode
        self.events = msgspec.msgpack.Decoder(list[kind.event_type]).decode  # type: ignore[name-defined]
        self.state = msgspec.msgpack.Decoder(kind.state_type).decode
        self.answer = msgspec.msgpack.Decoder(kind.answer_type).decode


def fingerprint(entity_id: str, body: bytes) -> int:
    """What a key stands for besides itself: 64 signed bits of the entity and the command."""
    digest = blake2b(b"%b\0%b" % (entity_id.encode(), body), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def error_answer(error: VibeStreamError) -> Answer:
    """The answer that carries an error."""
    return Answer(code=error.code, detail=error.detail, params=error.params)


@lru_cache(maxsize=4_096)
def type_name(cls: type) -> str:
    """The event's type on the bus: its class's name."""
    return cls.__name__
