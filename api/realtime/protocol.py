"""The messages of `vibestream.v1`, their two encodings, the close codes. Values only.

JSON travels in text frames, MessagePack in binary frames; the frame's kind says which, in either
direction. The field `t` names the message. `docs/realtime.md` is written for clients.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from messages.errors import Transient, VibeStreamError
from messages.realtime import BadMessage

SUBPROTOCOL = "vibestream.v1"

Id: TypeAlias = Annotated[
    str,
    Meta(min_length=1, max_length=64, description="Chosen by the client; the answer repeats it."),
]
ChannelName: TypeAlias = Annotated[
    str, Meta(max_length=161, description="`<kind>:<id>`, for example `song:0197…`.")
]
Offset: TypeAlias = Annotated[
    str, Meta(max_length=40, description="`<xid>-<id>`: a position, compared as two integers.")
]
OffsetMap: TypeAlias = Annotated[
    dict[str, Offset], Meta(description="For each stream the offset up to which all was received.")
]
Text: TypeAlias = Annotated[str, Meta(max_length=128)]


class Encoding(StrEnum):
    """How the server writes to this connection."""

    JSON = "json"
    MSGPACK = "msgpack"


class CloseCode(IntEnum):
    """Why a connection was closed. Below 4000: RFC 6455."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVER_RESTART = 1012
    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    TOKEN_EXPIRED = 4402
    SESSION_ENDED = 4403
    HELLO_TIMEOUT = 4408
    IDLE_TIMEOUT = 4410
    TOO_MANY_MESSAGES = 4429
    SLOW_CONSUMER = 4440


CLOSE_MEANINGS: dict[CloseCode, tuple[str, str]] = {
    CloseCode.NORMAL: ("The client closed.", "nothing"),
    CloseCode.GOING_AWAY: ("The client went away.", "nothing"),
    CloseCode.PROTOCOL_ERROR: ("A frame breaks RFC 6455.", "fix the client"),
    CloseCode.MESSAGE_TOO_BIG: ("A message is longer than `max_message_bytes`.", "fix the client"),
    CloseCode.INTERNAL_ERROR: ("A defect of the server.", "reconnect with a growing pause"),
    CloseCode.SERVER_RESTART: (
        "The server stops; `bye` came before.",
        "reconnect after `reconnect_after_ms`, resume",
    ),
    CloseCode.BAD_MESSAGE: ("Not a message of this protocol, or out of turn.", "fix the client"),
    CloseCode.UNAUTHENTICATED: ("The token of `hello` is not valid.", "sign in again"),
    CloseCode.TOKEN_EXPIRED: ("The token ran out.", "get a new token, reconnect, resume"),
    CloseCode.SESSION_ENDED: (
        "The session of the token has ended: signed out, or ended from elsewhere.",
        "sign in again",
    ),
    CloseCode.HELLO_TIMEOUT: ("No `hello` in time.", "reconnect"),
    CloseCode.IDLE_TIMEOUT: ("No sign of life in time.", "reconnect, resume"),
    CloseCode.TOO_MANY_MESSAGES: ("Kept sending, or connecting, too fast.", "slow down, reconnect"),
    CloseCode.SLOW_CONSUMER: ("Does not read what it is sent.", "reconnect, resume; read faster"),
}


class _Message(msgspec.Struct, frozen=True, tag_field="t", omit_defaults=False):
    pass


# --- from the client ----------------------------------------------------------------------------


class Hello(_Message, frozen=True, tag="hello"):
    """The first message. Without a token the connection may listen to public channels only."""

    token: Annotated[str, Meta(max_length=8_192)] | None = None
    encoding: Encoding = Encoding.JSON
    client: Text = ""


class Renew(_Message, frozen=True, tag="renew"):
    """A fresh token of the same user, before the one in use runs out."""

    id: Id
    token: Annotated[str, Meta(max_length=8_192)]


class Subscribe(_Message, frozen=True, tag="subscribe", rename={"start": "from"}):
    """Listen to a channel; with `from`, begin with what was missed since."""

    id: Id
    channel: ChannelName
    start: Offset | OffsetMap | None = None


class Unsubscribe(_Message, frozen=True, tag="unsubscribe"):
    """Stop listening to a channel. Nothing of it comes after the answer."""

    id: Id
    channel: ChannelName


class Call(_Message, frozen=True, tag="call"):
    """Ask for an operation. Calls run side by side: await the result where order matters.

    `key` makes it happen once however often it is asked, on any connection of the same user.
    """

    id: Id
    op: Text
    params: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    key: Annotated[str, Meta(min_length=8, max_length=128)] | None = None


