"""What users did, counted by day and in all, and the points that it gave, in PostgreSQL.

Only the consumer of `actors/user_activity.py` writes here, in the transaction that also moves it
on, so that each event counts once. Users whose points may change are locked first, in one order;
rows of several users are written in the order of their ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from domain.users_people import Stats, points_for, upgraded
from messages.users_people import Activity, TierUpgraded
from sagas.user_activity import Deed
from storage import users_events
from storage.database import Connection, Pool
from storage.rows import execute_rows

EXISTING = "select user_id::text from users.users where user_id = any($1::uuid[])"
ADD_DAYS = """
insert into users.activity as a (user_id, day, kind, count, amount)
select * from unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::bigint[])
    as n (user_id, day, kind, count, amount)
order by user_id, day, kind collate "C"
on conflict (user_id, day, kind) do update
set count = a.count + excluded.count, amount = a.amount + excluded.amount
returning user_id::text, day, kind, count"""
ADD_DAY_POINTS = """
update users.activity a set points = a.points + n.points
from unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[]) as n (user_id, day, kind, points)
where a.user_id = n.user_id and a.day = n.day and a.kind = n.kind"""
ADD_POINTS = """
update users.users u set points = u.points + n.points
from unnest($1::uuid[], $2::bigint[]) as n (user_id, points)
where u.user_id = n.user_id returning u.user_id::text, u.points, n.points as added"""
ADD_STATS = """
insert into users.stats as s
    (user_id, listens, played_ms, rewards, reward_minor, investments, shares, streak_days,
     longest_streak)
select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                     $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
    as n (user_id, a, b, c, d, e, f, g, h)
order by user_id
on conflict (user_id) do update
set listens = s.listens + excluded.listens, played_ms = s.played_ms + excluded.played_ms,
    rewards = s.rewards + excluded.rewards,
    reward_minor = s.reward_minor + excluded.reward_minor,
    investments = s.investments + excluded.investments, shares = s.shares + excluded.shares,
    streak_days = case when excluded.streak_days > 0 then excluded.streak_days
                       else s.streak_days end,
    longest_streak = greatest(s.longest_streak, excluded.longest_streak)"""
STATS = """
select listens, played_ms, rewards, reward_minor, investments, shares, streak_days, longest_streak
from users.stats where user_id = $1"""
SOURCES = """
select kind, sum(count)::bigint as count, sum(points)::bigint as points from users.activity
where user_id = $1 and points > 0 group by kind order by kind"""
HISTORY = """
select day, array_agg(kind order by kind) as kinds, array_agg(count order by kind) as counts,
       array_agg(amount order by kind) as amounts, array_agg(points order by kind) as points
