"""Revenue of issues: received, distributed, and the statement of each part with its proof."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Holder, MarketOperator, public
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.market_issues import find_issue
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import ServicesDep
from domain.market.statements import SALT_BYTES, Part, leaf, path_to
from messages.keys import derive_id
from messages.market import (
    PLATFORM,
    DistributeRevenue,
    DistributionNotFound,
    ReceiveRevenue,
    RevenueDistributed,
    RevenueReceived,
    StatementNotFound,
)
from messages.market.accounts import treasury
from storage import market_issues as storage

router = APIRouter(prefix="/api/v1", tags=["market"])

RECEIVE = "POST /api/v1/issues/{issue_id}/revenue"
DISTRIBUTE = "POST /api/v1/issues/{issue_id}/distributions"


class NewRevenue(Input):
    """Revenue of the song, in the issue's currency."""

    amount_minor: int = Field(ge=1, le=MAX_INTEGER)


class Revenue(BaseModel):
    """Revenue that was received."""

    revenue_id: UUID
    issue_id: UUID
    currency: str
    amount_minor: int
    waiting_minor: int = Field(description="All that waits to be distributed.")
    at_ms: int


class NewDistribution(Input):
    """How much to distribute."""

    amount_minor: int | None = Field(
        None, ge=1, le=MAX_INTEGER, description="All that waits, if absent."
    )


class Distribution(BaseModel):
    """Revenue that was split among those who held shares at its record date.

    The platform's fee came first; retained and unsold shares counted as the artist's.
    """

    distribution_id: UUID
    issue_id: UUID
    currency: str
    amount_minor: int
    fee_minor: int
    artist_minor: int
    holders_minor: int
    holders: int = Field(description="Holders beside the artist.")
    parts: int = Field(description="Leaves of the statement's tree.")
    root: str = Field(description="Of that tree, in hex: a SHA-256 Merkle-sum tree.")
    at_ms: int


class RevenuePart(BaseModel):
    """What a distribution paid to the caller."""

    distribution_id: UUID
    issue_id: UUID
    currency: str
    shares: int = Field(description="Held at the record date.")
    amount_minor: int
    at_ms: int


class StatementNode(BaseModel):
    """A node beside the way from the leaf to the root."""

    hash: str
    sum_minor: int


class Statement(BaseModel):
    """A part of a distribution, with the proof that all parts make the whole.

    `tools/check_statement.py` checks it without the platform; compare its root with the one that
    was published.
    """

    format: str = "vibestream-statement-1"
    distribution_id: UUID
    issue_id: UUID
    currency: str
    owner: str
    shares: int
    amount_minor: int
    salt: str
    index: int
    parts: int
    path: list[StatementNode]
    root: str
    total_minor: int
    at_ms: int


@router.post("/issues/{issue_id}/revenue", status_code=201, responses=problems(401, 403, 404, 409))
async def receive_revenue(
    issue_id: UUID,
    body: NewRevenue,
    key: KeyHeader,
    subject: MarketOperator,
    services: ServicesDep,
) -> Revenue:
    """Take in revenue of the song from the platform's treasury."""
    issue = await find_issue(services, issue_id)
    asked = command_key(subject.user_id, RECEIVE.format(issue_id=issue_id), key)
    source, revenue_id = treasury(issue.currency), derive_id("revenue", asked)
    command = ReceiveRevenue(revenue_id, source, body.amount_minor)
    answer = await services.owner("market").ask(str(issue_id), command, key=asked)
    assert isinstance(answer, RevenueReceived)
    return Revenue(**msgspec.structs.asdict(answer))


@router.post(
    "/issues/{issue_id}/distributions", status_code=201, responses=problems(401, 403, 404, 409)
)
async def distribute_revenue(
    issue_id: UUID,
    body: NewDistribution,
    key: KeyHeader,
    subject: MarketOperator,
    services: ServicesDep,
) -> Distribution:
    """Pay out what waits to those who hold shares now."""
    asked = command_key(subject.user_id, DISTRIBUTE.format(issue_id=issue_id), key)
    # The same for a repetition, and beyond guessing for whoever knows the key.
    secret = services.settings.fingerprint_secret[:64]
    salt = blake2b(asked, key=secret, digest_size=SALT_BYTES, person=b"statement").hexdigest()
    command = DistributeRevenue(derive_id("distribution", asked), salt, body.amount_minor or 0)
    answer = await services.owner("market").ask(str(issue_id), command, key=asked)
    assert isinstance(answer, RevenueDistributed)
    return _distribution(answer)


@router.get("/issues/{issue_id}/distributions")
@public
async def list_distributions(
    issue_id: UUID,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Distribution]:
    """An issue's distributions, newest first."""
    before = place_of(cursor)
    found = await storage.newest_distributions(services.pool, str(issue_id), before, limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.distribution_id), _distribution)


@router.get(
    "/issues/{issue_id}/distributions/{distribution_id}/statement", responses=problems(401, 404)
)
async def get_statement(
    issue_id: UUID, distribution_id: UUID, subject: Holder, services: ServicesDep
) -> Statement:
    """The caller's part of a distribution, with its proof."""
    row = await storage.get_distribution(services.pool, str(issue_id), str(distribution_id))
    if row is None:
        raise DistributionNotFound
    paid = await storage.payments(services.pool, row.distribution_id)
    mine = next((part for part in paid if part.user_id == subject.user_id), None)
    if mine is None:
        raise StatementNotFound
    parts = [Part(PLATFORM, 0, row.fee_minor, row.fee_salt)]
    parts += [Part(p.user_id, p.shares, p.amount_minor, p.salt) for p in paid]
    path = path_to([leaf(row.distribution_id, part) for part in parts], mine.index)
    return Statement(
        distribution_id=distribution_id,
        issue_id=issue_id,
        currency=row.currency,
        owner=mine.user_id,
        shares=mine.shares,
        amount_minor=mine.amount_minor,
        salt=mine.salt,
        index=mine.index,
        parts=row.parts,
        path=[StatementNode(hash=node.hash.hex(), sum_minor=node.sum_minor) for node in path],
        root=row.root,
        total_minor=row.amount_minor,
        at_ms=row.at_ms,
    )


@router.get("/users/me/distributions", responses=problems(401))
async def list_my_distributions(
    subject: Holder,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[RevenuePart]:
    """What distributions paid to the caller, newest first."""
    before = place_of(cursor)
    found = await storage.newest_payments(services.pool, subject.user_id, before, limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.distribution_id), _part)


def _distribution(found: RevenueDistributed | storage.DistributionRow) -> Distribution:
    fields: dict[str, Any] = msgspec.structs.asdict(found)
    return Distribution(**{name: fields[name] for name in Distribution.model_fields})


def _part(row: storage.PaymentRow) -> RevenuePart:
    fields: dict[str, Any] = msgspec.structs.asdict(row)
    return RevenuePart(**{name: fields[name] for name in RevenuePart.model_fields})
