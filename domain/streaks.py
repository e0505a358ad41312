"""Streaks: days with a rewarded listen, in the listener's own time zone, one freeze a week.

A day is a proleptic ordinal (`date.toordinal`; day 1 was a Monday), a week begins on Monday. A
missed day takes a freeze of its own week if one is left, and breaks the streak otherwise. What is
kept is the last day with a listen; the days since are walked when it matters.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec.structs import replace

from domain.policy import StreakPolicy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Streak(msgspec.Struct, frozen=True):
    """`freezes_used` counts those of `freeze_week`, the last week that needed one."""

    days: int = 0
    longest_days: int = 0
    last_day: int = 0
    freeze_week: int = 0
    freezes_used: int = 0


class Walk(msgspec.Struct, frozen=True):
    """A streak after missed days: the freezes it took, and whether it survived."""

    streak: Streak
    frozen_days: int
    alive: bool


def zone_of(name: str) -> tzinfo:
    """The time zone; UTC if this machine's tables do not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def local_day(at_ms: int, zone: tzinfo) -> int:
    """The day on which a moment falls in a time zone."""
    return (EPOCH + at_ms * MILLISECOND).astimezone(zone).date().toordinal()


def day_ends_at(day: int, zone: tzinfo) -> int:
    """The moment at which the next day begins in a time zone."""
    midnight = datetime.combine(date.fromordinal(day + 1), time(), zone)
    return (midnight.astimezone(UTC) - EPOCH) // MILLISECOND


def week_of(day: int) -> int:
    """The week of a day, from Monday."""
    return (day - 1) // 7


def miss(policy: StreakPolicy, streak: Streak, until_day: int) -> Walk:
    """Walk the days between the last one and `until_day`, which had no rewarded listen.

    O(freezes): the walk ends with the first day that no freeze covers.
    """
    frozen = 0
    if streak.days == 0:
        return Walk(streak, 0, alive=False)
    for day in range(streak.last_day + 1, until_day):
        used = streak.freezes_used if streak.freeze_week == week_of(day) else 0
        if used >= policy.freezes_per_week:
            return Walk(streak, frozen, alive=False)
        streak = replace(streak, freeze_week=week_of(day), freezes_used=used + 1)
        frozen += 1
    return Walk(streak, frozen, alive=True)


def last_saving_day(policy: StreakPolicy, streak: Streak) -> int:
    """The last day on which a listen still continues the streak."""
    day = streak.last_day + 1
    while miss(policy, streak, day + 1).alive:
        day += 1
    return day


def freezes_left(policy: StreakPolicy, streak: Streak, today: int) -> int:
    """Freezes of today's week, after what the days missed so far took."""
    after = miss(policy, streak, today).streak
    used = after.freezes_used if after.freeze_week == week_of(today) else 0
    return max(0, policy.freezes_per_week - used)
