"""Listening sessions: server-paced beats, played time that nobody can inflate, one end.

The server hands out one ticket at a time; a ticket is worth at most one beat interval (and the
pace tolerance) of played time, and only time that passed on the server while playing. So played
time never exceeds wall time, nor the song's length, whatever a client sends.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from domain.decision import Decision, Forget, Remind
from domain.policy import BPS, ListeningPolicy
from domain.scoring import TimelineBeat, score
from messages.errors import Refusal
from messages.listening import (
    ENTROPY_BYTES,
    NONCE_BYTES,
    BadSession,
    Beat,
    BeatAccepted,
    BeatTooEarly,
    CheckStale,
    ClaimListen,
    EndListening,
    EndReason,
    ListenClaimed,
    ListenCounted,
    ListeningCommand,
    ListeningEnded,
    ListeningEvent,
    ListeningScored,
    ListeningStarted,
    NotClaimable,
    PausePlayback,
    Phase,
    PlaybackPaused,
    PlaybackResumed,
    PlaybackSought,
    PlaybackWasPaused,
    PositionOutsideSong,
    ResumePlayback,
    ResumeSession,
    Seek,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    SessionOpened,
    SessionStale,
    SessionView,
    StartListening,
    Ticket,
    Tier,
    WrongBeatIndex,
    WrongBeatNonce,
)

STALE_TIMER = "stale"
MAX_AWAITING = 16  # eligible sessions of a device whose reward is still on its way
_ROW = struct.Struct("<III")  # a beat in the timeline: at (after the start), position, expected

Outcome: TypeAlias = Decision[ListeningEvent]


class Session(msgspec.Struct, frozen=True):
    """A session in progress, or the device's last one.

    credited_at_ms: up to when played time is counted.  credited_ms: how much of the present
    ticket's worth is used.  seen_at_ms: the last sign of life.  anchor_*: where playback was, when.
    due_in_ms: while paused, what was left of the interval.  timeline: a packed row per beat; row i
    belongs to nonce i, which is all that folding the tickets needs.
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

    def position_at(self, moment_ms: int) -> int:
        """Where undisturbed playback is at a moment (not wrapped at the end of the song)."""
        elapsed = moment_ms - self.anchor_at_ms if self.playing else 0
        return self.anchor_position_ms + max(0, elapsed)


class Listening(msgspec.Struct, frozen=True):
    """What a device's entity remembers. `awaiting`: earlier eligible sessions not yet claimed."""

    user_id: str
    device_id: str
    session: Session | None = None
    awaiting: tuple[str, ...] = ()


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


def decide(
    policy: ListeningPolicy, state: Listening, command: ListeningCommand, now_ms: int
) -> Outcome:
    """What a command does. Raises the Refusals of `messages.listening`."""
    return _DECIDERS[type(command)](policy, state, command, now_ms)


def evolve(state: Listening, event: ListeningEvent) -> Listening:
    """The state after a fact."""
    if isinstance(event, SessionOpened):
        return replace(state, session=_opened(event), awaiting=_still_awaiting(state))
    session = state.session
    if isinstance(event, ListenClaimed):
        state = replace(state, awaiting=tuple(s for s in state.awaiting if s != event.session_id))
    change = _CHANGES.get(type(event))
    if change is None or session is None or session.session_id != event.session_id:  # type: ignore[union-attr]
        return state
    return replace(state, session=change(session, event))


# --- deciders -----------------------------------------------------------------------------------


def _start(
    policy: ListeningPolicy, state: Listening, command: StartListening, now_ms: int
) -> Outcome:
    _check_start(policy, command)
    ending: tuple[ListeningEvent, ...] = ()
    if (old := state.session) is not None:
        if old.session_id == command.session_id:
            raise SessionExists(session_id=command.session_id)
        now_ms = max(now_ms, old.seen_at_ms)
        if old.phase is Phase.ACTIVE:
            ending = _superseded(policy, state, old, now_ms)
    opened = SessionOpened(
        **msgspec.structs.asdict(command), at_ms=now_ms, due_at_ms=now_ms + policy.beat_interval_ms
    )
    started = ListeningStarted(
        command.session_id,
        state.user_id,
        state.device_id,
        command.song_id,
        command.artist_id,
        command.pool_id,
        now_ms,
    )
    answer = _view(policy, _opened(opened), now_ms)
    timer = Remind(STALE_TIMER, now_ms + policy.stale_ms)
    return Decision((*ending, opened, started), answer, timers=(timer,))


