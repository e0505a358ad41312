"""The latest events of all channels, in the order of their arrival, within bounds.

One queue for all channels, so that its bounds are those of the process whatever clients subscribe
to, and one floor per stream: every event of the stream above its floor is here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from api.realtime.frames import Shown
from messages.bus import START, Position

ENTRY_BYTES = 700  # what an entry takes beside the event's body and its encoded forms


class History:
    """At most `max_events` entries (an event counts once a channel) of `max_bytes` or so."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._queue: deque[Shown] = deque()
        self._by_channel: dict[str, deque[Shown]] = {}
        self._bytes = 0
        self.floors: dict[str, Position] = {}

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def size_bytes(self) -> int:
        """About what the entries take."""
        return self._bytes

    def raise_floor(self, stream: str, position: Position) -> None:
        """Events of the stream up to `position` may be missing."""
        self.floors[stream] = max(position, self.floors.get(stream, START))

    def append(self, shown: Shown) -> None:
        """The newest event of a channel. Its stream has a floor."""
        self._queue.append(shown)
        self._by_channel.setdefault(shown.channel, deque()).append(shown)
        self._bytes += _size(shown)
        while len(self._queue) > self._max_events or self._bytes > self._max_bytes:
            self._drop_oldest()

    def after(self, channel: str, cursor: Mapping[str, Position]) -> list[Shown]:
        """The channel's entries above the cursor, of the cursor's streams, as they arrived."""
        entries = self._by_channel.get(channel, ())
        return [e for e in entries if e.stream in cursor and e.position > cursor[e.stream]]

    def _drop_oldest(self) -> None:
        oldest = self._queue.popleft()
        self._bytes -= _size(oldest)
        self.raise_floor(oldest.stream, oldest.position)
        entries = self._by_channel[oldest.channel]
        dropped = entries.popleft()
        assert dropped is oldest, "a channel's entries are in the queue's order"
        if not entries:
            del self._by_channel[oldest.channel]


def _size(shown: Shown) -> int:
    # Both framed forms at the worst, and the body itself.
    return ENTRY_BYTES + 3 * len(shown.event.body)
