"""The one end of a session: what was played, whether it counts, whether it may be rewarded."""

from __future__ import annotations

from typing import TypeAlias

from msgspec.structs import replace

from domain import statement
from domain.decision import Decision, Forget
from domain.listening import pacing
from domain.listening import session as facts
from domain.listening.session import Listening, Session, timeline_of
from domain.policy import ListeningPolicy
from domain.scoring import score
from messages.listening import (
    EndReason,
    ListenCounted,
    ListenFolded,
    ListeningEnded,
    ListeningEvent,
    ListeningScored,
)

STALE_TIMER = "stale"

Outcome: TypeAlias = Decision[ListeningEvent]


def close(
    policy: ListeningPolicy, state: Listening, session: Session, reason: EndReason, now_ms: int
) -> Outcome:
    """End at `now_ms`, or earlier if the session was stale or at its limit by then.

    What was played since the last beat counts when the player ends it or the limit does; a stale or
    superseded session stays as its last beat left it.
    """
    if pacing.is_stale(policy, session, now_ms):
        reason, now_ms = EndReason.STALE, session.credited_at_ms
    limit_at_ms = session.started_at_ms + policy.max_session_ms
    if now_ms >= limit_at_ms:
        reason, now_ms = EndReason.LIMIT, limit_at_ms
    if reason in {EndReason.ENDED, EndReason.LIMIT}:
        played_ms = pacing.played_at(policy, session, now_ms)
        session = replace(session, played_ms=max(session.played_ms, played_ms))
    return finish(policy, state, session, reason, now_ms)


def finish(
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
    after = facts.was_scored(facts.ended(session, ended), scored)
    listens = (ListenCounted(session.song_id, session.artist_id, session.played_ms, ended_at_ms),)
    folded = _folded(state, session, scored)
    events = (*before, ended, *(listens if counted else ()), *folded, scored)
    return Decision(events, pacing.view(policy, after, ended_at_ms), timers=(Forget(STALE_TIMER),))


def _scored(
    policy: ListeningPolicy, state: Listening, session: Session, ended: ListeningEnded
) -> ListeningScored:
    result = score(timeline_of(session), policy.scoring)
    bot = result.value_bps >= policy.scoring.reject_at_bps
    reasons = result.reasons if ended.counted else ("too-short", *result.reasons)
    eligible = ended.counted and not bot
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
        eligible=eligible,
        score_bps=result.value_bps,
        reasons=reasons,
        policy_version=policy.version,
        leaves=_leaves(session) if eligible else (),
    )


def _leaves(session: Session) -> tuple[str, ...]:
    """The session's leaves; none without an identity."""
    if session.commitment is None:
        return ()
    rows = facts.rows_of(session.session_id, session.entropy, session.deltas)
    leaves = statement.fold(session.commitment, session.session_id, session.pool_id, rows)
    return tuple(str(leaf) for leaf in leaves)


def _folded(
    state: Listening, session: Session, scored: ListeningScored
) -> tuple[ListenFolded, ...]:
    if not scored.leaves or session.commitment is None:
        return ()
    return (
        ListenFolded(
            session.session_id,
            state.user_id,
            session.pool_id,
            session.commitment,
            session.entropy,
            session.deltas,
            scored.leaves,
        ),
    )