def _check_start(policy: ListeningPolicy, command: StartListening) -> None:
    if not policy.min_song_ms <= command.song_duration_ms <= policy.max_song_ms:
        raise BadSession("the song's length is out of range", field="song_duration_ms")
    if not BPS <= command.boost_bps <= policy.max_boost_bps:
        raise BadSession("the boost is out of range", field="boost_bps")
    if len(command.entropy) != ENTROPY_BYTES:
        raise BadSession(f"entropy must be {ENTROPY_BYTES} bytes", field="entropy")
    if not command.session_id or not command.song_id or not command.artist_id:
        raise BadSession("an id is missing", field="session_id")


def _beat(policy: ListeningPolicy, state: Listening, command: Beat, now_ms: int) -> Outcome:
    session = _named(state, command.session_id)
    if command.index == session.beats - 1 and _nonce_matches(session, command):
        return Decision(answer=_view(policy, session, now_ms))  # a repeat after a lost answer
    now_ms = _require_live(policy, session, now_ms)
    _check_ticket(policy, session, command, now_ms)
    accepted = BeatAccepted(
        session.session_id,
        command.index,
        now_ms,
        command.position_ms,
        _expected(session, command.position_ms, now_ms),
        _played_at(policy, session, now_ms),
        max(now_ms, session.due_at_ms) + policy.beat_interval_ms,
    )
    after = _beat_accepted(session, accepted)
    if accepted.due_at_ms < session.started_at_ms + policy.max_session_ms:
        return Decision((accepted,), _view(policy, after, now_ms))
    return _finish(policy, state, after, EndReason.LIMIT, now_ms, before=(accepted,))


def _check_ticket(policy: ListeningPolicy, session: Session, command: Beat, now_ms: int) -> None:
    if not session.playing:
        raise PlaybackPaused
    if command.index != session.beats:
        raise WrongBeatIndex(expected=session.beats)
    if not _nonce_matches(session, command):
        raise WrongBeatNonce
    _check_position(policy, session, command.position_ms)
    if now_ms < session.due_at_ms - policy.pace_tolerance_ms:
        raise BeatTooEarly(retry_after_ms=session.due_at_ms - now_ms)


def _seek(policy: ListeningPolicy, state: Listening, command: Seek, now_ms: int) -> Outcome:
    session, now_ms = _live(policy, state, command.session_id, now_ms)
    _check_position(policy, session, command.position_ms)
    event = PlaybackSought(session.session_id, now_ms, command.position_ms)
    return Decision((event,), _view(policy, _sought(session, event), now_ms))


def _pause(
    policy: ListeningPolicy, state: Listening, command: PausePlayback, now_ms: int
) -> Outcome:
    session, now_ms = _live(policy, state, command.session_id, now_ms)
    if not session.playing:
        return Decision(answer=_view(policy, session, now_ms))
    event = PlaybackWasPaused(
        session.session_id,
        now_ms,
        min(session.position_at(now_ms), session.song_duration_ms),
        _played_at(policy, session, now_ms),
        max(0, session.due_at_ms - now_ms),
    )
    return Decision((event,), _view(policy, _paused(session, event), now_ms))


def _resume(
    policy: ListeningPolicy, state: Listening, command: ResumePlayback, now_ms: int
) -> Outcome:
    session, now_ms = _live(policy, state, command.session_id, now_ms)
    if session.playing:
        return Decision(answer=_view(policy, session, now_ms))
    event = PlaybackResumed(session.session_id, now_ms, now_ms + session.due_in_ms)
    return Decision((event,), _view(policy, _resumed(session, event), now_ms))


def _end(policy: ListeningPolicy, state: Listening, command: EndListening, now_ms: int) -> Outcome:
    session = _named(state, command.session_id)
    if session.phase is not Phase.ACTIVE:
        return Decision(answer=_view(policy, session, now_ms))
    return _close(policy, state, session, EndReason.ENDED, max(now_ms, session.seen_at_ms))


def _query(
    policy: ListeningPolicy, state: Listening, command: ResumeSession, now_ms: int
) -> Outcome:
    session = _named(state, command.session_id)
    if session.phase is Phase.ACTIVE:
        now_ms = _require_live(policy, session, now_ms)
    return Decision(answer=_view(policy, session, now_ms))


def _check_stale(
    policy: ListeningPolicy, state: Listening, _command: CheckStale, now_ms: int
) -> Outcome:
    session = state.session
    if session is None or session.phase is not Phase.ACTIVE:
        return Decision()
    if now_ms >= _over_at(policy, session):
        reason = EndReason.STALE if _is_stale(policy, session, now_ms) else EndReason.LIMIT
        return _close(policy, state, session, reason, now_ms)
    # Armed anew only here, so that beats never write a timer.
    return Decision(timers=(Remind(STALE_TIMER, _over_at(policy, session)),))


