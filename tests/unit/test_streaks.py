"""Streaks: calendars one can check by eye, and random days against the naive twin."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import streaks
from domain.policy import StreakPolicy
from messages.rewards import (
    CheckStreak,
    GetStreak,
    SettleClaims,
    StreakBroken,
    StreakExtended,
    StreakView,
)
from tests.unit.rewards_entities import Entity, admit, new_listener
from tests.unit.streaks_naive import NaiveStreak

POLICY = StreakPolicy()
MONDAY = date(2026, 3, 2)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

# Weeks from a Monday: x rewarded, . not | the streak at the end of the last day, and the longest
CALENDARS = {
    "three days": ("xxx", 3, 3),
    "one missed day is frozen and does not count": ("xx.x", 3, 3),
    "two missed days in a week break it": ("xx.x.x", 1, 3),
    "two missed days in a row break it": ("xx..x", 1, 2),
    "a freeze a week": ("xx.xxxx x.xxxxx xxxxx.x", 18, 18),
    "Sunday and Monday are of two weeks": ("xxxxxx. .x", 7, 7),
    "three missed days are too many for two weeks": ("xxxxx.. .x", 1, 5),
    "the freeze that did not help is used up": ("xx..x.x", 1, 2),
    "nothing yet": ("....", 0, 0),
    "today may still come": ("xxx.", 3, 3),
}


def moment(day: date, zone: str = "UTC", hour: int = 12) -> int:
    local = datetime(day.year, day.month, day.day, hour, 30, tzinfo=ZoneInfo(zone))
    return round(local.timestamp() * 1000)


def reward(listener: Entity, number: int, at_ms: int, zone: str = "UTC") -> StreakView:
    """A listen that ends and is paid at a moment."""
    admitted = listener.send(admit(number, time_zone=zone), at_ms)
    view = listener.send(SettleClaims(admitted.payment_id, 1, 1))
    assert isinstance(view, StreakView)
    return view


def fire_timers(listener: Entity, now_ms: int) -> None:
    due = listener.timers.get("streak")
    while due is not None and due <= now_ms:
        del listener.timers["streak"]
        listener.send(CheckStreak(due), due)
        due = listener.timers.get("streak")


@pytest.mark.parametrize("timers", [True, False], ids=["timers", "no timers"])
@pytest.mark.parametrize(("calendar", "days", "longest"), CALENDARS.values(), ids=CALENDARS)
def test_a_calendar(calendar: str, days: int, longest: int, timers: bool) -> None:
    listener = new_listener()
    at_ms = moment(MONDAY)
    for number, mark in enumerate(calendar.replace(" ", "")):
        at_ms = moment(MONDAY + timedelta(days=number))
        if timers:
            fire_timers(listener, at_ms)
        if mark == "x":
            reward(listener, number, at_ms)
    view = listener.send(GetStreak(), at_ms)
    assert (view.days, view.longest_days) == (days, longest)


def test_a_fact_tells_how_many_days_were_frozen() -> None:
    listener = new_listener()
    for number in (0, 1, 3, 7):
        reward(listener, number, moment(MONDAY + timedelta(days=number)))
    extended = [e for e in listener.events if isinstance(e, StreakExtended)]
    assert [(e.days, e.frozen_days) for e in extended] == [(1, 0), (2, 0), (3, 1), (1, 0)]


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 6), st.booleans())
def test_streaks_are_those_of_the_naive_twin(marks: list[bool], offset: int, timers: bool) -> None:
    listener, naive = new_listener(), NaiveStreak()
    start = MONDAY + timedelta(days=offset)
    for number, rewarded in enumerate(marks):
        day = start + timedelta(days=number)
        if timers:
            fire_timers(listener, moment(day))
        if rewarded:
            reward(listener, number, moment(day))
            reward(listener, 1_000 + number, moment(day) + HOUR_MS)
        naive.day_over(day, rewarded=rewarded)
        tomorrow = listener.send(GetStreak(), moment(day + timedelta(days=1)))
        assert (tomorrow.days, tomorrow.longest_days) == (naive.days, naive.longest)
    extended = [e for e in listener.events if isinstance(e, StreakExtended)]
    assert len(extended) == sum(marks)


ZONES = ["UTC", "Europe/Madrid", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago",
         "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"]  # fmt: skip


@given(st.sampled_from(ZONES), st.integers(0, 800), st.lists(st.integers(0, 23), max_size=40))
def test_every_local_day_counts_once_whatever_the_clocks_do(
    zone: str, offset: int, hours: list[int]
) -> None:
    """A listen each local day, over changes to and from summer time, is a streak without a gap."""
    listener = new_listener()
    start = date(2025, 1, 1) + timedelta(days=offset)
    for number, hour in enumerate(hours):
        at_ms = moment(start + timedelta(days=number), zone, hour)
        fire_timers(listener, at_ms)
        view = reward(listener, number, at_ms, zone)
        assert view.days == number + 1
        assert view.today == (start + timedelta(days=number)).toordinal()
    assert not any(isinstance(e, StreakBroken) for e in listener.events)


@given(
    st.lists(
        st.tuples(st.sampled_from(ZONES), st.integers(0, 30 * HOUR_MS)), min_size=1, max_size=40
    )
)
def test_a_traveller_gains_at_most_a_day_on_the_sun(journey: list[tuple[str, int]]) -> None:
    """Zones span 26 hours: n real days are at most n + 2 local ones, and no day counts twice."""
    listener = new_listener()
    begin = at_ms = moment(MONDAY)
    for number, (zone, wait_ms) in enumerate(journey):
        at_ms += wait_ms
        fire_timers(listener, at_ms)
        reward(listener, number, at_ms, zone)
    extended = [e for e in listener.events if isinstance(e, StreakExtended)]
    days = [e.day for e in extended]
    assert days == sorted(set(days))
    assert len(days) <= (at_ms - begin) // DAY_MS + 3


def test_summer_time_moves_the_end_of_a_day() -> None:
    zone = ZoneInfo("Europe/Madrid")
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)):
        ordinal = day.toordinal()
        length = streaks.day_ends_at(ordinal, zone) - streaks.day_ends_at(ordinal - 1, zone)
        assert length == hours * HOUR_MS
        assert streaks.local_day(streaks.day_ends_at(ordinal, zone) - 1, zone) == ordinal
        assert streaks.local_day(streaks.day_ends_at(ordinal, zone), zone) == ordinal + 1


def test_an_unknown_zone_is_utc() -> None:
    for name in ("", "Nowhere/Land", "../etc/passwd", "\0"):
        assert streaks.zone_of(name) is UTC


def test_a_streak_breaks_by_itself_when_nothing_can_save_it() -> None:
    listener = new_listener()
    friday = MONDAY + timedelta(days=4)
    view = reward(listener, 1, moment(friday, "Europe/Madrid"), "Europe/Madrid")
    # Saturday is frozen; Sunday is the last day that saves it.
    ends = moment(MONDAY + timedelta(days=7), "Europe/Madrid", 0) - 30 * 60_000
    assert view.keep_until_ms == ends
    assert listener.timers == {"streak": ends + POLICY.grace_ms}
    listener.timers.clear()
    listener.send(CheckStreak(0), ends)
    assert listener.timers == {"streak": ends + POLICY.grace_ms}
    assert "StreakBroken" not in listener.names()
    listener.send(CheckStreak(0), ends + POLICY.grace_ms)
    [broken] = [e for e in listener.events if isinstance(e, StreakBroken)]
    assert (broken.days, broken.last_day) == (1, friday.toordinal())
    listener.send(CheckStreak(0), ends + DAY_MS)
    assert listener.names().count("StreakBroken") == 1
    assert listener.send(GetStreak()).days == 0


def test_a_second_listen_of_a_day_arms_no_timer() -> None:
    listener = new_listener()
    reward(listener, 1, moment(MONDAY))
    listener.timers.clear()
    reward(listener, 2, moment(MONDAY) + HOUR_MS)
    assert listener.timers == {}