from users.activity where user_id = $1 and day < $2
group by day order by day desc limit $3"""
FORGET = "delete from users.profiles where user_id = $1"
FORGET_BLOCKS = "delete from users.blocks where user_id = $1 or blocked_id = $1"


class Source(msgspec.Struct, frozen=True):
    """What an activity gave a user so far."""

    kind: Activity
    count: int
    points: int


class Done(msgspec.Struct, frozen=True):
    """How often something was done on a day, its measure, and the points that it gave."""

    kind: Activity
    count: int
    amount: int
    points: int


class Day(msgspec.Struct, frozen=True):
    """What a user did on a day (proleptic ordinal, UTC)."""

    day: int
    done: tuple[Done, ...]


async def add(connection: Connection, deeds: Sequence[Deed], at_ms: int) -> None:
    """Count deeds, and give the points that they bring to users who are locked."""
    known = {row["user_id"] for row in await connection.fetch(EXISTING, _users(deeds))}
    deeds = [deed for deed in deeds if deed.user_id in known]
    if not deeds:
        return
    earned = await _add_days(connection, deeds)
    await execute_rows(connection, ADD_STATS, _stats_rows(deeds))
    await _add_points(connection, earned, at_ms)


def earning(deeds: Sequence[Deed]) -> set[str]:
    """Those whose deeds may give points: lock them before the first write."""
    return {deed.user_id for deed in deeds if points_for(deed.kind, 0, 1)}


async def stats_of(connection: Connection | Pool, user_id: str) -> Stats:
    """All that a user did so far."""
    row = await connection.fetchrow(STATS, user_id)
    return Stats() if row is None else Stats(**row)


async def sources_of(connection: Connection | Pool, user_id: str) -> list[Source]:
    """What gave a user points."""
    rows = await connection.fetch(SOURCES, user_id)
    return [Source(Activity(row["kind"]), row["count"], row["points"]) for row in rows]


async def history_of(
    connection: Connection | Pool, user_id: str, before_day: int, limit: int
) -> list[Day]:
    """What a user did, newest day first."""
    rows = await connection.fetch(HISTORY, user_id, before_day, limit)
    return [
        Day(
            row["day"],
            tuple(
                Done(Activity(kind), count, amount, points)
                for kind, count, amount, points in zip(
                    row["kinds"], row["counts"], row["amounts"], row["points"], strict=True
                )
            ),
        )
        for row in rows
    ]


async def forget(connection: Connection, user_id: str) -> None:
    """What showed a user who is gone to others. What they did stays, under an id without a name."""
    await connection.execute(FORGET, user_id)
    await connection.execute(FORGET_BLOCKS, user_id)


async def _add_days(connection: Connection, deeds: Sequence[Deed]) -> dict[str, int]:
    """Points that each user earned with it."""
    added: dict[tuple[str, int, Activity], list[int]] = defaultdict(lambda: [0, 0])
    for deed in deeds:
        sums = added[deed.user_id, deed.day, deed.kind]
        sums[0] += deed.count
        # A streak's length is no measure of a day.
        sums[1] += 0 if deed.kind is Activity.STREAK else deed.amount
    columns = zip(*((*key, *sums) for key, sums in added.items()), strict=True)
    day_points: list[tuple[str, int, str, int]] = []
    earned: dict[str, int] = defaultdict(int)
    for row in await connection.fetch(ADD_DAYS, *map(list, columns)):
        user_id, day, kind = row["user_id"], row["day"], Activity(row["kind"])
        new = added[user_id, day, kind][0]
        if points := points_for(kind, row["count"] - new, new):
            day_points.append((user_id, day, kind, points))
            earned[user_id] += points
    await execute_rows(connection, ADD_DAY_POINTS, day_points)
    return earned


async def _add_points(connection: Connection, earned: dict[str, int], at_ms: int) -> None:
    if not earned:
        return
    columns = map(list, zip(*sorted(earned.items()), strict=True))
    for row in await connection.fetch(ADD_POINTS, *columns):
        tier = upgraded(row["points"] - row["added"], row["points"])
        if tier is not None:
            fact = TierUpgraded(row["user_id"], tier, row["points"], at_ms)
            await users_events.tell(connection, row["user_id"], [fact], at_ms)


def _users(deeds: Sequence[Deed]) -> list[str]:
    return sorted({deed.user_id for deed in deeds})


def _stats_rows(deeds: Sequence[Deed]) -> list[tuple[object, ...]]:
    totals: dict[str, list[int]] = defaultdict(lambda: [0] * 8)
    for deed in deeds:
        t = totals[deed.user_id]
        if deed.kind is Activity.LISTEN:
            t[0], t[1] = t[0] + deed.count, t[1] + deed.amount
        elif deed.kind is Activity.REWARD:
            t[2], t[3] = t[2] + deed.count, t[3] + deed.amount
        elif deed.kind is Activity.INVESTMENT:
            t[4], t[5] = t[4] + deed.count, t[5] + deed.amount
        elif deed.kind is Activity.STREAK:
            t[6], t[7] = deed.days, max(t[7], deed.amount)
    return [(user_id, *t) for user_id, t in totals.items()]