class Ping(_Message, frozen=True, tag="ping"):
    """Are you there? Either side may ask; the other answers `pong` with the same `id`."""

    id: Annotated[str, Meta(max_length=64)] = ""


class Pong(_Message, frozen=True, tag="pong"):
    """I am. The server's carries its clock (epoch ms) and, if it has sent all it has, a cursor.

    Everything up to `cursor` of every channel that was answered `subscribed` has been sent before:
    merge it into each channel's cursor, or a quiet channel's grows too old to resume from.
    """

    id: Annotated[str, Meta(max_length=64)] = ""
    server_time_ms: int | None = None
    cursor: OffsetMap | None = None


# --- from the server ----------------------------------------------------------------------------


class Welcome(_Message, frozen=True, tag="welcome"):
    """The answer to `hello`. `user_id` is null for a connection that is not signed in."""

    session_id: str
    user_id: str | None
    expires_at_ms: int | None
    server_time_ms: int
    heartbeat_ms: int
    limits: dict[str, int]
    protocol: str = SUBPROTOCOL


class Renewed(_Message, frozen=True, tag="renewed"):
    """The new token is in use."""

    id: str
    expires_at_ms: int


class Subscribed(_Message, frozen=True, tag="subscribed"):
    """Events follow. `cursor` is where this subscription begins: keep it, and set
    `cursor[event.stream] = event.offset` with each event; it is the `from` of a later resume."""

    id: str
    channel: str
    cursor: dict[str, str]
    resumed: bool


class Unsubscribed(_Message, frozen=True, tag="unsubscribed"):
    """No more events of this channel."""

    id: str
    channel: str


class EventMessage(_Message, frozen=True, tag="event"):
    """A fact shown on a channel. `id` is the event's own: the same on each channel."""

    channel: str
    stream: str
    offset: str
    id: str
    type: str
    at_ms: int
    data: Any


class Resync(_Message, frozen=True, tag="resync"):
    """Something of this channel may have been missed: load its state over HTTP again.

    The subscription goes on, from `cursor`. `reason`: `too-old`, `too-many` or `gap`.
    """

    channel: str
    cursor: dict[str, str]
    reason: str


class Result(_Message, frozen=True, tag="result"):
    """The answer of an operation."""

    id: str
    data: Any


class ErrorMessage(_Message, frozen=True, tag="error"):
    """A request was refused, or could not be decided (then `retry_after_ms` is set).

    `id` is empty if what caused it had none. `code` is stable; `detail` is for engineers.
    """

    id: str
    code: str
    detail: str
    params: dict[str, str | int]
    retry_after_ms: int | None = None


class Bye(_Message, frozen=True, tag="bye"):
    """The server is about to close. Come back after this time, to another replica perhaps."""

    reconnect_after_ms: int
    reason: str


ClientMessage: TypeAlias = Hello | Renew | Subscribe | Unsubscribe | Call | Ping | Pong
ServerMessage: TypeAlias = (
    Welcome
    | Renewed
    | Subscribed
    | Unsubscribed
    | EventMessage
    | Resync
    | Result
    | ErrorMessage
    | Bye
    | Ping
    | Pong
)

_from_json = msgspec.json.Decoder(ClientMessage)
_from_msgpack = msgspec.msgpack.Decoder(ClientMessage)
_to_json = msgspec.json.Encoder()
_to_msgpack = msgspec.msgpack.Encoder()


def decode(data: bytes, encoding: Encoding) -> ClientMessage:
    """The client's message. Raises BadMessage, whatever the bytes are."""
    decoder = _from_json if encoding is Encoding.JSON else _from_msgpack
    try:
        return decoder.decode(data)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise BadMessage(str(error)[:200]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage(f"not {encoding.value}") from None


def encode(message: ServerMessage, encoding: Encoding) -> bytes:
    """The server's message as bytes."""
    encoder = _to_json if encoding is Encoding.JSON else _to_msgpack
    return encoder.encode(message)


def error_message(request_id: str, error: VibeStreamError) -> ErrorMessage:
    """How an error is told. What is no Refusal and no Transient is a defect, and says no more."""
    if error.code == VibeStreamError.code:
        return ErrorMessage(request_id, error.code, "An unexpected error.", {})
    retry = error.retry_after_ms if isinstance(error, Transient) else None
    if retry is None and isinstance(given := error.params.get("retry_after_ms"), int):
        retry = given
    return ErrorMessage(request_id, error.code, error.detail, error.params, retry)
