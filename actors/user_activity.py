"""Counts what users do, from the events that tell of it, and gives the points that it brings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from messages.envelope import Event
from sagas import user_activity
from storage import users_activity, users_events
from storage.database import Connection


class UserActivityHandler:
    """A consumer group that writes in the transaction that moves it on: each event once."""

    group = user_activity.NAME
    streams = user_activity.STREAMS
    sifted = user_activity.SIFTED

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Count the deeds of the events."""
        deeds = [deed for event in events if (deed := user_activity.deed_of(event)) is not None]
        if deeds:
            # A transaction locks users once, in one order, before it writes.
            await users_events.lock_all(connection, users_activity.earning(deeds))
            await users_activity.add(connection, deeds, self._clock_ms())
