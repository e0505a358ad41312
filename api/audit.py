"""The audit log: who did what to whom, for admins; its chain's head, for everyone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Auditor, public
from api.inputs import Amount
from api.openapi import problems
from api.pagination import (
    CURSOR,
    DEFAULT_LIMIT,
    MAX_CURSOR_CHARS,
    MAX_LIMIT,
    Page,
    page_below,
    position_of,
)
from api.services import ServicesDep
from messages.audit import ChainEmpty
from storage import audit_chain as storage

router = APIRouter(prefix="/api/v1", tags=["audit"])

Name = Annotated[str | None, Field(max_length=128, pattern=r"^[\x21-\x7e]+$")]
Moment = Annotated[Amount | None, Field(description="Epoch milliseconds.")]


class AuditQuery(BaseModel):
    """Which entries to list."""

    about: Name = Field(None, description="The subject, as user:<id>.")
    actor: Name = None
    action: Name = Field(None, description="And whatever begins with it and a dot.")
    since_ms: Moment = None
    until_ms: Moment = None
    cursor: str | None = Field(None, max_length=MAX_CURSOR_CHARS, description=CURSOR)
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Items on the page.")


class AuditEntry(BaseModel):
    """Something that was done."""

    entry_id: int
    at_ms: int = Field(description="Epoch milliseconds.")
    action: str = Field(description="A dotted verb, as session.revoked.")
    actor: str = Field(description="A user id, service:<name> or platform.")
    subject: str = Field(description="What it was done to: user:<id>, session:<id>, …")
    detail: dict[str, str | int]
    number: int | None = Field(description="Its place in the chain; null until it is sealed.")
    hash: str | None = Field(description="SHA-256 over the hash before and the entry, hexadecimal.")


class ChainHead(BaseModel):
    """A number of the audit log's chain, and the hash that it has for ever."""

    number: int
    hash: str = Field(description="Hexadecimal.")


@router.get("/audit/entries", responses=problems(401, 403))
async def list_audit_entries(
    subject: Auditor,
    services: ServicesDep,
    query: Annotated[AuditQuery, Query()],
) -> Page[AuditEntry]:
    """Entries of the audit log, newest first, with their seals."""
    q = query
    wanted = storage.Filter(q.about, q.actor, q.action, q.since_ms, q.until_ms)
    before = position_of(q.cursor)
    found = await storage.entries(services.pool, wanted, before, q.limit + 1)
    return page_below(found, q.limit, lambda row: row.entry.entry_id, show_entry)


@router.get("/audit/head", responses=problems(404))
@public
async def get_audit_head(
    services: ServicesDep,
    number: Annotated[
        int | None, Query(ge=1, le=2**53 - 1, description="The last one if absent.")
    ] = None,
) -> ChainHead:
    """The head of the audit log's chain. Note it down: no entry before it can be changed, removed
    or inserted without giving that number another hash.
    """
    if number is None:
        found = await storage.head(services.pool)
    else:
        found = await storage.seal_at(services.pool, number)
    if found is None:
        raise ChainEmpty
    return ChainHead(number=found.number, hash=found.hash.hex())


def show_entry(row: storage.SealedEntry) -> AuditEntry:
    """An entry as clients see it."""
    e = row.entry
    return AuditEntry(
        entry_id=e.entry_id,
        at_ms=e.at_ms,
        action=e.action,
        actor=e.actor,
        subject=e.subject,
        detail=e.detail,
        number=row.number,
        hash=row.hash.hex() if row.hash else None,
    )
