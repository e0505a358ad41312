"""Listeners: the daily limits that claims must pass, and streaks."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from messages.listening import Tier
from messages.rewards.retired import (
    ListenAdmitted,
    ListenNotAdmitted,
    ListenReleased,
    ListenSettled,
)


class AdmitClaims(msgspec.Struct, frozen=True, tag=True):
    """Let claims through the recipient's daily limits; as many of the first as fit.

    played_ms: the public minimum of each.  time_zone: of the recipient, as it is now.
    """

    payment_id: str
    played_ms: tuple[int, ...]
    tier: Tier
    time_zone: str


class SettleClaims(msgspec.Struct, frozen=True, tag=True):
    """Of an admitted payment, `claims` were paid `reward_minor` in all; the rest is free again."""

    payment_id: str
    claims: int
    reward_minor: int


class ReleaseClaims(msgspec.Struct, frozen=True, tag=True):
    """Nothing of an admitted payment was paid, and `refused` of its claims were refused."""

    payment_id: str
    refused: int


class CheckStreak(msgspec.Struct, frozen=True, tag=True):
    """The entity's own timer: the last day that could save the streak is over."""

    due_at_ms: int


class GetStreak(msgspec.Struct, frozen=True, tag=True):
    """Query: the streak and what is left of today's limits."""


ListenerCommand: TypeAlias = AdmitClaims | SettleClaims | ReleaseClaims | CheckStreak | GetStreak


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


class ClaimsAdmitted(msgspec.Struct, frozen=True, tag=True):
    """Journal only, and the answer: the first `claims` may be paid up to `allowance_minor`.

    Both are reserved until the payment is settled or released, or its day is long over.
    """

    payment_id: str
    claims: int
    day: int
    allowance_minor: int
    time_zone: str
    at_ms: int


class ClaimsSettled(msgspec.Struct, frozen=True, tag=True):
    """Journal only."""

    payment_id: str
    claims: int
    reward_minor: int
    at_ms: int


class ClaimsReleased(msgspec.Struct, frozen=True, tag=True):
    """Journal only."""

    payment_id: str
    refused: int
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
    ClaimsAdmitted
    | ClaimsSettled
    | ClaimsReleased
    | StreakExtended
    | StreakBroken
    | ListenAdmitted
    | ListenNotAdmitted
    | ListenSettled
    | ListenReleased
)

ListenerAnswer: TypeAlias = StreakView | ClaimsAdmitted
PUBLIC_LISTENER_EVENTS = frozenset({StreakExtended, StreakBroken})
