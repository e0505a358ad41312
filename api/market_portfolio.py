"""What the caller has of issues, what it cost, and what it would bring."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Subject
from api.openapi import problems
from api.pagination import (
    DEFAULT_LIMIT,
    CursorQuery,
    LimitQuery,
    Page,
    decode_cursor,
    encode_cursor,
)
from api.services import ServicesDep
from messages.market import IssueStatus, LockReason
from storage import market_issues as storage
from storage.rows import FIRST_PAGE

router = APIRouter(prefix="/api/v1", tags=["market"])

BELOW_ALL = "00000000-0000-0000-0000-000000000000"


class StandingLock(BaseModel):
    """Shares that may not be sold yet."""

    lock_id: UUID
    shares: int
    until_ms: int
    reason: LockReason


class Position(BaseModel):
    """What the caller has of an issue."""

    issue_id: UUID
    song_id: UUID
    status: IssueStatus
    currency: str
    available: int = Field(description="Shares that may be sold.")
    held: int = Field(description="Shares in open orders.")
    locked: int = Field(description="Shares that may not be sold yet.")
    cost_minor: int = Field(description="What the shares cost, fees and all; average cost.")
    realised_minor: int = Field(description="Proceeds of sold shares, less what they had cost.")
    reference_minor: int | None = Field(
        description="The reference price of a share; null while the market knows none."
    )
    unrealised_minor: int | None = Field(
        description="What the shares would bring at the reference price, less what they cost."
    )
    locks: list[StandingLock]
    changed_at_ms: int


class BoughtShares(BaseModel):
    """A purchase of offered shares."""

    purchase_id: UUID
    issue_id: UUID
    shares: int
    price_minor: int
    paid_minor: int
    fee_minor: int
    at_ms: int


@router.get("/users/me/portfolio", responses=problems(401))
async def get_my_portfolio(
    subject: Subject,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Position]:
    """The caller's shares of all issues, also of those whose shares were all sold since."""
    after = decode_cursor(cursor)[1] if cursor else BELOW_ALL
    found = await storage.holdings(services.pool, subject.user_id, after, limit + 1)
    shown = found[:limit]
    issue_ids = [row.issue_id for row in shown]
    locks: dict[str, list[StandingLock]] = {}
    for lock in await storage.standing_locks(services.pool, subject.user_id, issue_ids):
        fields = msgspec.structs.asdict(lock)
        locks.setdefault(fields.pop("issue_id"), []).append(StandingLock(**fields))
    prices: Mapping[str, int] = {}
    following = encode_cursor(0, shown[-1].issue_id) if len(found) > limit else None
    items = [_position(row, locks.get(row.issue_id, []), prices) for row in shown]
    return Page(items=items, next_cursor=following)


@router.get("/users/me/purchases", responses=problems(401))
async def list_my_purchases(
    subject: Subject,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[BoughtShares]:
    """The caller's purchases of offered shares, newest first."""
    before = decode_cursor(cursor) if cursor else FIRST_PAGE
    found = await storage.newest_purchases(services.pool, subject.user_id, before, limit + 1)
    shown = found[:limit]
    more = len(found) > limit
    following = encode_cursor(shown[-1].at_ms, shown[-1].purchase_id) if more else None
    items = [BoughtShares(**msgspec.structs.asdict(row)) for row in shown]
    return Page(items=items, next_cursor=following)


def _position(
    row: storage.HoldingRow, locks: list[StandingLock], prices: Mapping[str, int]
) -> Position:
    reference = prices.get(row.issue_id)
    shares = row.available + row.held + row.locked
    unrealised = None if reference is None else shares * reference - row.cost_minor
    return Position(
        **msgspec.structs.asdict(row),
        locks=locks,
        reference_minor=reference,
        unrealised_minor=unrealised,
    )
