"""Listeners: what a day allows, and the streak.

An admission reserves the most that its claims can be paid, so that several payments can be under
way at once and the day's limit still holds; settling or releasing frees what is left. The day is
that of the claim, as nobody knows when what is claimed was listened to, and it never goes back: who
travels west, or changes the time zone, gains no second day.
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
from messages.listening import Tier
from messages.rewards import (
    MAX_CLAIMS,
    AdmitClaims,
    BadAmount,
    BadClaims,
    CheckStreak,
    ClaimKnown,
    ClaimsAdmitted,
    ClaimsLimited,
    ClaimsReleased,
    ClaimsSettled,
    ClaimUnknown,
    GetStreak,
    ListenAdmitted,
    ListenerCommand,
    ListenerEvent,
    ListenNotAdmitted,
    ListenReleased,
    ListenSettled,
    ReleaseClaims,
    SettleClaims,
    StepNotOffered,
    StreakBroken,
    StreakExtended,
    StreakView,
)

STREAK_TIMER = "streak"
REMEMBERED_PAYMENTS = 128  # settled or released: more than one a session of two full days
KEPT_DAYS = 2  # after which an admission that nobody settled is given up

Outcome: TypeAlias = Decision[ListenerEvent]


class Admission(msgspec.Struct, frozen=True, array_like=True):
    """Claims that are being paid: the day they count to, and the most they may be paid."""

    day: int
    allowance_minor: int
    claims: int = 1


class Policies(msgspec.Struct, frozen=True):
    """What a listener's entity decides by."""

    reward: RewardPolicy = RewardPolicy()
    streak: StreakPolicy = StreakPolicy()


class Listener(msgspec.Struct, frozen=True):
    """A listener. `rewarded`, `paid_minor` and `refused` are of `day`.

    open: admissions in payment, by payment.  refused: claims that were refused, none of which paid.
    """

    user_id: str
    time_zone: str = "UTC"
    day: int = 0
    rewarded: int = 0
    paid_minor: int = 0
    open: dict[str, Admission] = {}
    done: tuple[str, ...] = ()
    streak: Streak = Streak()
    refused: int = 0


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


def _admit(policy: Policies, state: Listener, command: AdmitClaims, now_ms: int) -> Outcome:
    _check(policy.reward, command)
    if command.payment_id in state.open or command.payment_id in state.done:
        raise ClaimKnown(payment_id=command.payment_id)
    day = max(state.day, streaks.local_day(now_ms, streaks.zone_of(command.time_zone)))
    refused = state.refused if day == state.day else 0
    if refused >= policy.reward.daily_refused_claims:
        raise ClaimsLimited(reason="daily-refused")
    left_minor = _left_minor(policy, state, day)
    places = policy.reward.daily_sessions - _sessions(state, day)
    if places <= 0 or left_minor <= 0:
        raise ClaimsLimited(reason="daily-amount" if left_minor <= 0 else "daily-sessions")
    played_ms = command.played_ms[:places]
    highest = sum(_highest_minor(policy.reward, command.tier, ms) for ms in played_ms)
    admitted = ClaimsAdmitted(
        payment_id=command.payment_id,
        claims=len(played_ms),
        day=day,
        allowance_minor=min(left_minor, highest),
        time_zone=command.time_zone,
        at_ms=now_ms,
    )
    return Decision((admitted,), admitted)


def _check(policy: RewardPolicy, command: AdmitClaims) -> None:
    if not 1 <= len(command.played_ms) <= MAX_CLAIMS:
        raise BadClaims(most=MAX_CLAIMS)
    if not all(ms in policy.claim_steps_ms for ms in command.played_ms):
        raise StepNotOffered


def _highest_minor(policy: RewardPolicy, tier: Tier, played_ms: int) -> int:
    return formula.highest_reward_minor(policy, played_ms=played_ms, tier=tier, boost_bps=BPS)


def _settle(policy: Policies, state: Listener, command: SettleClaims, now_ms: int) -> Outcome:
    admission = state.open.get(command.payment_id)
    if admission is None:
        raise ClaimUnknown(payment_id=command.payment_id)
    if not 0 < command.reward_minor <= admission.allowance_minor:
        raise BadAmount("the reward is not within the allowance")
    if not 1 <= command.claims <= admission.claims:
        raise BadClaims("more was paid than was admitted", most=admission.claims)
    settled = ClaimsSettled(command.payment_id, command.claims, command.reward_minor, now_ms)
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


def _release(_policy: Policies, state: Listener, command: ReleaseClaims, now_ms: int) -> Outcome:
    admission = state.open.get(command.payment_id)
    if admission is None:
        raise ClaimUnknown(payment_id=command.payment_id)
    refused = min(max(0, command.refused), admission.claims)
    return Decision((ClaimsReleased(command.payment_id, refused, now_ms),))


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
    open_ones = sum(a.claims for a in state.open.values() if a.day == day)
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


def _admitted(state: Listener, event: ClaimsAdmitted) -> Listener:
    if event.day > state.day:
        recent = {p: a for p, a in state.open.items() if a.day > event.day - KEPT_DAYS}
        state = replace(state, day=event.day, rewarded=0, paid_minor=0, refused=0, open=recent)
    admission = Admission(event.day, event.allowance_minor, event.claims)
    return replace(
        state,
        time_zone=event.time_zone,
        open={**state.open, event.payment_id: admission},
    )


def _closed(state: Listener, payment_id: str) -> tuple[Listener, Admission | None]:
    rest = dict(state.open)
    admission = rest.pop(payment_id, None)
    done = (*state.done, payment_id)[-REMEMBERED_PAYMENTS:]
    return replace(state, open=rest, done=done), admission


def _settled(state: Listener, event: ClaimsSettled) -> Listener:
    state, admission = _closed(state, event.payment_id)
    if admission is None or admission.day != state.day:
        return state
    return replace(
        state,
        rewarded=state.rewarded + event.claims,
        paid_minor=state.paid_minor + event.reward_minor,
    )


def _released(state: Listener, event: ClaimsReleased) -> Listener:
    state, admission = _closed(state, event.payment_id)
    if admission is None or admission.day != state.day:
        return state
    return replace(state, refused=state.refused + event.refused)


def _unchanged(state: Listener, _event: ListenerEvent) -> Listener:
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
    AdmitClaims: _admit,
    SettleClaims: _settle,
    ReleaseClaims: _release,
    CheckStreak: _check_streak,
    GetStreak: _get,
}
_CHANGES: dict[type, Callable[[Listener, Any], Listener]] = {
    ClaimsAdmitted: _admitted,
    ClaimsSettled: _settled,
    ClaimsReleased: _released,
    StreakExtended: _extended,
    StreakBroken: _streak_broken,
    ListenAdmitted: _unchanged,
    ListenNotAdmitted: _unchanged,
    ListenSettled: _unchanged,
    ListenReleased: _unchanged,
}
