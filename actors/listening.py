"""The owner of listening sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from actors.runtime.kind import Applied, EntityKind
from domain import listening as domain
from domain.decision import Decision
from domain.listening import Listening
from domain.policy import ListeningPolicy
from messages.listening import (
    PUBLIC_EVENTS,
    STREAM,
    CheckStale,
    ListenCounted,
    ListeningCommand,
    ListeningEvent,
    ResumeSession,
    SessionView,
)
from messages.music import song_channel
from messages.users import user_channel
from storage import listening as storage
from storage.database import Connection


class ListeningKind(EntityKind[Listening, ListeningCommand, ListeningEvent]):
    """Entity `<user id>:<device id>`: the device's one session."""

    name = "listening"
    stream = STREAM
    command_type = ListeningCommand
    event_type = ListeningEvent
    state_type = Listening
    answer_type = SessionView
    queries: ClassVar[frozenset[type]] = frozenset({ResumeSession})
    public: ClassVar[frozenset[type]] = PUBLIC_EVENTS

    def __init__(self, policy: ListeningPolicy) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Listening:
        return domain.initial(entity_id)

    def decide(
        self, state: Listening, command: ListeningCommand, now_ms: int
    ) -> Decision[ListeningEvent]:
        return domain.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Listening, event: ListeningEvent) -> Listening:
        return domain.evolve(state, event)

    def reminded(self, name: str, due_at_ms: int) -> ListeningCommand:
        assert name == domain.STALE_TIMER, f"a listening session sets no timer {name!r}"
        return CheckStale(due_at_ms)

    def channels(self, entity_id: str, event: ListeningEvent) -> tuple[str, ...]:
        """Who listens to what is theirs to see; the song's channel only learns that one did."""
        if isinstance(event, ListenCounted):
            return (song_channel(event.song_id),)
        user_id, _, _ = entity_id.partition(":")
        return (user_channel(user_id),)

    async def project(
        self, connection: Connection, applied: Sequence[Applied[ListeningEvent]]
    ) -> None:
        await storage.write(connection, [a.event for a in applied])
