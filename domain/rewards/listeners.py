"""Listeners: what a day allows, and the streak.

An admission reserves the most that its listen can be paid, so that listens on several devices can
be in payment at once and the day's limit still holds; settling or releasing frees what is left.
The day never goes back: a listener who travels west, or changes the time zone, gains no second day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from domain import streaks
from domain.decision import Decision, Remind
from domain.policy import BPS, RewardPolicy, StreakPolicy
from domain.rewards import formula
from domain.streaks import Streak
from messages.rewards import (
    AdmitListen,
    BadListen,
    CheckStreak,
    GetStreak,
    ListenAdmitted,
    ListenerCommand,
    ListenerEvent,
    ListenKnown,
    ListenNotAdmitted,
    ListenReleased,
    ListenSettled,
    ListenUnknown,
    ReleaseListen,
    SettleListen,
    StreakBroken,
    StreakExtended,
    StreakView,
)

STREAK_TIMER = "streak"
REMEMBERED_SESSIONS = 128  # settled or released: enough for two full days
KEPT_DAYS = 2  # after which an admission that nobody settled is given up

Outcome: TypeAlias = Decision[ListenerEvent]


class Admission(msgspec.Struct, frozen=True, array_like=True):
    """A listen that is being paid: the day it counts to, and the most it may be paid."""

    day: int
    allowance_minor: int


class Policies(msgspec.Struct, frozen=True):
    """What a listener's entity decides by."""

    reward: RewardPolicy = RewardPolicy()
    streak: StreakPolicy = StreakPolicy()


class Listener(msgspec.Struct, frozen=True):
    """A listener. `rewarded` and `paid_minor` are of `day`; `open` are admissions in payment."""

    user_id: str
    time_zone: str = "UTC"
    day: int = 0
    rewarded: int = 0
    paid_minor: int = 0
    open: dict[str, Admission] = {}
    done: tuple[str, ...] = ()
    streak: Streak = Streak()


def initial(entity_id: str) -> Listener:
    """A user who was never rewarded."""
    return Listener(entity_id)


def decide(policy: Policies, state: Listener, command: ListenerCommand, now_ms: int) -> Outcome:
    """What a command does. Raises the Refusals of `messages.rewards`."""
    return _DECIDERS[type(command)](policy, state, command, now_ms)


def evolve(state: Listener, event: ListenerEvent) -> Listener:
    """The listener after a fact."""
    return _CHANGES[type(event)](state, event)


def view(policy: Policies, state: Listener, now_ms: int) -> StreakView:
    """The streak and what is left of the day's limits at a moment."""
    zone = streaks.zone_of(state.time_zone)
    today = max(state.day, streaks.local_day(now_ms, zone))
    streak = state.streak
    alive = streaks.miss(policy.streak, streak, today).alive
    sessions, paid = (state.rewarded, state.paid_minor) if today == state.day else (0, 0)
    return StreakView(
        days=streak.days if alive else 0,
        longest_days=streak.longest_days,
        last_day=streak.last_day,
        today=today,
        freezes_left=streaks.freezes_left(policy.streak, streak, today),
        keep_until_ms=_keep_until(policy.streak, streak, state.time_zone) if alive else 0,
        time_zone=state.time_zone,
        rewarded_today=sessions,
        paid_today_minor=paid,
        left_today_minor=_left_minor(policy, state, today),
    )


def _admit(policy: Policies, state: Listener, command: AdmitListen, now_ms: int) -> Outcome:
    _check(policy, command)
    if command.session_id in state.open or command.session_id in state.done:
        raise ListenKnown(session_id=command.session_id)
    zone = streaks.zone_of(command.time_zone)
    day = max(state.day, streaks.local_day(command.ended_at_ms, zone))
    left = _left_minor(policy, state, day)
    sessions = _sessions(state, day)
    if sessions >= policy.reward.daily_sessions or left <= 0:
        reason = "daily-amount" if left <= 0 else "daily-sessions"
        refused = ListenNotAdmitted(command.session_id, state.user_id, day, reason, now_ms)
        return Decision((refused,), refused)
    highest = formula.highest_reward_minor(
        policy.reward,
        played_ms=command.played_ms,
        tier=command.tier,
        boost_bps=command.boost_bps,
    )
    admitted = ListenAdmitted(
        session_id=command.session_id,
        user_id=state.user_id,
        device_id=command.device_id,
        song_id=command.song_id,
        artist_id=command.artist_id,
        pool_id=command.pool_id,
        played_ms=command.played_ms,
        tier=command.tier,
        boost_bps=command.boost_bps,
        time_zone=command.time_zone,
        day=day,
        allowance_minor=min(left, highest),
        at_ms=now_ms,
    )
    return Decision((admitted,), admitted)


def _check(policy: Policies, command: AdmitListen) -> None:
    if command.played_ms <= 0 or command.ended_at_ms < 0:
        raise BadListen("a listen lasts some time", field="played_ms")
    if not BPS <= command.boost_bps <= policy.reward.max_boost_bps:
        raise BadListen("the boost is out of range", field="boost_bps")


def _settle(policy: Policies, state: Listener, command: SettleListen, now_ms: int) -> Outcome:
    admission = state.open.get(command.session_id)
    if admission is None:
        raise ListenUnknown(session_id=command.session_id)
    if not 0 < command.reward_minor <= admission.allowance_minor:
        raise BadListen("the reward is not within the allowance", field="reward_minor")
    settled = ListenSettled(command.session_id, command.reward_minor, now_ms)
    moved = _extend(policy.streak, state, admission.day, now_ms)
    after = state
    for event in (settled, *moved):
        after = evolve(after, event)
    timers = (_timer(policy.streak, after),) if moved else ()
    return Decision((settled, *moved), view(policy, after, now_ms), timers=timers)


