"""Questions about a session: is it live, where is it, how much was played."""

from __future__ import annotations

import hmac

from domain.listening.session import Listening, Session, nonce
from domain.policy import ListeningPolicy
from messages.listening import (
    Beat,
    Phase,
    PositionOutsideSong,
    SessionEnded,
    SessionNotFound,
    SessionStale,
    SessionView,
    Ticket,
)


def named(state: Listening, session_id: str) -> Session:
    """The device's session, if it is this one. Raises SessionNotFound."""
    if state.session is None or state.session.session_id != session_id:
        raise SessionNotFound(session_id=session_id)
    return state.session


def live(
    policy: ListeningPolicy, state: Listening, session_id: str, now_ms: int
) -> tuple[Session, int]:
    """The named session and the moment, if it is live. Raises what `require_live` does."""
    session = named(state, session_id)
    return session, require_live(policy, session, now_ms)


def require_live(policy: ListeningPolicy, session: Session, now_ms: int) -> int:
    """The moment, never before the last one seen: a new owner's clock may be behind the old's."""
    if session.phase is not Phase.ACTIVE:
        raise SessionEnded(session_id=session.session_id)
    if is_stale(policy, session, now_ms):
        raise SessionStale(session_id=session.session_id)
    return max(now_ms, session.seen_at_ms)


def is_stale(policy: ListeningPolicy, session: Session, now_ms: int) -> bool:
    """Whether the last sign of life is too long ago."""
    return now_ms >= session.seen_at_ms + policy.stale_ms


def over_at(policy: ListeningPolicy, session: Session) -> int:
    """When the session ends if nothing more is heard."""
    return min(session.seen_at_ms + policy.stale_ms, session.started_at_ms + policy.max_session_ms)


def nonce_matches(session: Session, command: Beat) -> bool:
    """Whether the command holds the secret of the ticket it names (compared in constant time)."""
    known = nonce(session.entropy, session.session_id, command.index)
    return hmac.compare_digest(known, command.nonce)


def check_position(policy: ListeningPolicy, session: Session, position_ms: int) -> None:
    """Raise PositionOutsideSong."""
    if not 0 <= position_ms <= session.song_duration_ms + policy.position_tolerance_ms:
        raise PositionOutsideSong(song_duration_ms=session.song_duration_ms)


def played_at(policy: ListeningPolicy, session: Session, moment_ms: int) -> int:
    """Played time at a moment: a ticket is worth one interval, the song no more than its length."""
    if not session.playing:
        return session.played_ms
    worth = policy.beat_interval_ms + policy.pace_tolerance_ms - session.credited_ms
    passed = max(0, min(moment_ms - session.credited_at_ms, worth))
    return min(session.played_ms + passed, session.song_duration_ms)


def expected_position(session: Session, position_ms: int, now_ms: int) -> int:
    """Where playback had to be: at the song's end it may stop or begin again."""
    plain = session.position_at(now_ms)
    choices = (min(plain, session.song_duration_ms), plain % session.song_duration_ms)
    return min(choices, key=lambda choice: abs(choice - position_ms))


def view(policy: ListeningPolicy, session: Session, now_ms: int) -> SessionView:
    """What a player is told."""
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
        session.commitment is not None,
    )
