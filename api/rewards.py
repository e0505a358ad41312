"""Reward pools, and what a listener or an artist earned."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Donor, Earner, PoolFunder, Saver, check_permission, public
from api.idempotency import KeyHeader, command_key
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page, place_of
from api.services import Services, ServicesDep
from domain.access import Permission
from domain.policy import MINUTE_MS
from integrations.tokens import Claims
from messages.keys import derive_id
from messages.ledger import account, currency_of
from messages.money import MINOR_DIGITS
from messages.music import ArtistRequired
from messages.rewards import (
    CURRENCY,
    TREASURY,
    FundPool,
    GetPool,
    GetStreak,
    OpenPool,
    PayeeKind,
    PoolStatus,
    PoolView,
    StreakView,
    accrued_account,
    available_account,
    payee_id,
)
from storage import ledger
from storage import music as music_storage
from storage import rewards as storage

router = APIRouter(prefix="/api/v1", tags=["rewards"])

OPEN = "POST /api/v1/reward-pools"
FUND = "POST /api/v1/reward-pools/{pool_id}/fundings"
WEEK_MS = 7 * 24 * 60 * MINUTE_MS
MAX_TEXT = 1_024  # of a field, before its rule is asked


class OpenRewardPool(Input):
    """A new pool, empty until it is funded."""

    name: str = Field(max_length=MAX_TEXT, description="1 to 100 characters.")
    epoch_ms: int = Field(
        WEEK_MS, ge=0, le=MAX_INTEGER, description="Over how long a budget is to last."
    )


class FundingSource(StrEnum):
    """Where the money comes from."""

    TREASURY = "treasury"
    BALANCE = "balance"


class FundRewardPool(Input):
    """A funding."""

    amount_minor: int = Field(ge=1, le=MAX_INTEGER, description="Millionths of a VIBES.")
    source: FundingSource = Field(
        FundingSource.BALANCE,
        description="`balance`: the caller's own available balance. `treasury`: newly issued, for "
        "those who may.",
    )


class RewardPool(BaseModel):
    """A pool as it stands."""

    pool_id: UUID
    name: str
    status: PoolStatus
    currency: str = CURRENCY
    balance_minor: int
    epoch: int
    epoch_started_at_ms: int
    epoch_ms: int
    budget_minor: int = Field(description="What the epoch began with, and what was added since.")
    spent_minor: int = Field(description="In this epoch.")
    multiplier_bps: int = Field(description="Scales the base rate of a listen that is paid now.")


class PoolSummary(BaseModel):
    """A pool as its last fact left it."""

    pool_id: UUID
    name: str
    status: PoolStatus
    currency: str = CURRENCY
    balance_minor: int
    opened_at_ms: int


class RewardState(StrEnum):
    """Pending until what accrued reaches the minimum payout."""

    PENDING = "pending"
    PAID = "paid"


class EarnerRole(StrEnum):
    """As what the caller earned."""

    LISTENER = "listener"
    ARTIST = "artist"


class Reward(BaseModel):
    """What claims that were paid together brought, or one listen of an artist's song."""

    reward_id: UUID = Field(description="Of a listener's: the payment's id.")
    pool_id: UUID
    song_id: UUID | None = Field(description="Of an artist's share. A claim does not tell it.")
    claims: int = Field(description="How many claims it pays; 0 for an artist's share.")
    amount_minor: int
    currency: str = CURRENCY
    state: RewardState
    at_ms: int
    paid_at_ms: int | None


class Streak(BaseModel):
    """Days in a row with a rewarded listen, in the listener's own time zone."""

    days: int
    longest_days: int
    last_day: date | None
    today: date
    freezes_left: int = Field(description="Of this calendar week.")
    keep_until_ms: int | None = Field(description="It breaks unless a listen is rewarded before.")
    time_zone: str
    rewarded_today: int = Field(description="Sessions that count to the day's limit.")
    paid_today_minor: int
    left_today_minor: int = Field(description="What the day's limit still allows.")


class Balance(BaseModel):
    """An account of the caller's."""

    role: EarnerRole
    purpose: str = Field(
        description="`accrued` waits for the minimum payout, `held` is for open orders, "
        "`available` may be spent."
    )
    currency: str
    amount_minor: int


class Balances(BaseModel):
    """The caller's accounts."""

    items: list[Balance]


@router.post(
    "/reward-pools", status_code=201, responses=problems(401, 403, 409), response_model=RewardPool
)
async def open_reward_pool(
    body: OpenRewardPool,
    key: KeyHeader,
    subject: PoolFunder,
    services: ServicesDep,
) -> RewardPool:
    """Open a pool. Sent again with the same key it answers the same and opens nothing."""
    command = command_key(subject.user_id, OPEN, key)
    pool_id = derive_id("reward-pool", command)
    opened = OpenPool(pool_id, body.name, body.epoch_ms)
    return _pool(await services.owner("pools").ask(pool_id, opened, key=command))


