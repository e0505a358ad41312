"""Whatever a client sends, and whenever: played time is bounded and every command is answered."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import listening
from domain.listening import Listening
from domain.policy import ListeningPolicy
from messages.errors import Refusal
from messages.listening import (
    Beat,
    CheckStale,
    EndListening,
    ListeningCommand,
    ListeningEnded,
    ListeningEvent,
    PausePlayback,
    Phase,
    ResumePlayback,
    ResumeSession,
    Seek,
)
from tests.unit.listening_player import POLICY, T0, Player, session_id, start

ACTIONS = ("beat", "beat", "beat", "seek", "pause", "resume", "repeat", "timer", "end", "start")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTIONS),
        st.one_of(st.integers(0, 12_000), st.sampled_from([9_500, 10_000, 10_500, 130_000])),
        st.integers(0, 200_000),
    ),
    max_size=60,
)


class Watched(Player):
    """Checks the bounds after each step, against a stop-watch that knows nothing of tickets."""

    def __init__(self, song_ms: int) -> None:
        super().__init__()
        self.song_ms = song_ms
        self.number = 0
        self.begin()

    def begin(self) -> None:
        self.number += 1
        self.stopwatch_ms, self.beats, self.seen_ms = 0, 0, self.now_ms
        self.started_ms = self.now_ms
        self.start(self.number, song_duration_ms=self.song_ms)

    def step(self, action: str, ms: int, position_ms: int) -> None:
        session = self.state.session
        assert session is not None
        if session.playing:
            self.stopwatch_ms += ms
        self.wait(ms)
        try:
            self.perform(action, min(position_ms, self.song_ms))
        except Refusal:
            assert self.state.session == session
        if self.state.session is not None and self.state.session.session_id == session.session_id:
            assert self.state.session.played_ms >= session.played_ms
        self.check()

    def perform(self, action: str, position_ms: int) -> None:
        session = self.state.session
        assert session is not None
        if action == "start":
            self.begin()
        elif action == "beat" and session.phase is Phase.ACTIVE:
            self.send(self._ticket(session.beats, position_ms))
            self.beats += 1
        elif action == "repeat":
            self.send(self._ticket(session.beats - 1, position_ms))
        elif action == "timer":
            self.send(CheckStale(self.now_ms))
        elif action == "seek":
            self.send(Seek(self.session, position_ms))
        else:
            simple: dict[str, Any] = {"pause": PausePlayback, "resume": ResumePlayback}
            self.send(simple.get(action, EndListening)(self.session))

    def _ticket(self, index: int, position_ms: int) -> Beat:
        session = self.state.session
        assert session is not None
        nonce = listening.nonce(session.entropy, session.session_id, index)
        return Beat(self.session, index, nonce, position_ms)

    def check(self) -> None:
        session = self.state.session
        assert session is not None
        interval = POLICY.beat_interval_ms + POLICY.pace_tolerance_ms
        assert session.played_ms <= self.stopwatch_ms
        assert session.played_ms <= session.song_duration_ms
        assert session.played_ms <= (self.beats + 1) * interval
        if session.phase is not Phase.ACTIVE:
            assert session.started_at_ms <= session.ended_at_ms <= self.now_ms
            assert session.played_ms <= session.ended_at_ms - session.started_at_ms
        # Tickets are handed out at playback pace: n beats take n intervals of wall time.
        paced = self.beats * POLICY.beat_interval_ms - POLICY.pace_tolerance_ms
        assert self.now_ms - self.started_ms >= paced or self.beats == 0


@given(STEPS, st.integers(1_000, 300_000))
def test_played_time_never_exceeds_wall_time_the_song_or_its_tickets(
    steps: list[tuple[str, int, int]], song_ms: int
) -> None:
    player = Watched(song_ms)
    for action, ms, position_ms in steps:
        player.step(action, ms, position_ms)


@given(STEPS)
def test_a_replay_of_the_journal_gives_the_same_state(steps: list[tuple[str, int, int]]) -> None:
    player = Watched(180_000)
    for action, ms, position_ms in steps:
        player.step(action, ms, position_ms)
    state = listening.initial(f"{player.state.user_id}:{player.state.device_id}")
    encoded = msgspec.json.Encoder()
    decoder = msgspec.json.Decoder(ListeningEvent)
    for event in player.events:
        state = listening.evolve(state, decoder.decode(encoded.encode(event)))
    assert state == player.state
    packed = msgspec.msgpack.encode(state)
    assert msgspec.msgpack.decode(packed, type=Listening) == state


@given(STEPS)
def test_each_session_ends_at_most_once(steps: list[tuple[str, int, int]]) -> None:
    player = Watched(180_000)
    for action, ms, position_ms in steps:
        player.step(action, ms, position_ms)
    ended = [event.session_id for event in player.events if isinstance(event, ListeningEnded)]
    assert len(ended) == len(set(ended))
    assert set(ended) >= {session_id(n) for n in range(1, player.number)}


def _states() -> dict[str, Listening]:
    nothing = Player()
    active, paused, ended, eligible, claimable, rejected = (Player() for _ in range(6))
    for player in (active, paused, ended, eligible, rejected):
        player.start()
    claimable.start(commitment="7")
    for player in (eligible, claimable):
        for _ in range(4):
            player.wait(10_000)
            player.beat(player.now_ms - T0)
        player.send(EndListening(player.session))
    paused.wait(3_000)
    paused.send(PausePlayback(paused.session))
    rejected.send(EndListening(rejected.session))
    named = {"nothing": nothing, "active": active, "paused": paused, "eligible": eligible}
    named |= {"claimable": claimable, "rejected": rejected}
    return {name: player.state for name, player in named.items()}


STATES = _states()
COMMANDS: list[ListeningCommand] = [
    start(1),
    start(2),
    start(3, song_duration_ms=0),
    *(
        kind(session)
        for kind in (PausePlayback, ResumePlayback, EndListening, ResumeSession)
        for session in (session_id(1), session_id(9), "")
    ),
    *(Seek(session_id(1), position) for position in (-1, 0, 2**62)),
    *(
        Beat(session_id(1), index, nonce, position)
        for index, nonce, position in itertools.product(
            (-(2**62), -1, 0, 1, 2**62),
            (b"", listening.nonce(b"\x01" * 32, session_id(1), 0), b"x" * 1000),
            (-1, 0, 2**62),
        )
    ),
    CheckStale(0),
]


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("after_ms", [0, 10_000, 120_000, 7_200_000, 10**12])
def test_any_command_in_any_state_is_decided_or_refused(name: str, after_ms: int) -> None:
    state = STATES[name]
    for command in COMMANDS:
        outcomes = [_outcome(state, command, T0 + 50_000 + after_ms) for _ in range(2)]
        assert outcomes[0] == outcomes[1], command


def _outcome(state: Listening, command: ListeningCommand, now_ms: int) -> object:
    frozen = msgspec.msgpack.encode(state)
    try:
        decision = listening.decide(ListeningPolicy(), state, command, now_ms)
    except Refusal as refusal:
        return (refusal.code, refusal.params)
    finally:
        assert msgspec.msgpack.encode(state) == frozen, "decide changed the state"
    after = state
    for event in decision.events:
        after = listening.evolve(after, event)
    return (decision, after)
