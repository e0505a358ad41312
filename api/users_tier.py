"""What one did on the platform: tier, points, reputation, history."""

from __future__ import annotations

from datetime import date

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import Member
from api.openapi import problems
from api.pagination import DEFAULT_LIMIT, CursorQuery, LimitQuery, Page, page_below, position_of
from api.services import ServicesDep
from domain.users_people import hundredths, progress, reputation
from messages.listening import Tier
from messages.users import UserNotFound
from messages.users_people import Activity
from storage import users as users_storage
from storage import users_activity as storage

router = APIRouter(prefix="/api/v1/users/me", tags=["users"])

LAST_DAY = date.max.toordinal()


class PointSource(BaseModel):
    """What an activity gave."""

    activity: Activity
    count: int = Field(description="How often, on days on which it gave points.")
    points: int


class TierProgress(BaseModel):
    """The account tier, what gave it, and what the next one takes."""

    tier: Tier
    points: int
    next_tier: Tier | None = Field(description="Null at the highest.")
    missing_points: int
    sources: list[PointSource]
    granted_points: int = Field(description="Given by an operator.")


class UserStats(BaseModel):
    """All that a user did."""

    listens: int
    played_ms: int = Field(description="Of listens that count.")
    hours_hundredths: int = Field(description="Hours listened, in hundredths.")
    rewards: int
    reward_minor: int = Field(description="Of VIBES.")
    investments: int
    shares: int = Field(description="Bought from issues.")
    streak_days: int = Field(description="When it was last extended.")
    longest_streak: int
    reputation_hundredths: int = Field(description="0 to 10,000: hundredths of 0 to 100.")


class ActivityDone(BaseModel):
    """What was done on a day."""

    activity: Activity
    count: int
    amount: int = Field(
        description="Of listens milliseconds, of rewards minor units, of investments shares."
    )
    points: int


class ActivityDay(BaseModel):
    """A day, UTC."""

    day: date
    activities: list[ActivityDone]


@router.get("/tier", responses=problems(401, 403, 404))
async def get_own_tier(subject: Member, services: ServicesDep) -> TierProgress:
    """One's account tier. It counts for listening sessions that start from now on."""
    user = await users_storage.get_user(services.pool, subject.user_id)
    if user is None:
        raise UserNotFound
    sources = await storage.sources_of(services.pool, subject.user_id)
    found = progress(user.points)
    earned = sum(source.points for source in sources)
    return TierProgress(
        tier=found.tier,
        points=user.points,
        next_tier=found.next_tier,
        missing_points=found.missing,
        sources=[PointSource(activity=s.kind, count=s.count, points=s.points) for s in sources],
        granted_points=max(0, user.points - earned),
    )


@router.get("/stats", responses=problems(401, 403))
async def get_own_stats(subject: Member, services: ServicesDep) -> UserStats:
    """What one did so far, and the reputation that comes of it."""
    stats = await storage.stats_of(services.pool, subject.user_id)
    fields = {name: getattr(stats, name) for name in stats.__struct_fields__}
    return UserStats(
        **fields,
        hours_hundredths=stats.played_ms // 36_000,
        reputation_hundredths=hundredths(reputation(stats)),
    )


@router.get("/activity", responses=problems(401, 403))
async def list_own_activity(
    subject: Member,
    services: ServicesDep,
    cursor: CursorQuery = None,
    limit: LimitQuery = DEFAULT_LIMIT,
) -> Page[ActivityDay]:
    """What one did, day by day (UTC), newest first; days without anything are left out."""
    before = position_of(cursor)
    below = LAST_DAY if before is None else min(before, LAST_DAY)
    found = await storage.history_of(services.pool, subject.user_id, below, limit + 1)
    return page_below(found, limit, lambda row: row.day, _day)


def _day(row: storage.Day) -> ActivityDay:
    return ActivityDay(
        day=date.fromordinal(row.day),
        activities=[
            ActivityDone(activity=d.kind, count=d.count, amount=d.amount, points=d.points)
            for d in row.done
        ],
    )
