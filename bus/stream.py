"""The port to the broker that carries events to the consumers. `bus.stream_redis` fills it.

The broker's copy may be lost, wholly or in part, at any moment. Three things make that harmless,
and every implementation owes them:

- `publish` and `begin` are compare-and-set on the stream's top, so a relay notices the loss before
  it writes past it, and two relays cannot interleave;
- an entry carries the position of the event *before* it, so a consumer sees a hole and fetches
  what is missing from PostgreSQL;
- what a group has handled is not asked of the broker but of the inbox.

All methods raise messages.errors.Unavailable when the broker cannot be reached or cannot take more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from messages.bus import Position
from messages.envelope import Event


class GroupMissingError(Exception):
    """The broker does not know the group (it lost it, or never did)."""


class Entry(msgspec.Struct, frozen=True):
    """An event as the broker holds it. `event` is None if what it holds is not one of ours."""

    position: Position
    previous: Position
    event: Event | None


class EventStream(Protocol):
    """Streams of entries in the order of their positions, read by groups."""

    async def top(self, stream: str) -> Position:
        """The last position the stream was given; START if there is no stream."""
        ...

    async def publish(self, stream: str, top: Position, events: Sequence[Event]) -> Position:
        """Append events if the stream's top is `top`. Returns the top after it, or as it is."""
        ...

    async def begin(self, stream: str, top: Position, start: Position) -> Position:
        """If the top is `top`, drop the entries and start anew at `start`. Returns the top."""
        ...

    async def open_group(self, stream: str, group: str, start: Position) -> None:
        """Have the broker know the group, to deliver what is above `start`."""
        ...

    async def claim(self, stream: str, group: str, consumer: str, limit: int) -> list[Entry]:
        """The next entries that were delivered to the group (to anyone) and not acknowledged."""
        ...

    async def read(
        self, stream: str, group: str, consumer: str, limit: int, block_ms: int
    ) -> list[Entry]:
        """The next entries not delivered to the group yet; waits up to `block_ms` for the first."""
        ...

    async def acknowledge(self, stream: str, group: str, positions: Sequence[Position]) -> None:
        """The group is done with the entries."""
        ...

    async def retire(self, stream: str, group: str, consumer: str) -> None:
        """Forget the group's consumers other than this one; they hold nothing any more."""
        ...

    async def length(self, stream: str) -> int:
        """How many entries the stream holds."""
        ...

    async def trim_below(self, stream: str, position: Position) -> int:
        """Drop entries below the position (not all, if that is cheaper). Returns how many."""
        ...

    async def trim_to(self, stream: str, limit: int) -> int:
        """Drop the oldest entries beyond about `limit`. Returns how many."""
        ...

    async def mirror_dead(self, group: str, event: Event, error: str) -> None:
        """Show operators that an event was parked. The letter itself is in PostgreSQL."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
