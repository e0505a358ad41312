"""How many users there are, come and come back, by day, from `users.activity`.

Days are proleptic ordinals, UTC; a week begins on Monday, as day 1 did.
"""

from __future__ import annotations

import msgspec

from storage.database import Connection, Pool

DAYS = """
with active as (
    select distinct day, user_id from users.activity where day between $1::int - 29 and $2::int)
select d.day,
    (select count(*) from users.activity r where r.kind = 'registration' and r.day = d.day)
        as registrations,
    (select count(*) from active a where a.day = d.day) as dau,
    (select count(distinct a.user_id) from active a where a.day between d.day - 6 and d.day)
        as wau,
    (select count(distinct a.user_id) from active a where a.day between d.day - 29 and d.day)
        as mau
from generate_series($1::int, $2::int) as d (day) order by d.day"""
RETENTION = """
with cohort as (
    select user_id, (day - 1) / 7 as week from users.activity
    where kind = 'registration' and day >= $1::int * 7 + 1 and day < ($2::int + 1) * 7 + 1),
active as (
    select distinct c.week, c.user_id, (a.day - 1) / 7 - c.week as later
    from cohort c join users.activity a using (user_id)
    where a.day >= c.week * 7 + 1 and a.day < ($2::int + 1) * 7 + 1)
select week, later, count(*) as users from active group by week, later order by week, later"""


class DayFigures(msgspec.Struct, frozen=True):
    """Users of a day: registered, and active on it, in the 7 and the 30 days that end with it."""

    day: int
    registrations: int
    dau: int
    wau: int
    mau: int


class Returned(msgspec.Struct, frozen=True):
    """Of those who registered in a week, how many were active so many weeks `later`."""

    week: int
    later: int
    users: int


async def days(connection: Connection | Pool, first: int, last: int) -> list[DayFigures]:
    """Figures of each day from `first` to `last`."""
    return [DayFigures(**row) for row in await connection.fetch(DAYS, first, last)]


async def retention(connection: Connection | Pool, first: int, last: int) -> list[Returned]:
    """Who came back, of the cohorts of the weeks from `first` to `last`, up to `last`."""
    return [Returned(**row) for row in await connection.fetch(RETENTION, first, last)]
