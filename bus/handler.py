"""What a context supplies to have events handled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bus.store import Connection
from messages.envelope import Event


class Handler(Protocol):
    """A consumer group. Its effects happen once per event, in the order of the stream.

    group: its name, for ever: its position is kept under it.  streams: what it follows.

    Optional attributes:
    transactional (True): `handle` writes through `connection`, whose open transaction also moves
        the group on. Set it to False where the effect is elsewhere (commands to actors). The
        connection then has no transaction open, the group moves on afterwards, and a crash in
        between has the events handed over again: the effect must be idempotent (a key derived from
        `event_id`).
    start ("beginning"): where a group begins that is registered for the first time: at the first
        event that PostgreSQL still has, or ("now") with those written after its registration.
    sifted ({}): of which streams it wants events of a few types alone. These are looked for in
        PostgreSQL, a few times a second: no other event of the stream costs it anything, where each
        takes some 20 us on its way through the broker.
    """

    @property
    def group(self) -> str:
        """The group's name."""
        ...

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams it follows."""
        ...

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Apply events of one stream, in order, all or none.

        Raise messages.errors.Transient (or a connection error) to be asked again until it works;
        anything else counts as a failure of the event, and after some of these it is parked.
        """
        ...


def is_transactional(handler: Handler) -> bool:
    """Whether the handler's effect is written through the connection it is given."""
    return bool(getattr(handler, "transactional", True))


def sifted(handler: Handler) -> Mapping[str, Sequence[str]]:
    """The types of events that the handler wants, of streams of which it wants few."""
    types: Mapping[str, Sequence[str]] = getattr(handler, "sifted", {})
    return types


def starts_now(handler: Handler) -> bool:
    """Whether a new group begins after what is there already."""
    start = getattr(handler, "start", "beginning")
    assert start in ("beginning", "now"), f"{handler.group}: start is 'beginning' or 'now'"
    return bool(start == "now")