def _claim(
    _policy: ListeningPolicy, state: Listening, command: ClaimListen, now_ms: int
) -> Outcome:
    session = state.session
    current = session is not None and session.session_id == command.session_id
    if session is not None and current and session.phase is Phase.ELIGIBLE:
        return Decision((ListenClaimed(command.session_id, now_ms),))
    if command.session_id in state.awaiting:
        return Decision((ListenClaimed(command.session_id, now_ms),))
    raise NotClaimable(session_id=command.session_id)


# --- the end of a session -----------------------------------------------------------------------


def _superseded(
    policy: ListeningPolicy, state: Listening, old: Session, now_ms: int
) -> tuple[ListeningEvent, ...]:
    reason = EndReason.STALE if _is_stale(policy, old, now_ms) else EndReason.SUPERSEDED
    return _close(policy, state, old, reason, now_ms).events


def _close(
    policy: ListeningPolicy, state: Listening, session: Session, reason: EndReason, now_ms: int
) -> Outcome:
    """End at `now_ms`, with what was played since the last beat unless nobody was there."""
    if _is_stale(policy, session, now_ms):
        reason, now_ms = EndReason.STALE, session.credited_at_ms
    limit_at_ms = session.started_at_ms + policy.max_session_ms
    if now_ms >= limit_at_ms:
        reason, now_ms = EndReason.LIMIT, limit_at_ms
    if reason in {EndReason.ENDED, EndReason.LIMIT}:
        played_ms = _played_at(policy, session, now_ms)
        session = replace(session, played_ms=max(session.played_ms, played_ms))
    return _finish(policy, state, session, reason, now_ms)


def _finish(
    policy: ListeningPolicy,
    state: Listening,
    session: Session,
    reason: EndReason,
    ended_at_ms: int,
    before: tuple[ListeningEvent, ...] = (),
) -> Outcome:
    counted = session.played_ms >= min(policy.counts_at_ms, session.song_duration_ms // 2)
    ended = ListeningEnded(
        session.session_id,
        state.user_id,
        state.device_id,
        session.song_id,
        session.artist_id,
        session.pool_id,
        session.started_at_ms,
        ended_at_ms,
        session.played_ms,
        session.beats,
        reason,
        counted,
    )
    scored = _scored(policy, state, session, ended)
    after = _was_scored(_ended(session, ended), scored)
    listens = (ListenCounted(session.song_id, session.artist_id, session.played_ms, ended_at_ms),)
    events = (*before, ended, *(listens if counted else ()), scored)
    return Decision(events, _view(policy, after, ended_at_ms), timers=(Forget(STALE_TIMER),))


def _scored(
    policy: ListeningPolicy, state: Listening, session: Session, ended: ListeningEnded
) -> ListeningScored:
    result = score(timeline_of(session), policy.scoring)
    bot = result.value_bps >= policy.scoring.reject_at_bps
    reasons = result.reasons if ended.counted else ("too-short", *result.reasons)
    return ListeningScored(
        session_id=session.session_id,
        user_id=state.user_id,
        device_id=state.device_id,
        song_id=session.song_id,
        artist_id=session.artist_id,
        pool_id=session.pool_id,
        tier=session.tier,
        boost_bps=session.boost_bps,
        time_zone=session.time_zone,
        ended_at_ms=ended.ended_at_ms,
        played_ms=session.played_ms,
        eligible=ended.counted and not bot,
        score_bps=result.value_bps,
        reasons=reasons,
        policy_version=policy.version,
    )


# --- questions about a session ------------------------------------------------------------------


def _named(state: Listening, session_id: str) -> Session:
    if state.session is None or state.session.session_id != session_id:
        raise SessionNotFound(session_id=session_id)
    return state.session


def _live(
    policy: ListeningPolicy, state: Listening, session_id: str, now_ms: int
) -> tuple[Session, int]:
    session = _named(state, session_id)
    return session, _require_live(policy, session, now_ms)


def _require_live(policy: ListeningPolicy, session: Session, now_ms: int) -> int:
    """The moment, never before the last one seen: a new owner's clock may be behind the old one's."""
    if session.phase is not Phase.ACTIVE:
        raise SessionEnded(session_id=session.session_id)
    if _is_stale(policy, session, now_ms):
        raise SessionStale(session_id=session.session_id)
    return max(now_ms, session.seen_at_ms)


def _is_stale(policy: ListeningPolicy, session: Session, now_ms: int) -> bool:
    return now_ms >= session.seen_at_ms + policy.stale_ms


def _over_at(policy: ListeningPolicy, session: Session) -> int:
    return min(session.seen_at_ms + policy.stale_ms, session.started_at_ms + policy.max_session_ms)


def _nonce_matches(session: Session, command: Beat) -> bool:
    known = nonce(session.entropy, session.session_id, command.index)
    return hmac.compare_digest(known, command.nonce)


def _check_position(policy: ListeningPolicy, session: Session, position_ms: int) -> None:
    if not 0 <= position_ms <= session.song_duration_ms + policy.position_tolerance_ms:
        raise PositionOutsideSong(song_duration_ms=session.song_duration_ms)


def _played_at(policy: ListeningPolicy, session: Session, moment_ms: int) -> int:
    """Played time at a moment: a ticket is worth one interval, the song no more than its length."""
    if not session.playing:
        return session.played_ms
    worth = policy.beat_interval_ms + policy.pace_tolerance_ms - session.credited_ms
    passed = max(0, min(moment_ms - session.credited_at_ms, worth))
    return min(session.played_ms + passed, session.song_duration_ms)


def _expected(session: Session, position_ms: int, now_ms: int) -> int:
    """Where playback had to be: at the song's end it may stop or begin again."""
    plain = session.position_at(now_ms)
    choices = (min(plain, session.song_duration_ms), plain % session.song_duration_ms)
    return min(choices, key=lambda choice: abs(choice - position_ms))


def _view(policy: ListeningPolicy, session: Session, now_ms: int) -> SessionView:
    ticket = None
    if session.phase is Phase.ACTIVE:
        due_at_ms = session.due_at_ms if session.playing else now_ms + session.due_in_ms
        secret = nonce(session.entropy, session.session_id, session.beats)
        ticket = Ticket(session.beats, secret, due_at_ms, policy.beat_interval_ms)
    return SessionView(
        session.session_id,
        session.song_id,
        session.phase,
        session.playing,
        session.played_ms,
        session.anchor_position_ms,
        session.started_at_ms,
        session.ended_at_ms,
        session.counted,
        session.score_bps,
        ticket,
    )


# --- facts --------------------------------------------------------------------------------------


def _opened(event: SessionOpened) -> Session:
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
    )


