"""What the caller has of issues, what it cost, and what it would bring."""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Holder
from api.openapi import problems
from api.pagination import (
    DEFAULT_LIMIT,
    CursorQuery,
    LimitQuery,
    Page,
    decode_cursor,
    encode_cursor,
    page,
    place_of,
)
from api.services import Services, ServicesDep
from messages.errors import Transient
from messages.market import GetHolding, HoldingView, IssueStatus, LockReason
from storage import market_issues as storage

router = APIRouter(prefix="/api/v1", tags=["market"])

OWNED = ("available", "held", "locked", "cost_minor", "realised_minor")
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
    reference_milliminor: int | None = Field(
        description="INDEX, the reference price of a share, in thousandths of a minor unit; null "
        "while the market knows none."
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
    subject: Holder,
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
    said = await asyncio.gather(*(_owned(services, subject.user_id, row.issue_id) for row in shown))
    following = encode_cursor(0, shown[-1].issue_id) if len(found) > limit else None
    items = [
        _position(row, locks.get(row.issue_id, []), view)
        for row, view in zip(shown, said, strict=True)
    ]
    return Page(items=items, next_cursor=following)


@router.get("/users/me/purchases", responses=problems(401))
async def list_my_purchases(
    subject: Holder,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[BoughtShares]:
    """The caller's purchases of offered shares, newest first."""
    before = place_of(cursor)
    found = await storage.newest_purchases(services.pool, subject.user_id, before, limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.purchase_id), _bought)


def _bought(row: storage.PurchaseRow) -> BoughtShares:
    return BoughtShares(**msgspec.structs.asdict(row))


async def _owned(services: Services, user_id: str, issue_id: str) -> HoldingView | None:
    """What the issue's owner says of a user's shares; None where it cannot be reached."""
    key = services.query_key()
    try:
        answer = await services.owner("market").ask(issue_id, GetHolding(user_id), key=key)
    except Transient:
        return None
    assert isinstance(answer, HoldingView)
    return answer


def _position(
    row: storage.HoldingRow, locks: list[StandingLock], said: HoldingView | None
) -> Position:
    """A position as its owner has it; else as it was last told, without a price."""
    reference = None if said is None else said.reference_milliminor
    fields = msgspec.structs.asdict(row)
    if said is not None:
        fields |= {name: getattr(said, name) for name in OWNED}
    shares = fields["available"] + fields["held"] + fields["locked"]
    unrealised = None if reference is None else shares * reference // 1_000 - fields["cost_minor"]
    return Position(
        **fields, locks=locks, reference_milliminor=reference, unrealised_minor=unrealised
    )
