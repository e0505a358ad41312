"""How commands and events travel between processes."""

from __future__ import annotations

import msgspec


class CommandEnvelope(msgspec.Struct, frozen=True, array_like=True):
    """A command on its way to the owner of `entity_id`. `body` is the msgpack of the command."""

    key: bytes
    entity_id: str
    body: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of a command: `body` (msgpack of the answer) or, if `code` is set, an error."""

    body: bytes = b""
    code: str = ""
    detail: str = ""
    params: dict[str, str | int] = {}


class Event(msgspec.Struct, frozen=True):
    """A fact on the bus.

    `stream` is the context (`rewards`), `type` the event class's name, `body` its JSON text.
    `sequence` is the entity's journal sequence number. `channels` are the realtime channels that
    listeners may subscribe to (`user:<id>`, `pool:<id>`). `position` is `<xid>-<id>`: strictly
    increasing within the database in the order in which events are published (empty until read).
    """

    event_id: str
    stream: str
    type: str
    entity_id: str
    sequence: int
    at_ms: int
    channels: tuple[str, ...]
    body: str
    position: str = ""


_encode = msgspec.json.Encoder().encode


def event_of_fact(
    fact: msgspec.Struct,
    *,
    event_id: str,
    stream: str,
    entity_id: str,
    sequence: int,
    at_ms: int,
    channels: tuple[str, ...],
) -> Event:
    """The event that tells of a fact: its type is the fact's class, its body the fact as JSON."""
    body = _encode(fact).decode()
    name = type(fact).__name__
    return Event(event_id, stream, name, entity_id, sequence, at_ms, channels, body)