def _still_awaiting(state: Listening) -> tuple[str, ...]:
    old = state.session
    if old is None or old.phase is not Phase.ELIGIBLE:
        return state.awaiting
    return (*state.awaiting, old.session_id)[-MAX_AWAITING:]


def _beat_accepted(session: Session, event: BeatAccepted) -> Session:
    row = _ROW.pack(event.at_ms - session.started_at_ms, event.position_ms, event.expected_ms)
    return replace(
        session,
        timeline=session.timeline + row,
        beats=event.index + 1,
        played_ms=event.played_ms,
        credited_at_ms=event.at_ms,
        credited_ms=0,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        anchor_position_ms=event.position_ms,
        due_at_ms=event.due_at_ms,
    )


def _sought(session: Session, event: PlaybackSought) -> Session:
    return replace(
        session,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        anchor_position_ms=event.position_ms,
    )


def _paused(session: Session, event: PlaybackWasPaused) -> Session:
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


def _resumed(session: Session, event: PlaybackResumed) -> Session:
    return replace(
        session,
        playing=True,
        credited_at_ms=event.at_ms,
        seen_at_ms=event.at_ms,
        anchor_at_ms=event.at_ms,
        due_at_ms=event.due_at_ms,
    )


def _ended(session: Session, event: ListeningEnded) -> Session:
    return replace(
        session,
        phase=Phase.ENDED,
        playing=False,
        played_ms=event.played_ms,
        ended_at_ms=event.ended_at_ms,
        counted=event.counted,
    )


def _was_scored(session: Session, event: ListeningScored) -> Session:
    phase = Phase.ELIGIBLE if event.eligible else Phase.REJECTED
    return replace(session, phase=phase, score_bps=event.score_bps)


def _claimed(session: Session, _event: ListenClaimed) -> Session:
    return replace(session, phase=Phase.CLAIMED)


_DECIDERS: dict[type, Callable[[ListeningPolicy, Listening, Any, int], Outcome]] = {
    StartListening: _start,
    Beat: _beat,
    Seek: _seek,
    PausePlayback: _pause,
    ResumePlayback: _resume,
    EndListening: _end,
    ResumeSession: _query,
    CheckStale: _check_stale,
    ClaimListen: _claim,
}
_CHANGES: dict[type, Callable[[Session, Any], Session]] = {
    BeatAccepted: _beat_accepted,
    PlaybackSought: _sought,
    PlaybackWasPaused: _paused,
    PlaybackResumed: _resumed,
    ListeningEnded: _ended,
    ListeningScored: _was_scored,
    ListenClaimed: _claimed,
}
