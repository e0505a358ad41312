"""What each command does to a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from domain.decision import Decision, Remind
from domain.listening import pacing
from domain.listening import session as facts
from domain.listening.ending import STALE_TIMER, Outcome, close, finish
from domain.listening.session import Listening, Session
from domain.policy import BPS, ListeningPolicy
from messages.keys import is_id
from messages.listening import (
    DEVICE_ID,
    ENTROPY_BYTES,
    BadSession,
    Beat,
    BeatAccepted,
    BeatTooEarly,
    CheckStale,
    EndListening,
    EndReason,
    ListeningCommand,
    ListeningEvent,
    ListeningStarted,
    PausePlayback,
    Phase,
    PlaybackPaused,
    PlaybackResumed,
    PlaybackSought,
    PlaybackWasPaused,
    ResumePlayback,
    ResumeSession,
    Seek,
    SessionExists,
    SessionOpened,
    StartListening,
    WrongBeatIndex,
    WrongBeatNonce,
)


def decide(
    policy: ListeningPolicy, state: Listening, command: ListeningCommand, now_ms: int
) -> Outcome:
    """What a command does. Raises the Refusals of `messages.listening`."""
    return _DECIDERS[type(command)](policy, state, command, now_ms)


def _start(
    policy: ListeningPolicy, state: Listening, command: StartListening, now_ms: int
) -> Outcome:
    _check_start(policy, command)
    if not is_id(state.user_id) or not DEVICE_ID.fullmatch(state.device_id):
        raise BadSession("the entity is not <user id>:<device id>", field="device_id")
    ending: tuple[ListeningEvent, ...] = ()
    if (old := state.session) is not None:
        if old.session_id == command.session_id:
            raise SessionExists(session_id=command.session_id)
        now_ms = max(now_ms, old.seen_at_ms)
        if old.phase is Phase.ACTIVE:
            ending = close(policy, state, old, EndReason.SUPERSEDED, now_ms).events
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
    answer = pacing.view(policy, facts.opened(opened), now_ms)
    timer = Remind(STALE_TIMER, now_ms + policy.stale_ms)
    return Decision((*ending, opened, started), answer, timers=(timer,))


def _check_start(policy: ListeningPolicy, command: StartListening) -> None:
    if not policy.min_song_ms <= command.song_duration_ms <= policy.max_song_ms:
        raise BadSession("the song's length is out of range", field="song_duration_ms")
    if not BPS <= command.boost_bps <= policy.max_boost_bps:
        raise BadSession("the boost is out of range", field="boost_bps")
    if len(command.entropy) != ENTROPY_BYTES:
        raise BadSession(f"entropy must be {ENTROPY_BYTES} bytes", field="entropy")
    for field in ("session_id", "song_id", "artist_id", "pool_id"):
        if not is_id(getattr(command, field)):
            raise BadSession("this is not an id", field=field)


def _beat(policy: ListeningPolicy, state: Listening, command: Beat, now_ms: int) -> Outcome:
    session = pacing.named(state, command.session_id)
    repeated = command.index == session.beats - 1 and pacing.nonce_matches(session, command)
    if session.phase is Phase.ACTIVE or not repeated:
        now_ms = pacing.require_live(policy, session, now_ms)
    if repeated:  # the answer was lost: give it again
        return Decision(answer=pacing.view(policy, session, now_ms))
    _check_ticket(policy, session, command, now_ms)
    accepted = BeatAccepted(
        session.session_id,
        command.index,
        now_ms,
        command.position_ms,
        pacing.expected_position(session, command.position_ms, now_ms),
        pacing.played_at(policy, session, now_ms),
        max(now_ms, session.due_at_ms) + policy.beat_interval_ms,
    )
    after = facts.beat_accepted(session, accepted)
    limit_at_ms = session.started_at_ms + policy.max_session_ms
    if accepted.due_at_ms < limit_at_ms:
        return Decision((accepted,), pacing.view(policy, after, now_ms))
    ended_at_ms = min(now_ms, limit_at_ms)
    return finish(policy, state, after, EndReason.LIMIT, ended_at_ms, before=(accepted,))


def _check_ticket(policy: ListeningPolicy, session: Session, command: Beat, now_ms: int) -> None:
    if not session.playing:
        raise PlaybackPaused
    if command.index != session.beats:
        raise WrongBeatIndex(expected=session.beats)
    if not pacing.nonce_matches(session, command):
        raise WrongBeatNonce
    pacing.check_position(policy, session, command.position_ms)
    if now_ms < session.due_at_ms - policy.pace_tolerance_ms:
        raise BeatTooEarly(retry_after_ms=session.due_at_ms - now_ms)


def _seek(policy: ListeningPolicy, state: Listening, command: Seek, now_ms: int) -> Outcome:
    session, now_ms = pacing.live(policy, state, command.session_id, now_ms)
    pacing.check_position(policy, session, command.position_ms)
    event = PlaybackSought(session.session_id, now_ms, command.position_ms)
    return Decision((event,), pacing.view(policy, facts.sought(session, event), now_ms))


def _pause(
    policy: ListeningPolicy, state: Listening, command: PausePlayback, now_ms: int
) -> Outcome:
    session, now_ms = pacing.live(policy, state, command.session_id, now_ms)
    if not session.playing:
        return Decision(answer=pacing.view(policy, session, now_ms))
    event = PlaybackWasPaused(
        session.session_id,
        now_ms,
        min(session.position_at(now_ms), session.song_duration_ms),
        pacing.played_at(policy, session, now_ms),
        max(0, session.due_at_ms - now_ms),
    )
    return Decision((event,), pacing.view(policy, facts.paused(session, event), now_ms))


def _resume(
    policy: ListeningPolicy, state: Listening, command: ResumePlayback, now_ms: int
) -> Outcome:
    session, now_ms = pacing.live(policy, state, command.session_id, now_ms)
    if session.playing:
        return Decision(answer=pacing.view(policy, session, now_ms))
    event = PlaybackResumed(session.session_id, now_ms, now_ms + session.due_in_ms)
    return Decision((event,), pacing.view(policy, facts.resumed(session, event), now_ms))


def _end(policy: ListeningPolicy, state: Listening, command: EndListening, now_ms: int) -> Outcome:
    session = pacing.named(state, command.session_id)
    if session.phase is not Phase.ACTIVE:
        return Decision(answer=pacing.view(policy, session, now_ms))
    return close(policy, state, session, EndReason.ENDED, max(now_ms, session.seen_at_ms))


def _query(
    policy: ListeningPolicy, state: Listening, command: ResumeSession, now_ms: int
) -> Outcome:
    session = pacing.named(state, command.session_id)
    if session.phase is Phase.ACTIVE:
        now_ms = pacing.require_live(policy, session, now_ms)
    return Decision(answer=pacing.view(policy, session, now_ms))


def _check_stale(
    policy: ListeningPolicy, state: Listening, _command: CheckStale, now_ms: int
) -> Outcome:
    session = state.session
    if session is None or session.phase is not Phase.ACTIVE:
        return Decision()
    if now_ms >= pacing.over_at(policy, session):
        return close(policy, state, session, EndReason.LIMIT, now_ms)
    # Armed anew only here, so that beats never write a timer.
    return Decision(timers=(Remind(STALE_TIMER, pacing.over_at(policy, session)),))


_DECIDERS: dict[type, Callable[[ListeningPolicy, Listening, Any, int], Outcome]] = {
    StartListening: _start,
    Beat: _beat,
    Seek: _seek,
    PausePlayback: _pause,
    ResumePlayback: _resume,
    EndListening: _end,
    ResumeSession: _query,
    CheckStale: _check_stale,
}
