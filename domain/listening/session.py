"""What a device's entity remembers, and how facts change it. No policy: facts carry the values."""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.scoring import TimelineBeat
from domain.statement import MAX_DELTA_MS, Row
from messages.listening import (
    NONCE_BYTES,
    BeatAccepted,
    ListenClaimed,
    ListeningEnded,
    ListeningEvent,
    ListeningScored,
    Phase,
    PlaybackResumed,
    PlaybackSought,
    PlaybackWasPaused,
    SessionOpened,
    Tier,
)

_DELTA = struct.Struct("<H")  # what a beat was credited
_ROW = struct.Struct("<III")  # a beat in the timeline: at (after the start), position, expected


class Session(msgspec.Struct, frozen=True):
    """A session in progress, or the device's last one.

    credited_at_ms: up to when played time is counted.  credited_ms: how much of the present
    ticket's worth is used.  seen_at_ms: the last sign of life.  anchor_*: where playback was, when.
    due_in_ms: while paused, what was left of the interval.  timeline: a packed row per beat.
    deltas: what each beat was credited, packed; `folded_ms` is their sum. Delta i belongs to nonce
    i, which is all that folding the tickets into leaves needs.
    """

    session_id: str
    song_id: str
    artist_id: str
    song_duration_ms: int
    pool_id: str
    tier: Tier
    boost_bps: int
    time_zone: str
    entropy: bytes
    started_at_ms: int
    due_at_ms: int
    credited_at_ms: int
    seen_at_ms: int
    anchor_at_ms: int
    anchor_position_ms: int = 0
    due_in_ms: int = 0
    credited_ms: int = 0
    played_ms: int = 0
    ended_at_ms: int = 0
    beats: int = 0
    score_bps: int = 0
    phase: Phase = Phase.ACTIVE
    playing: bool = True
    counted: bool = False
    timeline: bytes = b""
    commitment: str | None = None
    deltas: bytes = b""
    folded_ms: int = 0

    def position_at(self, moment_ms: int) -> int:
        """Where undisturbed playback is at a moment (not wrapped at the end of the song)."""
        elapsed = moment_ms - self.anchor_at_ms if self.playing else 0
        return self.anchor_position_ms + max(0, elapsed)


class Listening(msgspec.Struct, frozen=True):
    """What a device's entity remembers: its present session, or its last one."""

    user_id: str
    device_id: str
    session: Session | None = None


def initial(entity_id: str) -> Listening:
    """The state of `<user id>:<device id>` before its first session."""
    user_id, _, device_id = entity_id.partition(":")
    return Listening(user_id, device_id)


def nonce(entropy: bytes, session_id: str, index: int) -> bytes:
    """The secret of ticket `index`: known only once the ticket is given out."""
    data = f"{session_id}/{index}".encode()
    return blake2b(data, key=entropy, digest_size=NONCE_BYTES).digest()


def timeline_of(session: Session) -> list[TimelineBeat]:
    """The accepted beats in order."""
    rows = enumerate(_ROW.iter_unpack(session.timeline))
    start = session.started_at_ms
    return [TimelineBeat(i, start + at, where, due) for i, (at, where, due) in rows]


def rows_of(session_id: str, entropy: bytes, deltas: bytes) -> list[Row]:
    """The rows of a session's stretches: its beats in order, but those that credited nothing."""
    credited = enumerate(_DELTA.iter_unpack(deltas))
    return [Row(nonce(entropy, session_id, i), delta) for i, (delta,) in credited if delta]


def evolve(state: Listening, event: ListeningEvent) -> Listening:
    """The state after a fact."""
    if isinstance(event, SessionOpened):
        return replace(state, session=opened(event))
    session = state.session
    change = _CHANGES.get(type(event))
    if change is None or session is None or session.session_id != event.session_id:  # type: ignore[union-attr]
        return state
    return replace(state, session=change(session, event))


def opened(event: SessionOpened) -> Session:
    """A session from its first fact."""
    return Session(
        session_id=event.session_id,
        song_id=event.song_id,
        artist_id=event.artist_id,
        song_duration_ms=event.song_duration_ms,
        pool_id=event.pool_id,
        tier=event.tier,
        boost_bps=event.boost_bps,
        time_zone=event.time_zone,
        entropy=event.entropy,
        started_at_ms=event.at_ms,
        due_at_ms=event.due_at_ms,
        credited_at_ms=event.at_ms,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        commitment=event.commitment,
    )


def beat_accepted(session: Session, event: BeatAccepted) -> Session:
    """A new ticket, worth a whole interval again."""
    # Above the bound only where a snapshot from before folding lacks the beats so far.
    credited_ms = min(event.played_ms - session.folded_ms, MAX_DELTA_MS)
    row = _ROW.pack(event.at_ms - session.started_at_ms, event.position_ms, event.expected_ms)
    return replace(
        session,
        timeline=session.timeline + row,
        deltas=session.deltas + _DELTA.pack(credited_ms),
        folded_ms=event.played_ms,
        beats=event.index + 1,
        played_ms=event.played_ms,
        credited_at_ms=event.at_ms,
        credited_ms=0,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        anchor_position_ms=event.position_ms,
        due_at_ms=event.due_at_ms,
    )


def sought(session: Session, event: PlaybackSought) -> Session:
    """Only where playback is changes, not what was played."""
    return replace(
        session,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        anchor_position_ms=event.position_ms,
    )


def paused(session: Session, event: PlaybackWasPaused) -> Session:
    """What was played of the present ticket is counted, and used up."""
    return replace(
        session,
        playing=False,
        credited_ms=session.credited_ms + event.played_ms - session.played_ms,
        played_ms=event.played_ms,
        credited_at_ms=event.at_ms,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        anchor_position_ms=event.position_ms,
        due_in_ms=event.due_in_ms,
    )


def resumed(session: Session, event: PlaybackResumed) -> Session:
    """Playing again, the rest of the interval still to go."""
    return replace(
        session,
        playing=True,
        credited_at_ms=event.at_ms,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        due_at_ms=event.due_at_ms,
    )


def ended(session: Session, event: ListeningEnded) -> Session:
    """Over."""
    return replace(
        session,
        phase=Phase.ENDED,
        playing=False,
        played_ms=event.played_ms,
        ended_at_ms=event.ended_at_ms,
        counted=event.counted,
    )


def was_scored(session: Session, event: ListeningScored) -> Session:
    """Eligible or rejected."""
    phase = Phase.ELIGIBLE if event.eligible else Phase.REJECTED
    return replace(session, phase=phase, score_bps=event.score_bps)


def claimed(session: Session, _event: ListenClaimed) -> Session:
    """Rewarded, before there were proofs."""
    return replace(session, phase=Phase.CLAIMED)


_CHANGES: dict[type, Callable[[Session, Any], Session]] = {
    BeatAccepted: beat_accepted,
    PlaybackSought: sought,
    PlaybackWasPaused: paused,
    PlaybackResumed: resumed,
    ListeningEnded: ended,
    ListeningScored: was_scored,
    ListenClaimed: claimed,
}
