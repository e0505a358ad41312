"""Listening sessions: paced beats, what counts as played, how sessions end."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import pytest

from domain import listening, statement
from domain.listening import timeline_of
from messages.errors import Refusal
from messages.listening import (
    NONCE_BYTES,
    Beat,
    BeatAccepted,
    BeatTooEarly,
    CheckStale,
    EndListening,
    EndReason,
    ListenCounted,
    ListenFolded,
    ListeningEnded,
    ListeningScored,
    PausePlayback,
    Phase,
    ResumePlayback,
    ResumeSession,
    SessionOpened,
)
from tests.unit.listening_player import ENTITY, T0, Player, session_id, start

BN254_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617

TABLES = {
    "a plain listen": """
        s    | action    | outcome
        0    | start     | played 0 ticket 0 due 10
        10   | beat 10   | played 10 ticket 1 due 20
        20   | beat 20   | played 20 ticket 2 due 30
        30.4 | beat 30.4 | played 30.4 ticket 3 due 40.4
        35   | end       | played 35 eligible
        36   | end       | played 35 eligible
        36   | ask       | played 35 eligible
        40.4 | pause     | listening-session-ended
    """,
    "too early, then within the tolerance, which is not gained twice": """
        s    | action    | outcome
        0    | start     | played 0 ticket 0 due 10
        9.4  | beat 9.4  | beat-too-early
        9.5  | beat 9.5  | played 9.5 ticket 1 due 20
        19.4 | beat 19.4 | beat-too-early
        19.5 | beat 19.5 | played 19.5 ticket 2 due 30
        29.5 | beat 29.5 | played 29.5 ticket 3 due 40
    """,
    "a late beat is worth one interval and the tolerance": """
        s    | action   | outcome
        0    | start    | played 0 ticket 0 due 10
        60   | beat 60  | played 10.5 ticket 1 due 70
        70   | beat 70  | played 20.5 ticket 2 due 80
        150  | end      | played 31 eligible
    """,
    "a pause stops the clock and keeps the rest of the interval": """
        s    | action  | outcome
        0    | start   | played 0 ticket 0 due 10
        4    | pause   | played 4 ticket 0 due 10
        5    | pause   | played 4 ticket 0 due 11
        14   | beat 4  | playback-paused
        60   | resume  | played 4 ticket 0 due 66
        61   | resume  | played 4 ticket 0 due 66
        65   | beat 9  | beat-too-early
        66   | beat 10 | played 10 ticket 1 due 76
        70   | pause   | played 14 ticket 1 due 76
        80   | end     | played 14 rejected
    """,
    "pausing again and again cannot replace a beat": """
        s    | action  | outcome
        0    | start   | played 0 ticket 0 due 10
        9    | pause   | played 9 ticket 0 due 10
        9    | resume  | played 9 ticket 0 due 10
        18   | pause   | played 10.5 ticket 0 due 18
        18   | resume  | played 10.5 ticket 0 due 18
        27   | pause   | played 10.5 ticket 0 due 27
        27   | resume  | played 10.5 ticket 0 due 27
        36   | end     | played 10.5 rejected
    """,
    "a seek never adds": """
        s    | action    | outcome
        0    | start     | played 0 ticket 0 due 10
        2    | seek 170  | played 0 ticket 0 due 10
        10   | beat 178  | played 10 ticket 1 due 20
        11   | seek 183  | position-outside-song
        11   | seek 5    | played 10 ticket 1 due 20
        20   | beat 14   | played 20 ticket 2 due 30
        20   | end       | played 20 rejected
    """,
    "a lost connection loses nothing for two minutes": """
        s     | action     | outcome
        0     | start      | played 0 ticket 0 due 10
        10    | beat 10    | played 10 ticket 1 due 20
        129.9 | ask        | played 10 ticket 1 due 20
        129.9 | beat 129.9 | played 20.5 ticket 2 due 139.9
        249.9 | ask        | listening-session-stale
        249.9 | beat 180   | listening-session-stale
        249.9 | end        | played 20.5 rejected
    """,
    "another start ends the session as it stands": """
        s    | action  | outcome
        0    | start   | played 0 ticket 0 due 10
        10   | beat 10 | played 10 ticket 1 due 20
        15   | start 2 | played 0 ticket 0 due 25
        25   | beat 10 | played 10 ticket 1 due 35
        25   | start 2 | listening-session-exists
    """,
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_timeline(table: str) -> None:
    Player().run(table)


def started(**changes: Any) -> Player:
    player = Player()
    player.start(**changes)
    return player


def play(player: Player, beats: int, interval_ms: int = 10_000) -> None:
    for _ in range(beats):
        player.wait(interval_ms)
        player.beat(player.state.session.position_at(player.now_ms))  # type: ignore[union-attr]


Fact = TypeVar("Fact")


def facts(player: Player, kind: type[Fact]) -> list[Fact]:
    return [event for event in player.events if isinstance(event, kind)]


def test_a_beat_too_early_says_when_it_is_due() -> None:
    player = started()
    player.wait(4_000)
    with pytest.raises(BeatTooEarly) as refused:
        player.beat(4_000)
    assert refused.value.params == {"retry_after_ms": 6_000}


def test_a_repeated_beat_gets_the_same_next_ticket_and_changes_nothing() -> None:
    player = started()
    assert player.view is not None
    first = player.view.ticket
    assert first is not None
    player.wait(10_000)
    answer = player.beat(10_000)
    seen = len(player.events)
    player.wait(3_000)
    again = player.send(Beat(player.session, first.index, first.nonce, 10_000))
    assert again == answer
    assert len(player.events) == seen


def test_the_last_beat_of_a_session_may_be_repeated_too() -> None:
    player = started()
    assert player.view is not None
    ticket = player.view.ticket
    assert ticket is not None
    play(player, 1)
    player.send(EndListening(player.session))
    again = player.send(Beat(player.session, ticket.index, ticket.nonce, 10_000))
    assert again == player.view
    assert again is not None
    assert again.ticket is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"index": 1}, "beat-wrong-index"),
        ({"index": -1}, "beat-wrong-index"),
        ({"nonce": bytes(31)}, "beat-wrong-nonce"),
        ({"nonce": b""}, "beat-wrong-nonce"),
    ],
)
def test_a_wrong_ticket_is_told_apart(changes: dict[str, Any], code: str) -> None:
    player = started()
    player.wait(10_000)
    with pytest.raises(Refusal) as refused:
        player.beat(10_000, **changes)
    assert refused.value.code == code
    assert player.state.session.beats == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("position_ms", [-1, 182_001])
def test_a_position_outside_the_song_is_refused(position_ms: int) -> None:
    player = started()
    player.wait(10_000)
    with pytest.raises(Refusal, match="within the song"):
        player.beat(position_ms)


def test_a_nonce_is_one_field_element_and_tells_nothing_of_the_next() -> None:
    nonces = [listening.nonce(b"e" * 32, session_id(), index) for index in range(100)]
    assert len(set(nonces)) == 100
    assert all(len(nonce) == NONCE_BYTES for nonce in nonces)
    assert 256**NONCE_BYTES < BN254_ORDER
    assert listening.nonce(b"f" * 32, session_id(), 0) not in nonces
    assert listening.nonce(b"e" * 32, session_id(2), 0) not in nonces


def test_a_forgotten_session_ends_at_its_last_beat() -> None:
    player = started()
    play(player, 4)
    player.now_ms = player.timers["stale"]
    assert player.now_ms == T0 + 120_000
    player.send(CheckStale(player.now_ms))
    assert not facts(player, ListeningEnded)
    assert player.timers["stale"] == T0 + 160_000
    player.now_ms = T0 + 160_000
    player.send(CheckStale(player.now_ms))
    [ended] = facts(player, ListeningEnded)
    assert isinstance(ended, ListeningEnded)
    assert (ended.reason, ended.ended_at_ms) == (EndReason.STALE, T0 + 40_000)
    assert (ended.played_ms, ended.counted) == (40_000, True)
    assert player.timers == {}
    player.send(CheckStale(player.now_ms))
    assert len(facts(player, ListeningEnded)) == 1


def test_beats_write_no_timer() -> None:
    player = started()
    armed = dict(player.timers)
    play(player, 5)
    assert player.timers == armed


@pytest.mark.parametrize(("idle_ms", "reason"), [(100_000, "superseded"), (120_000, "stale")])
def test_a_start_ends_the_session_before(idle_ms: int, reason: str) -> None:
    player = started()
    play(player, 3)
    player.wait(idle_ms)
    player.start(2)
    [ended] = facts(player, ListeningEnded)
    assert isinstance(ended, ListeningEnded)
    assert (ended.session_id, ended.reason.value) == (session_id(1), reason)
    assert ended.played_ms == 30_000
    order = [type(event).__name__ for event in player.events[-5:]]
    assert order == [
        "ListeningEnded",
        "ListenCounted",
        "ListeningScored",
        "SessionOpened",
        "ListeningStarted",
    ]


def test_two_hours_are_the_most() -> None:
    player = started(song_duration_ms=3_600_000)
    while player.view is not None and player.view.ticket is not None:
        player.wait(10_000)
        player.beat(min(player.now_ms - T0, 3_600_000) % 3_600_000)
    [ended] = facts(player, ListeningEnded)
    assert isinstance(ended, ListeningEnded)
    assert (ended.reason, ended.played_ms) == (EndReason.LIMIT, 3_600_000)
    assert ended.ended_at_ms <= T0 + 7_200_000
    assert ended.beats <= 720
    assert len(player.state.session.timeline) == 12 * ended.beats  # type: ignore[union-attr]


def test_the_limit_ends_a_session_that_is_kept_awake() -> None:
    player = started(song_duration_ms=3_600_000)
    while player.now_ms < T0 + 7_150_000:
        player.wait(50_000)
        player.outcome("seek 1")
    player.now_ms = T0 + 7_200_000
    player.send(CheckStale(player.now_ms))
    [ended] = facts(player, ListeningEnded)
    assert isinstance(ended, ListeningEnded)
    assert (ended.reason, ended.ended_at_ms) == (EndReason.LIMIT, T0 + 7_200_000)


@pytest.mark.parametrize(
    ("song_ms", "played_s", "counted"),
    [
        (180_000, 30, True),
        (180_000, 29.999, False),
        (40_000, 20, True),
        (40_000, 19.999, False),
    ],
)
def test_a_listen_counts_at_30_seconds_or_half_the_song(
    song_ms: int, played_s: float, counted: bool
) -> None:
    player = started(song_duration_ms=song_ms)
    left = round(played_s * 1000)
    while left > 10_000:
        play(player, 1)
        left -= 10_000
    player.wait(left)
    player.send(EndListening(player.session))
    [ended] = facts(player, ListeningEnded)
    [scored] = facts(player, ListeningScored)
    assert isinstance(ended, ListeningEnded)
    assert isinstance(scored, ListeningScored)
    assert (ended.counted, scored.eligible) == (counted, counted)
    assert bool(facts(player, ListenCounted)) is counted
    assert scored.reasons == (() if counted else ("too-short",))


def test_a_bot_counts_but_is_not_eligible() -> None:
    player = started()
    for _ in range(6):
        player.wait(10_000)
        player.beat(1_000)
    player.send(EndListening(player.session))
    [scored] = facts(player, ListeningScored)
    assert isinstance(scored, ListeningScored)
    assert not scored.eligible
    assert scored.score_bps >= 8_000
    assert set(scored.reasons) == {"impossible-positions", "duplicate-positions"}
    assert player.view is not None
    assert player.view.phase is Phase.REJECTED


def test_the_timeline_is_kept_for_folding() -> None:
    player = started()
    play(player, 3)
    assert player.state.session is not None
    beats = timeline_of(player.state.session)
    assert [(b.index, b.at_ms - T0, b.position_ms, b.expected_ms) for b in beats] == [
        (0, 10_000, 10_000, 10_000),
        (1, 20_000, 20_000, 20_000),
        (2, 30_000, 30_000, 30_000),
    ]


def test_playback_may_begin_again_at_the_end_of_the_song() -> None:
    player = started(song_duration_ms=35_000)
    play(player, 3)
    player.wait(10_000)
    player.beat(5_000)
    assert player.state.session is not None
    assert timeline_of(player.state.session)[-1].expected_ms == 5_000
    assert player.state.session.played_ms == 35_000


def ended_and_eligible(number: int = 1, player: Player | None = None) -> Player:
    player = player or Player()
    player.start(number)
    play(player, 4)
    player.send(EndListening(player.session))
    return player


def test_a_session_with_an_identity_is_folded_into_leaves_at_its_end() -> None:
    player = Player()
    view = player.start(commitment="77")
    assert view is not None
    assert view.claimable
    play(player, 4)
    player.send(EndListening(player.session))
    [scored], [folded] = facts(player, ListeningScored), facts(player, ListenFolded)
    rows = listening.rows_of(folded.session_id, folded.entropy, folded.deltas)
    assert [row.delta_ms for row in rows] == [10_000] * 4
    assert [row.nonce for row in rows] == [
        listening.nonce(folded.entropy, player.session, index) for index in range(4)
    ]
    [leaf] = statement.fold("77", player.session, folded.pool_id, rows)
    assert scored.leaves == folded.leaves == (str(leaf),)


@pytest.mark.parametrize("commitment", [None, "77"])
def test_what_cannot_be_claimed_has_no_leaves(commitment: str | None) -> None:
    player = Player()
    view = player.start(commitment=commitment)
    assert view is not None
    assert view.claimable is (commitment is not None)
    play(player, 4 if commitment is None else 2)
    player.send(EndListening(player.session))
    [scored] = facts(player, ListeningScored)
    assert scored.eligible is (commitment is None)
    assert scored.leaves == ()
    assert facts(player, ListenFolded) == []


def test_a_beat_is_credited_what_was_played_before_and_after_a_pause() -> None:
    player = Player()
    player.start(commitment="77")
    play(player, 1)
    player.wait(4_000)
    player.send(PausePlayback(player.session))
    player.wait(60_000)
    player.send(ResumePlayback(player.session))
    player.wait(6_500)
    player.beat(20_500)
    play(player, 2)
    player.send(EndListening(player.session))
    [folded] = facts(player, ListenFolded)
    rows = listening.rows_of(folded.session_id, folded.entropy, folded.deltas)
    assert [row.delta_ms for row in rows] == [10_000, 10_500, 10_000, 10_000]


def test_a_beat_that_credits_nothing_is_in_no_row() -> None:
    player = Player()
    player.start(commitment="77", song_duration_ms=25_000)
    for position_ms in (10_000, 20_000, 5_000, 15_000, 0):
        player.wait(10_000)
        player.beat(position_ms)
    player.send(EndListening(player.session))
    [folded] = facts(player, ListenFolded)
    rows = listening.rows_of(folded.session_id, folded.entropy, folded.deltas)
    assert [row.delta_ms for row in rows] == [10_000, 10_000, 5_000]


def test_a_long_session_has_a_leaf_for_each_stretch() -> None:
    player = Player()
    player.start(commitment="77", song_duration_ms=3_600_000)
    play(player, 150)
    player.send(EndListening(player.session))
    [folded] = facts(player, ListenFolded)
    assert len(folded.leaves) == len(set(folded.leaves)) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"song_duration_ms": 999},
        {"song_duration_ms": 3_600_001},
        {"boost_bps": 9_999},
        {"boost_bps": 100_001},
        {"entropy": b"short"},
        {"session_id": ""},
        {"song_id": "not-an-id"},
        {"pool_id": "default"},
    ],
)
def test_a_start_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    player = Player()
    with pytest.raises(Refusal) as refused:
        player.send(start(**changes))
    assert refused.value.code == "listening-session-invalid"


@pytest.mark.parametrize("entity", ["", "no-colon", "x:phone", f"{ENTITY} 1", f"{ENTITY}/../x"])
def test_an_entity_that_is_no_device_of_a_user_is_refused(entity: str) -> None:
    player = Player(state=listening.initial(entity))
    with pytest.raises(Refusal, match="device"):
        player.start()


def test_a_clock_that_goes_back_adds_nothing() -> None:
    player = started()
    play(player, 2)
    player.now_ms -= 60_000
    with pytest.raises(BeatTooEarly):
        player.beat(20_000)
    view = player.send(EndListening(player.session))
    assert view is not None
    assert view.played_ms == 20_000
    assert view.ended_at_ms == T0 + 20_000


def test_secrets_stay_in_the_journal() -> None:
    player = ended_and_eligible()
    entropy = b"\x01" * 32
    for event in player.events:
        if not isinstance(event, SessionOpened):
            assert b"AQEBAQ" not in msgspec.json.encode(event), type(event)
    assert player.events[0].entropy == entropy  # type: ignore[union-attr]
    assert not any(isinstance(event, BeatAccepted) and event.index < 0 for event in player.events)


def test_a_query_changes_nothing() -> None:
    player = started()
    play(player, 2)
    before, seen = player.state, len(player.events)
    asked = player.send(ResumeSession(player.session))
    assert asked is not None
    assert asked.ticket is not None
    assert (asked.played_ms, asked.ticket.index) == (20_000, 2)
    assert (player.state, len(player.events)) == (before, seen)
