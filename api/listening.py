"""A listener's own sessions. What happens in them comes through the WebSocket, not here."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Listener
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import ServicesDep
from domain.listening import rows_of
from domain.statement import stretches
from messages.listening import EndReason, Phase, SessionNotFound
from storage import listening as storage

router = APIRouter(prefix="/api/v1/listening", tags=["listening"])


class ListeningSession(BaseModel):
    """A listening session. What is null is known once it has ended, or was scored."""

    session_id: UUID
    device_id: str
    song_id: UUID
    artist_id: UUID
    pool_id: UUID = Field(description="The reward pool that it draws on.")
    phase: Phase
    started_at_ms: int = Field(description="Epoch milliseconds.")
    ended_at_ms: int | None
    end_reason: EndReason | None
    played_ms: int = Field(description="Time that was really played; 0 until the session ends.")
    beats: int
    counted: bool = Field(description="Whether it counts as a listen of the song.")
    score_bps: int | None = Field(description="0 is a person, 10,000 a bot.")
    reasons: list[str] = Field(description="What the score or the refusal rests on, worst first.")


class WitnessRow(BaseModel):
    """A beat that was credited."""

    nonce: str = Field(description="The ticket's, hexadecimal.")
    delta_ms: int = Field(description="Played time that it was credited.")


class WitnessStretch(BaseModel):
    """Up to 72 beats, which have a leaf of their own."""

    stretch: int
    leaf: str = Field(description="Decimal.")
    rows: list[WitnessRow]


class ListeningWitness(BaseModel):
    """The private inputs of a session's proofs, but for the identity's secret."""

    session_id: UUID
    pool_id: UUID
    commitment: str = Field(description="Of the identity that the session started with.")
    stretches: list[WitnessStretch]


@router.get("/sessions", responses=problems(401))
async def list_listening_sessions(
    subject: Listener,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[ListeningSession]:
    """The caller's own sessions, newest first."""
    before = place_of(cursor)
    found = await storage.newest_sessions(services.pool, subject.user_id, before, limit + 1)
    return page(found, limit, lambda row: (row.started_at_ms, row.session_id), _view)


@router.get("/sessions/{session_id}", responses=problems(401, 404))
async def get_listening_session(
    session_id: UUID, subject: Listener, services: ServicesDep
) -> ListeningSession:
    """One of the caller's own sessions."""
    row = await storage.get_session(services.pool, str(session_id), subject.user_id)
    if row is None:
        raise SessionNotFound(session_id=str(session_id))
    return _view(row)


@router.get("/sessions/{session_id}/witness", responses=problems(401, 404))
async def get_listening_witness(
    session_id: UUID, subject: Listener, services: ServicesDep
) -> ListeningWitness:
    """What a claim of one of the caller's own sessions is proved from.

    For recovery: a player keeps its tickets itself. Asking tells the engine that the session is
    about to be claimed, which a proof alone never does.
    """
    row = await storage.get_fold(services.pool, str(session_id), subject.user_id)
    if row is None:
        raise SessionNotFound(session_id=str(session_id))
    rows = rows_of(row.session_id, row.entropy, row.deltas)
    parts = zip(stretches(rows), row.leaves, strict=True)
    return ListeningWitness(
        session_id=session_id,
        pool_id=UUID(row.pool_id),
        commitment=row.commitment,
        stretches=[
            WitnessStretch(
                stretch=number,
                leaf=leaf,
                rows=[WitnessRow(nonce=r.nonce.hex(), delta_ms=r.delta_ms) for r in part],
            )
            for number, (part, leaf) in enumerate(parts)
        ],
    )


def _view(row: storage.SessionRow) -> ListeningSession:
    fields: dict[str, Any] = msgspec.structs.asdict(row)
    del fields["user_id"]
    return ListeningSession(**fields)
