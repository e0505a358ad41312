"""Fakes of the realtime door's neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from api.realtime.frames import FRAMED_JSON, Wire
from api.realtime.hub import Hub
from api.realtime.protocol import ServerMessage
from api.realtime.subscriber import Subscriber
from messages.envelope import Event
from messages.errors import Unauthenticated
from messages.users import Role, TokenExpired


class User(msgspec.Struct, frozen=True):
    user_id: str
    roles: tuple[Role, ...] = (Role.USER,)
    expires_at_ms: int = 10_000_000
    session_id: str = "a-session"


USERS = {
    "token-ana": User("ana"),
    "token-bo": User("bo"),
    "token-admin": User("root", (Role.ADMIN,)),
}


def authenticate(token: str) -> User:
    if token == "expired":
        raise TokenExpired
    if token not in USERS:
        raise Unauthenticated("no such token")
    return USERS[token]


def event(
    position: str,
    channels: Sequence[str] = ("song:1",),
    *,
    stream: str = "music",
    body: str = '{"n":1}',
    at_ms: int = 7,
) -> Event:
    return Event(
        f"id-{stream}-{position}",
        stream,
        "Happened",
        "e",
        1,
        at_ms,
        tuple(channels),
        body,
        position,
    )


class FakeWire:
    """A transport that keeps what is written, and is as slow as it is told to be."""

    def __init__(self, hub: Hub, form: int = FRAMED_JSON, *, hard_bytes: int = 1_000) -> None:
        self.hub = hub
        self.written: list[Wire] = []
        self.told: list[ServerMessage] = []
        self.log: list[str] = []
        self.unsent = 0
        self.dropped = False
        self.subscriber = Subscriber(
            self.write, lambda: self.unsent, form, hard_bytes, self.tell, self.too_slow
        )

    def write(self, data: Wire) -> None:
        assert not self.dropped, "nothing is written to a connection that is over"
        self.written.append(data)
        if self.subscriber.congested:
            self.unsent += len(data)
        decoded = decode(data)
        self.log.append(f"{decoded['channel']} {decoded['stream']} {decoded['offset']}")

    def tell(self, message: ServerMessage) -> None:
        self.told.append(message)
        self.log.append(type(message).__name__.lower())

    def too_slow(self) -> None:
        self.dropped = True
        self.hub.drop(self.subscriber)

    @property
    def offsets(self) -> list[str]:
        """The offsets of the events received, in order."""
        return [str(decode(data)["offset"]) for data in self.written]


def unframe(data: bytes) -> bytes:
    """The payload of a server's frame."""
    size, start = data[1], 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(data[2:10], "big"), 10
    assert len(data) == start + size
    return data[start:]


def decode(data: Wire) -> dict[str, object]:
    """A written event, whatever its form."""
    if isinstance(data, str):
        return msgspec.json.decode(data)  # type: ignore[no-any-return]
    if data[0] == 0x81:
        return msgspec.json.decode(unframe(data))  # type: ignore[no-any-return]
    if data[0] == 0x82 and len(data) > 2 and data[1] in {len(data) - 2, 126, 127}:
        return msgspec.msgpack.decode(unframe(data))  # type: ignore[no-any-return]
    return msgspec.msgpack.decode(data)  # type: ignore[no-any-return]
