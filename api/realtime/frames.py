"""An event as bytes, each form made once however many listeners get it."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from api.realtime.protocol import Encoding, EventMessage, encode
from messages.bus import Position
from messages.envelope import Event

TEXT_FRAME = 0x81  # RFC 6455, section 5.2: final, opcode text
BINARY_FRAME = 0x82
PING_FRAME = b"\x89\x00"
LONG, LONGER = 126, 127

# A form is what a transport writes: JSON or MessagePack, as a complete WebSocket frame, or as the
# bare message where the transport frames by itself (str for text).
FRAMED_JSON, FRAMED_MSGPACK, BARE_JSON, BARE_MSGPACK = range(4)
FORMS = 4
Wire: TypeAlias = bytes | str


def form_of(encoding: Encoding, *, framed: bool) -> int:
    """The form that a connection is written in."""
    return (encoding is Encoding.MSGPACK) + (0 if framed else 2)


def frame(payload: bytes, first_byte: int) -> bytes:
    """A server's frame: never masked, never fragmented."""
    size = len(payload)
    if size < LONG:
        head = bytes((first_byte, size))
    elif size < 1 << 16:
        head = bytes((first_byte, LONG)) + size.to_bytes(2, "big")
    else:
        head = bytes((first_byte, LONGER)) + size.to_bytes(8, "big")
    return head + payload


def wire(payload: bytes, form: int) -> Wire:
    """A message's bytes in the form that a transport writes."""
    if form == FRAMED_JSON:
        return frame(payload, TEXT_FRAME)
    if form == FRAMED_MSGPACK:
        return frame(payload, BINARY_FRAME)
    return payload.decode() if form == BARE_JSON else payload


class Shown:
    """An event on one of its channels."""

    __slots__ = ("_forms", "channel", "event", "position")

    def __init__(self, channel: str, event: Event, position: Position) -> None:
        self.channel = channel
        self.event = event
        self.position = position
        self._forms: list[Wire | None] | None = None

    @property
    def stream(self) -> str:
        """The stream that the position belongs to."""
        return self.event.stream

    def wire(self, form: int) -> Wire:
        """The event in a form, encoded when first asked for."""
        forms = self._forms
        if forms is None:
            forms = self._forms = [None] * FORMS
        made = forms[form]
        if made is None:
            made = forms[form] = wire(self._encode(form), form)
        return made

    def _encode(self, form: int) -> bytes:
        event = self.event
        # The body is JSON already: it goes into the JSON message as it is.
        as_json = form in {FRAMED_JSON, BARE_JSON}
        body = event.body.encode()
        message = EventMessage(
            channel=self.channel,
            stream=event.stream,
            offset=event.position,
            id=event.event_id,
            type=event.type,
            at_ms=event.at_ms,
            data=msgspec.Raw(body) if as_json else msgspec.json.decode(body),
        )
        return encode(message, Encoding.JSON if as_json else Encoding.MSGPACK)