def _extend(
    policy: StreakPolicy, state: Listener, day: int, now_ms: int
) -> tuple[ListenerEvent, ...]:
    """The day's first rewarded listen extends the streak, or breaks it and begins a new one."""
    streak = state.streak
    if day <= streak.last_day:
        return ()
    walk = streaks.miss(policy, streak, day)
    events: list[ListenerEvent] = []
    if streak.days and not walk.alive:
        events.append(_broken(state, walk.streak, now_ms))
    days = streak.days + 1 if walk.alive else 1
    events.append(
        StreakExtended(
            user_id=state.user_id,
            days=days,
            longest_days=max(days, streak.longest_days),
            day=day,
            frozen_days=walk.frozen_days if walk.alive else 0,
            freeze_week=walk.streak.freeze_week,
            freezes_used=walk.streak.freezes_used,
            at_ms=now_ms,
        )
    )
    return tuple(events)


def _broken(state: Listener, after: Streak, now_ms: int) -> StreakBroken:
    streak = state.streak
    return StreakBroken(
        state.user_id,
        streak.days,
        streak.last_day,
        after.freeze_week,
        after.freezes_used,
        now_ms,
    )


def _release(_policy: Policies, state: Listener, command: ReleaseListen, now_ms: int) -> Outcome:
    if command.session_id not in state.open:
        raise ListenUnknown(session_id=command.session_id)
    return Decision((ListenReleased(command.session_id, command.reason, now_ms),))


def _check_streak(policy: Policies, state: Listener, _command: CheckStreak, now_ms: int) -> Outcome:
    """The deadline is worked out anew: a listen, or a journey, may have moved it."""
    if state.streak.days == 0:
        return Decision()
    timer = _timer(policy.streak, state)
    if now_ms < timer.due_at_ms:
        return Decision(timers=(timer,))
    walk = streaks.miss(
        policy.streak, state.streak, streaks.last_saving_day(policy.streak, state.streak) + 1
    )
    return Decision((_broken(state, walk.streak, now_ms),))


def _get(policy: Policies, state: Listener, _command: GetStreak, now_ms: int) -> Outcome:
    return Decision(answer=view(policy, state, now_ms))


def _sessions(state: Listener, day: int) -> int:
    """Sessions of a day that are rewarded, or about to be."""
    open_ones = sum(admission.day == day for admission in state.open.values())
    return open_ones + (state.rewarded if day == state.day else 0)


def _left_minor(policy: Policies, state: Listener, day: int) -> int:
    reserved = sum(a.allowance_minor for a in state.open.values() if a.day == day)
    paid = state.paid_minor if day == state.day else 0
    return max(0, policy.reward.daily_limit_minor - paid - reserved)


def _keep_until(policy: StreakPolicy, streak: Streak, time_zone: str) -> int:
    if streak.days == 0:
        return 0
    last = streaks.last_saving_day(policy, streak)
    return streaks.day_ends_at(last, streaks.zone_of(time_zone))


def _timer(policy: StreakPolicy, state: Listener) -> Remind:
    due_at_ms = _keep_until(policy, state.streak, state.time_zone) + policy.grace_ms
    return Remind(STREAK_TIMER, due_at_ms)


# --- facts --------------------------------------------------------------------------------------


def _admitted(state: Listener, event: ListenAdmitted) -> Listener:
    if event.day > state.day:
        recent = {s: a for s, a in state.open.items() if a.day > event.day - KEPT_DAYS}
        state = replace(state, day=event.day, rewarded=0, paid_minor=0, open=recent)
    admission = Admission(event.day, event.allowance_minor)
    return replace(
        state,
        time_zone=event.time_zone,
        open={**state.open, event.session_id: admission},
    )


def _closed(state: Listener, session_id: str) -> tuple[Listener, Admission | None]:
    rest = dict(state.open)
    admission = rest.pop(session_id, None)
    done = (*state.done, session_id)[-REMEMBERED_SESSIONS:]
    return replace(state, open=rest, done=done), admission


def _settled(state: Listener, event: ListenSettled) -> Listener:
    state, admission = _closed(state, event.session_id)
    if admission is None or admission.day != state.day:
        return state
    return replace(
        state, rewarded=state.rewarded + 1, paid_minor=state.paid_minor + event.reward_minor
    )


def _released(state: Listener, event: ListenReleased) -> Listener:
    return _closed(state, event.session_id)[0]


def _not_admitted(state: Listener, _event: ListenNotAdmitted) -> Listener:
    return state


def _extended(state: Listener, event: StreakExtended) -> Listener:
    return replace(
        state,
        streak=Streak(
            event.days, event.longest_days, event.day, event.freeze_week, event.freezes_used
        ),
    )


def _streak_broken(state: Listener, event: StreakBroken) -> Listener:
    return replace(
        state,
        streak=replace(
            state.streak, days=0, freeze_week=event.freeze_week, freezes_used=event.freezes_used
        ),
    )


_DECIDERS: dict[type, Callable[[Policies, Listener, Any, int], Outcome]] = {
    AdmitListen: _admit,
    SettleListen: _settle,
    ReleaseListen: _release,
    CheckStreak: _check_streak,
    GetStreak: _get,
}
_CHANGES: dict[type, Callable[[Listener, Any], Listener]] = {
    ListenAdmitted: _admitted,
    ListenNotAdmitted: _not_admitted,
    ListenSettled: _settled,
    ListenReleased: _released,
    StreakExtended: _extended,
    StreakBroken: _streak_broken,
}
