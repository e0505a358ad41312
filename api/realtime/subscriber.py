"""A connection as the hub sees it: something to write to, that may be slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from api.realtime.frames import Shown, Wire
from api.realtime.protocol import ServerMessage

Write: TypeAlias = Callable[[Wire], object]


class Subscriber:
    """Written to directly while it keeps up; spared or given up on while it does not.

    write: hands bytes to the transport and never blocks.  buffered: its unsent bytes.
    hard_bytes: unsent bytes at which it is too slow.  tell: writes a message that is no event.
    too_slow: called outside of any publication when it is, and closes it.
    `congested` is set by the transport between its two watermarks.
    """

    __slots__ = (
        "_buffered",
        "_hard_bytes",
        "channels",
        "conflated",
        "congested",
        "form",
        "pending",
        "tell",
        "too_slow",
        "write",
    )

    def __init__(
        self,
        write: Write,
        buffered: Callable[[], int],
        form: int,
        hard_bytes: int,
        tell: Callable[[ServerMessage], None],
        too_slow: Callable[[], None],
    ) -> None:
        self.write = write
        self.form = form
        self.tell = tell
        self.too_slow = too_slow
        self.congested = False
        self.conflated = 0
        self.channels: set[str] = set()
        self.pending: dict[str, Shown] = {}
        self._buffered = buffered
        self._hard_bytes = hard_bytes

    def hand(self, shown: Shown, *, conflatable: bool) -> bool:
        """Write an event, congested or not. Returns whether the subscriber is too slow."""
        if self.congested:
            return self.offer(shown, conflatable=conflatable)
        self.write(shown.wire(self.form))
        return False

    def offer(self, shown: Shown, *, conflatable: bool) -> bool:
        """Write an event while congested. Returns whether the subscriber is too slow."""
        if conflatable:
            self.conflated += shown.channel in self.pending
            self.pending[shown.channel] = shown
            return False
        self.write(shown.wire(self.form))
        return self.is_too_slow()

    def is_too_slow(self) -> bool:
        """Whether more is unsent than the server keeps for anyone."""
        return self.congested and self._buffered() > self._hard_bytes

    def pause(self) -> None:
        """The transport has more unsent than its high watermark."""
        self.congested = True

    def resume(self) -> None:
        """The transport has less unsent than its low watermark: bring the latest."""
        self.congested = False
        while self.pending and not self.congested:
            shown = self.pending.pop(next(iter(self.pending)))
            self.write(shown.wire(self.form))
