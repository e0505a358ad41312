"""Channels, who may listen to them, and where in them a listener is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from domain.access import Permission, Reason, permits
from messages.bus import Position, parse_position
from messages.errors import Unauthenticated
from messages.realtime import BadMessage, ChannelForbidden, UnknownChannel
from messages.users import PermissionMissing, Role

NAME = re.compile(r"([a-z][a-z-]{0,31}):([A-Za-z0-9._:-]{1,128})", re.ASCII)
POSITION = re.compile(r"\d{1,19}-\d{1,19}", re.ASCII)
LARGEST = 2**63 - 1

# How far a listener is: for each stream the position up to which it has everything of the channel.
# Streams are published independently, so one position could not say it without a gap.
Cursor: TypeAlias = Mapping[str, Position]


class Subject(Protocol):
    """Who a connection speaks for; `integrations.tokens.Claims` is one."""

    @property
    def user_id(self) -> str:
        """The user's id."""

    @property
    def session_id(self) -> str:
        """The sign-in that the token belongs to."""

    @property
    def roles(self) -> Sequence[Role]:
        """The user's roles."""

    @property
    def expires_at_ms(self) -> int:
        """Until when the token speaks for the user, epoch ms."""


class ChannelKind(msgspec.Struct, frozen=True):
    """What precedes the colon of a channel's name.

    public: anyone may listen, signed in or not; otherwise the user of that id alone (and admins).
    conflatable: each event replaces the one before, so a slow listener may be spared all but the
        latest.
    """

    shows: str
    public: bool = True
    conflatable: bool = False


CHANNEL_KINDS: dict[str, ChannelKind] = {
    "user": ChannelKind("All that concerns one user alone.", public=False),
    "song": ChannelKind("What everyone may know of a song: counted listens, changes."),
    "artist": ChannelKind("What everyone may know of an artist: new songs."),
    "pool": ChannelKind("A reward pool: its budget, what it paid."),
    "book": ChannelKind("A share issue and its order book: sale, depth, trades, distributions."),
    "drop": ChannelKind("A drop of tokens: what is left, milestones, its end."),
    "venture": ChannelKind("A venture's round: what it raised, how it ended."),
}


def kind_of(channel: str, kinds: Mapping[str, ChannelKind] = CHANNEL_KINDS) -> ChannelKind | None:
    """The kind of a well-formed channel name; None if there is no such kind."""
    return kinds.get(channel.partition(":")[0]) if NAME.fullmatch(channel) else None


def may_subscribe(
    subject: Subject | None, channel: str, kinds: Mapping[str, ChannelKind] = CHANNEL_KINDS
) -> bool:
    """Whether the subject (None: not signed in) may listen to the channel."""
    kind = kind_of(channel, kinds)
    if kind is None:
        return False
    if kind.public:
        return True
    owner = channel.partition(":")[2]
    return subject is not None and (subject.user_id == owner or Role.ADMIN in subject.roles)


def check_subscribe(
    subject: Subject | None, channel: str, kinds: Mapping[str, ChannelKind] = CHANNEL_KINDS
) -> None:
    """Raise UnknownChannel, Unauthenticated or ChannelForbidden unless the subject may listen."""
    if kind_of(channel, kinds) is None:
        raise UnknownChannel
    if may_subscribe(subject, channel, kinds):
        return
    if subject is None:
        raise Unauthenticated("sign in to listen to this channel")
    raise ChannelForbidden


def check_permission(subject: Subject, permission: Permission) -> None:
    """Raise PermissionMissing unless one of the subject's roles has the permission."""
    if not permits(subject.roles, permission):
        raise PermissionMissing(permission=permission.value, reason=Reason.ROLE.value)


def parse_cursor(
    given: str | Mapping[str, str] | None, streams: Iterable[str], max_streams: int
) -> dict[str, Position] | None:
    """The cursor a client resumes from; None: it does not resume.

    One position stands for all of `streams`: that is what a REST snapshot is taken at. Raises
    BadMessage.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return dict.fromkeys(streams, _position(given))
    if len(given) > max_streams:
        raise BadMessage("too many streams in `from`")
    return {stream: _position(text) for stream, text in given.items()}


def render_cursor(cursor: Cursor) -> dict[str, str]:
    """The cursor as clients see it."""
    return {stream: str(position) for stream, position in cursor.items()}


def _position(text: str) -> Position:
    if POSITION.fullmatch(text):
        position = parse_position(text)
        if max(position) <= LARGEST:
            return position
    raise BadMessage("`from` holds something that is not an offset")
