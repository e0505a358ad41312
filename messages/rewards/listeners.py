"""Listeners: the daily limits that a listen must pass, and streaks."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from messages.listening import Tier


class AdmitListen(msgspec.Struct, frozen=True, tag=True):
    """Let an eligible listen through the listener's daily limits, once per session."""

    session_id: str
    device_id: str
    song_id: str
    artist_id: str
    pool_id: str
    played_ms: int
    ended_at_ms: int
    tier: Tier
    boost_bps: int
    time_zone: str


class SettleListen(msgspec.Struct, frozen=True, tag=True):
    """An admitted listen was paid `reward_minor`."""

    session_id: str
    reward_minor: int


class ReleaseListen(msgspec.Struct, frozen=True, tag=True):
    """An admitted listen was not paid: its place in the daily limits is free again."""

    session_id: str
    reason: str


class CheckStreak(msgspec.Struct, frozen=True, tag=True):
    """The entity's own timer: the last day that could save the streak is over."""

    due_at_ms: int


class GetStreak(msgspec.Struct, frozen=True, tag=True):
    """Query: the streak and what is left of today's limits."""


ListenerCommand: TypeAlias = AdmitListen | SettleListen | ReleaseListen | CheckStreak | GetStreak


class StreakView(msgspec.Struct, frozen=True, tag=True):
    """A streak as it stands. `days` is 0 when it is broken.

    keep_until_ms: the streak breaks unless a listen is rewarded before (0: no streak).
    freezes_left: of this calendar week.  rewarded_today: sessions that count to today's limit.
    """

    days: int
    longest_days: int
    last_day: int
    today: int
    freezes_left: int
    keep_until_ms: int
    time_zone: str
    rewarded_today: int
    paid_today_minor: int
    left_today_minor: int


class ListenAdmitted(msgspec.Struct, frozen=True, tag=True):
    """Public: a listen may be paid up to `allowance_minor`, which is reserved until it settles."""

    session_id: str
    user_id: str
    device_id: str
    song_id: str
    artist_id: str
    pool_id: str
    played_ms: int
    tier: Tier
    boost_bps: int
    time_zone: str
    day: int
    allowance_minor: int
    at_ms: int


class ListenNotAdmitted(msgspec.Struct, frozen=True, tag=True):
    """Public: a limit of the day is reached. reason: daily-sessions, daily-amount."""

    session_id: str
    user_id: str
    day: int
    reason: str
    at_ms: int


class ListenSettled(msgspec.Struct, frozen=True, tag=True):
    """Journal only."""

    session_id: str
    reward_minor: int
    at_ms: int


class ListenReleased(msgspec.Struct, frozen=True, tag=True):
    """Journal only."""

    session_id: str
    reason: str
    at_ms: int


class StreakExtended(msgspec.Struct, frozen=True, tag=True):
    """Public: a first rewarded listen of a day. `freeze_week`, `freezes_used`: as they are now."""

    user_id: str
    days: int
    longest_days: int
    day: int
    frozen_days: int
    freeze_week: int
    freezes_used: int
    at_ms: int


class StreakBroken(msgspec.Struct, frozen=True, tag=True):
    """Public: more days went by without a rewarded listen than freezes could cover."""

    user_id: str
    days: int
    last_day: int
    freeze_week: int
    freezes_used: int
    at_ms: int


ListenerEvent: TypeAlias = (
    ListenAdmitted
    | ListenNotAdmitted
    | ListenSettled
    | ListenReleased
    | StreakExtended
    | StreakBroken
)

ListenerAnswer: TypeAlias = StreakView | ListenAdmitted | ListenNotAdmitted
PUBLIC_LISTENER_EVENTS = frozenset(
    {ListenAdmitted, ListenNotAdmitted, StreakExtended, StreakBroken}
)