@router.post(
    "/reward-pools/{pool_id}/fundings",
    status_code=201,
    responses=problems(401, 403, 404, 409),
    response_model=RewardPool,
)
async def fund_reward_pool(
    pool_id: UUID, body: FundRewardPool, key: KeyHeader, subject: Donor, services: ServicesDep
) -> RewardPool:
    """Fund a pool. What the source does not hold is refused and nothing moves."""
    source = available_account(payee_id(PayeeKind.USER, subject.user_id))
    if body.source is FundingSource.TREASURY:
        await check_permission(services, subject, Permission.FUND_POOL)
        source = TREASURY
    command = command_key(subject.user_id, FUND.format(pool_id=pool_id), key)
    funding = FundPool(derive_id("pool-funding", command), source, body.amount_minor)
    return _pool(await services.owner("pools").ask(str(pool_id), funding, key=command))


@router.get("/reward-pools")
@public
async def list_reward_pools(
    services: ServicesDep, cursor: CursorQuery = None, limit: LimitQuery = DEFAULT_LIMIT
) -> Page[PoolSummary]:
    """All pools, newest first."""
    before = place_of(cursor)
    found = await storage.newest_pools(services.pool, before, limit + 1)
    return page(found, limit, lambda row: (row.opened_at_ms, row.pool_id), _summary)


@router.get("/reward-pools/{pool_id}", responses=problems(404))
@public
async def get_reward_pool(pool_id: UUID, services: ServicesDep) -> RewardPool:
    """One pool as it stands at this moment, from its owner."""
    answer = await services.owner("pools").ask(str(pool_id), GetPool(), key=services.query_key())
    return _pool(answer)


@router.get("/users/me/rewards", responses=problems(401, 403))
async def list_my_rewards(
    subject: Earner,
    services: ServicesDep,
    role: EarnerRole = EarnerRole.LISTENER,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[Reward]:
    """What the caller's claims brought, or listens of the caller's songs; newest first."""
    payee = await _payee(services, subject, role)
    if payee is None:
        raise ArtistRequired
    before = place_of(cursor)
    found = await storage.newest_credits(services.pool, payee, before, limit + 1)
    return page(found, limit, lambda row: (row.at_ms, row.credit_id), _reward)


@router.get("/users/me/streak", responses=problems(401))
async def get_my_streak(subject: Earner, services: ServicesDep) -> Streak:
    """The caller's streak and what is left of today's limits, from their owner."""
    answer = await services.owner("listeners").ask(
        subject.user_id, GetStreak(), key=services.query_key()
    )
    assert isinstance(answer, StreakView)
    fields: dict[str, Any] = msgspec.structs.asdict(answer)
    fields["last_day"] = date.fromordinal(answer.last_day) if answer.last_day else None
    fields["today"] = date.fromordinal(answer.today)
    fields["keep_until_ms"] = answer.keep_until_ms or None
    return Streak(**fields)


@router.get("/users/me/balances", responses=problems(401))
async def get_my_balances(subject: Saver, services: ServicesDep) -> Balances:
    """The caller's accounts in the ledger, also those of an artist profile.

    Those of the reward currency, and of every other that holds something.
    """
    places: list[tuple[EarnerRole, str, str]] = []
    for role in EarnerRole:
        if payee := await _payee(services, subject, role):
            places.append((role, "accrued", accrued_account(payee)))
            places.append((role, "available", available_account(payee)))
    for purpose in ("available", "held"):
        for currency in MINOR_DIGITS:
            code = account("user", subject.user_id, purpose, currency)
            if purpose == "held" or currency != CURRENCY:
                places.append((EarnerRole.LISTENER, purpose, code))
    async with services.pool.acquire() as connection:
        held = await ledger.balances(connection, [code for _, _, code in places])
    items = [
        Balance(role=role, purpose=purpose, currency=currency_of(code), amount_minor=held[code])
        for role, purpose, code in places
        if held[code] or (currency_of(code) == CURRENCY and purpose != "held")
    ]
    return Balances(items=items)


async def _payee(services: Services, subject: Claims, role: EarnerRole) -> str | None:
    """The caller as a payee; None for an artist without a profile."""
    if role is EarnerRole.LISTENER:
        return payee_id(PayeeKind.USER, subject.user_id)
    artist = await music_storage.artist_of_user(services.pool, subject.user_id)
    return payee_id(PayeeKind.ARTIST, artist.artist_id) if artist else None


def _pool(answer: Any) -> RewardPool:
    assert isinstance(answer, PoolView)
    return RewardPool(**msgspec.structs.asdict(answer))


def _summary(row: storage.PoolRow) -> PoolSummary:
    return PoolSummary(
        pool_id=UUID(row.pool_id),
        name=row.name,
        status=row.status,
        balance_minor=row.balance_minor,
        opened_at_ms=row.opened_at_ms,
    )


def _reward(row: storage.CreditRow) -> Reward:
    fields: dict[str, Any] = msgspec.structs.asdict(row)
    fields["reward_id"] = fields.pop("credit_id")
    state = RewardState.PAID if row.paid_at_ms is not None else RewardState.PENDING
    return Reward(**fields, state=state)
