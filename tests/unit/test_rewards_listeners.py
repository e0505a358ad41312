"""Listeners: what a day allows, whatever is in payment at once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.rewards import listeners
from domain.rewards.listeners import Listener
from messages.errors import Refusal
from messages.listening import Tier
from messages.rewards import (
    AdmitListen,
    CheckStreak,
    GetStreak,
    ListenAdmitted,
    ListenerEvent,
    ListenNotAdmitted,
    ReleaseListen,
    SettleListen,
)
from tests.unit.rewards_entities import (
    DAY_MS,
    POLICIES,
    T0,
    USER,
    VIBES,
    Entity,
    admit,
    new_listener,
    session,
)

BIG: dict[str, Any] = {"played_ms": 3_600_000, "tier": Tier.VIP, "boost_bps": 100_000}


def settle(listener: Entity, number: int, reward_minor: int) -> None:
    listener.send(SettleListen(session(number), reward_minor))


def test_an_admission_reserves_the_most_that_a_listen_may_be_paid() -> None:
    listener = new_listener()
    admitted = listener.send(admit(1))
    assert isinstance(admitted, ListenAdmitted)
    assert admitted.allowance_minor == VIBES  # half a VIBES a minute at twice the rate
    assert listener.send(GetStreak()).left_today_minor == 99 * VIBES
    settle(listener, 1, 500_000)
    view = listener.send(GetStreak())
    assert (view.left_today_minor, view.paid_today_minor) == (99_500_000, 500_000)
    assert view.rewarded_today == 1


def test_the_amount_of_a_day_holds_for_listens_in_payment_at_once() -> None:
    listener = new_listener()
    assert listener.send(admit(1, **BIG)).allowance_minor == 100 * VIBES
    refused = listener.send(admit(2))
    assert refused == ListenNotAdmitted(session(2), USER, refused.day, "daily-amount", T0)
    settle(listener, 1, 30 * VIBES)
    assert listener.send(admit(3, **BIG)).allowance_minor == 70 * VIBES
    listener.send(ReleaseListen(session(3), "pool-depleted"))
    assert listener.send(admit(4, **BIG)).allowance_minor == 70 * VIBES


def test_fifty_sessions_a_day_and_then_the_next_day() -> None:
    listener = new_listener()
    for number in range(50):
        assert isinstance(listener.send(admit(number)), ListenAdmitted)
        if number % 2:
            settle(listener, number, 1)
    refused = listener.send(admit(50))
    assert (type(refused), refused.reason) == (ListenNotAdmitted, "daily-sessions")
    listener.send(ReleaseListen(session(0), "pool-depleted"))
    assert isinstance(listener.send(admit(51)), ListenAdmitted)
    assert isinstance(listener.send(admit(52)), ListenNotAdmitted)
    tomorrow = listener.send(admit(53, ended_at_ms=T0 + DAY_MS), T0 + DAY_MS)
    assert isinstance(tomorrow, ListenAdmitted)
    assert tomorrow.day == refused.day + 1


def test_what_is_settled_after_midnight_counts_to_the_day_of_the_listen() -> None:
    listener = new_listener()
    listener.send(admit(1, **BIG))
    listener.send(admit(2, ended_at_ms=T0 + DAY_MS), T0 + DAY_MS)
    settle(listener, 1, 100 * VIBES)
    view = listener.send(GetStreak())
    assert (view.paid_today_minor, view.rewarded_today) == (0, 0)
    assert view.days == 1


def test_a_late_listen_of_the_day_before_counts_to_today() -> None:
    listener = new_listener()
    today = listener.send(admit(1)).day
    assert listener.send(admit(2, ended_at_ms=T0 - DAY_MS)).day == today


@pytest.mark.parametrize("end", ["open", "settled", "released"])
def test_a_session_is_admitted_once(end: str) -> None:
    listener = new_listener()
    listener.send(admit(1))
    if end == "settled":
        settle(listener, 1, 1)
    elif end == "released":
        listener.send(ReleaseListen(session(1), "pool-depleted"))
    for at_ms in (T0, T0 + DAY_MS):
        with pytest.raises(Refusal) as refused:
            listener.send(admit(1, ended_at_ms=at_ms), at_ms)
        assert refused.value.code == "listen-known"


def test_what_was_refused_for_the_day_may_be_admitted_later() -> None:
    listener = new_listener()
    listener.send(admit(1, **BIG))
    assert isinstance(listener.send(admit(2)), ListenNotAdmitted)
    settle(listener, 1, 1)
    assert isinstance(listener.send(admit(2)), ListenAdmitted)


BAD = [
    (admit(1, played_ms=0), "listen-invalid"),
    (admit(1, boost_bps=9_999), "listen-invalid"),
    (admit(1, boost_bps=100_001), "listen-invalid"),
    (SettleListen(session(9), 1), "listen-unknown"),
    (ReleaseListen(session(9), "x"), "listen-unknown"),
    (SettleListen(session(5), 0), "listen-invalid"),
    (SettleListen(session(5), -1), "listen-invalid"),
    (SettleListen(session(5), VIBES + 1), "listen-invalid"),
]


@pytest.mark.parametrize(("command", "code"), BAD)
def test_bad_commands_are_refused(command: Any, code: str) -> None:
    listener = new_listener()
    listener.send(admit(5))
    before = listener.state
    with pytest.raises(Refusal) as refused:
        listener.send(command)
    assert refused.value.code == code
    assert listener.state == before


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "settle", "release", "timer"]),
        st.integers(0, 8),
        st.integers(1, 3_600_000),
        st.integers(0, DAY_MS),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_day_pays_more_than_its_limit_and_a_replay_agrees(
    steps: list[tuple[str, int, int, int]],
) -> None:
    listener, paid = new_listener(), dict[int, int]()
    for step, number, amount, wait_ms in steps:
        at_ms = listener.now_ms + wait_ms
        admission = listener.state.open.get(session(number))
        reward = min(amount * 20, admission.allowance_minor) if admission else 1
        command: Any = {
            "admit": admit(
                number, played_ms=amount, boost_bps=100_000, ended_at_ms=at_ms, tier=Tier.VIP
            ),
            "settle": SettleListen(session(number), reward),
            "release": ReleaseListen(session(number), "x"),
            "timer": CheckStreak(at_ms),
        }[step]
        try:
            listener.send(command, at_ms)
        except Refusal:
            continue
        if step == "settle":
            assert admission is not None
            paid[admission.day] = paid.get(admission.day, 0) + reward
    assert all(amount <= 100 * VIBES for amount in paid.values())
    state = listeners.initial(USER)
    for event in listener.events:
        again = msgspec.json.decode(msgspec.json.encode(event), type=ListenerEvent)
        state = listeners.evolve(state, again)
    assert state == listener.state
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=Listener) == state


def test_the_state_has_limits() -> None:
    listener = new_listener()
    for number in range(2_000):
        at_ms = T0 + number * DAY_MS // 60
        answer = listener.send(admit(number, played_ms=1_000, ended_at_ms=at_ms), at_ms)
        if isinstance(answer, ListenAdmitted) and number % 3:
            settle(listener, number, 1)
    assert len(listener.state.open) <= 100
    assert len(listener.state.done) <= 128
    assert len(msgspec.msgpack.encode(listener.state)) < 16_384


def test_any_command_in_any_state_is_decided_or_refused() -> None:
    commands: list[Any] = [admit(1), admit(1, time_zone="?"), GetStreak(), CheckStreak(0)]
    commands += [command for command, _ in BAD]
    for first in commands:
        for second in commands:
            outcomes = {_outcomes(first, second) for _ in range(2)}
            assert len(outcomes) == 1


def _outcomes(*commands: Any) -> str:
    listener, found = new_listener(), []
    for command in commands:
        try:
            found.append(repr(listener.send(command, T0 + 40 * DAY_MS)))
        except Refusal as refusal:
            found.append(refusal.code)
    return repr((found, listener.state, POLICIES, AdmitListen.__name__))
