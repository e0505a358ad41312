"""How many users come and come back, for admins."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.auth import Admin
from api.openapi import problems
from api.services import ServicesDep
from messages.users_people import BadPeriod
from sagas.user_activity import day_of
from storage import users_analytics as storage

router = APIRouter(prefix="/api/v1/analytics/users", tags=["analytics"])

MAX_DAYS = 92
MAX_WEEKS = 26
WEEK = 7


class DayFigures(BaseModel):
    """Users of a day, UTC."""

    day: date
    registrations: int
    dau: int = Field(description="Active on the day.")
    wau: int = Field(description="Active in the 7 days that end with it.")
    mau: int = Field(description="Active in the 30 days that end with it.")


class Figures(BaseModel):
    """Users by day, oldest first."""

    days: list[DayFigures]


class Cohort(BaseModel):
    """Those who registered in a week, which begins on Monday."""

    week: date
    users: int
    active: list[int] = Field(description="Of them, active in that week, the next one, …")


class Retention(BaseModel):
    """Cohorts, oldest first."""

    cohorts: list[Cohort]


@router.get("/days", responses=problems(401, 403))
async def get_user_figures(
    subject: Admin,
    services: ServicesDep,
    first: Annotated[date | None, Query(description="30 days before the last if absent.")] = None,
    last: Annotated[date | None, Query(description="Today if absent.")] = None,
) -> Figures:
    """Registrations and active users by day. Somebody is active who does what events tell of."""
    end = last.toordinal() if last else day_of(services.clock())
    begin = first.toordinal() if first else max(1, end - 29)
    if not begin <= end < begin + MAX_DAYS:
        raise BadPeriod(most=MAX_DAYS)
    found = await storage.days(services.pool, begin, end)
    return Figures(days=[_day(row) for row in found])


@router.get("/retention", responses=problems(401, 403))
async def get_user_retention(
    subject: Admin,
    services: ServicesDep,
    weeks: Annotated[int, Query(ge=1, le=MAX_WEEKS, description="Up to this one.")] = 8,
) -> Retention:
    """Of those who registered in each of the last weeks, how many were active since, by week."""
    last = (day_of(services.clock()) - 1) // WEEK
    found = await storage.retention(services.pool, last - weeks + 1, last)
    active = {(row.week, row.later): row.users for row in found}
    return Retention(
        cohorts=[
            Cohort(
                week=date.fromordinal(week * WEEK + 1),
                users=active.get((week, 0), 0),  # whoever registers is active that week
                active=[active.get((week, later), 0) for later in range(last - week + 1)],
            )
            for week in range(last - weeks + 1, last + 1)
        ]
    )


def _day(row: storage.DayFigures) -> DayFigures:
    return DayFigures(
        day=date.fromordinal(row.day),
        registrations=row.registrations,
        dau=row.dau,
        wau=row.wau,
        mau=row.mau,
    )
