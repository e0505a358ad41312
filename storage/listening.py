"""The read model of listening sessions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from messages.listening import (
    ListenFolded,
    ListeningEnded,
    ListeningEvent,
    ListeningScored,
    ListeningStarted,
)
from storage.database import Connection, Pool
from storage.rows import execute_rows

ADD_STARTED = """
insert into listening.sessions
    (session_id, user_id, device_id, song_id, artist_id, pool_id, phase, started_at_ms)
select s.session_id, s.user_id, s.device_id, s.song_id, s.artist_id, s.pool_id, 'active', s.at_ms
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::bigint[])
    as s (session_id, user_id, device_id, song_id, artist_id, pool_id, at_ms)"""
SET_ENDED = """
update listening.sessions s
set phase = 'ended', ended_at_ms = e.ended_at_ms, end_reason = e.reason, played_ms = e.played_ms,
    beats = e.beats, counted = e.counted
from unnest($1::uuid[], $2::bigint[], $3::text[], $4::integer[], $5::integer[], $6::boolean[])
    as e (session_id, ended_at_ms, reason, played_ms, beats, counted)
where s.session_id = e.session_id"""
# Reasons travel as one text, as PostgreSQL has no arrays of ragged arrays.
SET_SCORED = """
update listening.sessions s
set phase = case when e.eligible then 'eligible' else 'rejected' end, score_bps = e.score_bps,
    reasons = string_to_array(e.reasons, ' ')
from unnest($1::uuid[], $2::boolean[], $3::integer[], $4::text[])
    as e (session_id, eligible, score_bps, reasons)
where s.session_id = e.session_id"""
ADD_FOLDED = """
insert into listening.folds
    (session_id, user_id, pool_id, commitment, entropy, deltas, leaves)
select f.session_id, f.user_id, f.pool_id, f.commitment, f.entropy, f.deltas,
    string_to_array(f.leaves, ' ')
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::text[])
    as f (session_id, user_id, pool_id, commitment, entropy, deltas, leaves)"""
GET_FOLDED = """
select session_id::text, pool_id::text, commitment, entropy, deltas, leaves
from listening.folds where session_id = $1 and user_id = $2"""
_COLUMNS = """
    session_id::text, user_id::text, device_id, song_id::text, artist_id::text, pool_id::text,
    phase, started_at_ms, ended_at_ms, end_reason, played_ms, beats, counted, score_bps, reasons
    from listening.sessions"""
GET = f"select {_COLUMNS} where session_id = $1 and user_id = $2"
NEWEST = f"""
select {_COLUMNS}
where user_id = $1 and (started_at_ms, session_id) < ($2, $3)
order by started_at_ms desc, session_id desc limit $4"""


class SessionRow(msgspec.Struct, frozen=True):
    """A session as its listener may see it. `played_ms` and `beats` are known once it has ended."""

    session_id: str
    user_id: str
    device_id: str
    song_id: str
    artist_id: str
    pool_id: str
    phase: str
    started_at_ms: int
    ended_at_ms: int | None
    end_reason: str | None
    played_ms: int
    beats: int
    counted: bool
    score_bps: int | None
    reasons: list[str]


class FoldRow(msgspec.Struct, frozen=True):
    """What a claimable session's witness is made of."""

    session_id: str
    pool_id: str
    commitment: str
    entropy: bytes
    deltas: bytes
    leaves: list[str]


async def write(connection: Connection, events: Sequence[ListeningEvent]) -> None:
    """Bring the read model up to a batch of facts, in the batch's transaction.

    A session has at most one fact of each kind, and they come in this order.
    """
    started = [
        (e.session_id, e.user_id, e.device_id, e.song_id, e.artist_id, e.pool_id, e.at_ms)
        for e in events
        if isinstance(e, ListeningStarted)
    ]
    await execute_rows(connection, ADD_STARTED, started)
    ended = [
        (e.session_id, e.ended_at_ms, e.reason.value, e.played_ms, e.beats, e.counted)
        for e in events
        if isinstance(e, ListeningEnded)
    ]
    await execute_rows(connection, SET_ENDED, ended)
    scored = [
        (e.session_id, e.eligible, e.score_bps, " ".join(e.reasons))
        for e in events
        if isinstance(e, ListeningScored)
    ]
    await execute_rows(connection, SET_SCORED, scored)
    folded = [
        (e.session_id, e.user_id, e.pool_id, e.commitment, e.entropy, e.deltas, " ".join(e.leaves))
        for e in events
        if isinstance(e, ListenFolded)
    ]
    await execute_rows(connection, ADD_FOLDED, folded)


async def get_session(pool: Pool, session_id: str, user_id: str) -> SessionRow | None:
    """One of the user's sessions, if it is theirs."""
    row = await pool.fetchrow(GET, session_id, user_id)
    return SessionRow(**row) if row else None


async def get_fold(pool: Pool, session_id: str, user_id: str) -> FoldRow | None:
    """What one of the user's sessions was folded from, if it can be claimed."""
    row = await pool.fetchrow(GET_FOLDED, session_id, user_id)
    return FoldRow(**row) if row else None


async def newest_sessions(
    pool: Pool, user_id: str, before: tuple[int, str], limit: int
) -> list[SessionRow]:
    """The user's sessions that started before a cursor, newest first."""
    rows = await pool.fetch(NEWEST, user_id, *before, limit)
    return [SessionRow(**row) for row in rows]
