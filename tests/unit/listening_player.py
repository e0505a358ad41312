"""A player and its device's entity, in memory: scripts that one can check by eye."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from domain import listening
from domain.decision import Forget, Remind
from domain.listening import Listening
from domain.policy import ListeningPolicy
from messages.errors import Refusal
from messages.listening import (
    Beat,
    EndListening,
    ListeningCommand,
    ListeningEvent,
    PausePlayback,
    ResumePlayback,
    ResumeSession,
    Seek,
    SessionView,
    StartListening,
    Tier,
)

USER = "0197a000-0000-7000-8000-000000000001"
DEVICE = "phone"
ENTITY = f"{USER}:{DEVICE}"
SONG = "0197a000-0000-7000-8000-00000000000a"
ARTIST = "0197a000-0000-7000-8000-00000000000b"
POOL = "0197a000-0000-7000-8000-00000000000c"
T0 = 1_790_000_000_000
POLICY = ListeningPolicy()


def session_id(number: int = 1) -> str:
    return f"0197a000-0000-7000-8000-0000000010{number:02d}"


def start(number: int = 1, **changes: Any) -> StartListening:
    facts: dict[str, Any] = {
        "session_id": session_id(number),
        "song_id": SONG,
        "artist_id": ARTIST,
        "song_duration_ms": 180_000,
        "pool_id": POOL,
        "tier": Tier.FREE,
        "boost_bps": 10_000,
        "time_zone": "Europe/Madrid",
        "entropy": bytes([number]) * 32,
    }
    return StartListening(**{**facts, **changes})


@dataclass
class Player:
    """Sends commands to one entity and keeps what comes back."""

    state: Listening = field(default_factory=lambda: listening.initial(ENTITY))
    policy: ListeningPolicy = POLICY
    now_ms: int = T0
    session: str = session_id()
    view: SessionView | None = None
    events: list[ListeningEvent] = field(default_factory=list)
    timers: dict[str, int] = field(default_factory=dict)

    def send(self, command: ListeningCommand) -> SessionView | None:
        """Decide and evolve. Raises what the domain refuses."""
        decision = listening.decide(self.policy, self.state, command, self.now_ms)
        for event in decision.events:
            self.state = listening.evolve(self.state, event)
        self.events += decision.events
        for timer in decision.timers:
            if isinstance(timer, Remind):
                self.timers[timer.name] = timer.due_at_ms
            elif isinstance(timer, Forget):
                self.timers.pop(timer.name, None)
        answer: SessionView | None = decision.answer
        self.view = answer or self.view
        return answer

    def start(self, number: int = 1, **changes: Any) -> SessionView | None:
        self.session = session_id(number)
        return self.send(start(number, **changes))

    def beat(self, position_ms: int, **changes: Any) -> SessionView | None:
        assert self.view is not None
        assert self.view.ticket is not None, "the session is over"
        fields = {"index": self.view.ticket.index, "nonce": self.view.ticket.nonce, **changes}
        return self.send(Beat(self.session, position_ms=position_ms, **fields))

    def wait(self, ms: int) -> None:
        self.now_ms += ms

    def run(self, table: str) -> None:
        """Play a table of `seconds | action | outcome`.

        outcome: `played P ticket I due D` in seconds, or the code of a refusal.
        """
        for line in table.strip().splitlines()[1:]:
            seconds, action, outcome = (cell.strip() for cell in line.split("|"))
            self.now_ms = T0 + round(float(seconds) * 1000)
            assert self.outcome(action) == outcome, line

    def outcome(self, action: str) -> str:
        word, *arguments = action.split()
        try:
            view = self.act(word, [round(float(a) * 1000) for a in arguments])
        except Refusal as refusal:
            return refusal.code
        assert view is not None
        if view.ticket is None:
            return f"played {_s(view.played_ms)} {view.phase.value}"
        due = _s(view.ticket.due_at_ms - T0)
        return f"played {_s(view.played_ms)} ticket {view.ticket.index} due {due}"

    def act(self, word: str, arguments: list[int]) -> SessionView | None:
        simple: dict[str, Any] = {
            "pause": PausePlayback,
            "resume": ResumePlayback,
            "end": EndListening,
            "ask": ResumeSession,
        }
        if word in simple:
            return self.send(simple[word](self.session))
        if word == "seek":
            return self.send(Seek(self.session, arguments[0]))
        if word == "start":
            return self.start(arguments[0] // 1000 if arguments else 1)
        assert word == "beat"
        return self.beat(arguments[0])


def _s(ms: int) -> str:
    return f"{ms / 1000:g}"
