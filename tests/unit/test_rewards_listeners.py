"""Listeners: what a day allows, whatever is in payment at once."""

from __future__ import annotations

from collections import Counter
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
    CheckStreak,
    ClaimsAdmitted,
    GetStreak,
    ListenerEvent,
    ReleaseClaims,
    SettleClaims,
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
    payment,
)


def settle(listener: Entity, number: int, reward_minor: int, claims: int = 1) -> None:
    listener.send(SettleClaims(payment(number), claims, reward_minor))


def refusal(listener: Entity, command: Any) -> tuple[str, Any]:
    """The code and the reason that the command is refused with."""
    with pytest.raises(Refusal) as refused:
        listener.send(command)
    return refused.value.code, refused.value.params.get("reason")


def test_an_admission_reserves_the_most_that_claims_may_be_paid() -> None:
    listener = new_listener()
    admitted = listener.send(admit(1))
    assert isinstance(admitted, ClaimsAdmitted)
    assert admitted.allowance_minor == VIBES  # half a VIBES a minute at twice the rate
    assert listener.send(GetStreak()).left_today_minor == 99 * VIBES
    settle(listener, 1, 500_000)
    view = listener.send(GetStreak())
    assert (view.left_today_minor, view.paid_today_minor) == (99_500_000, 500_000)
    assert view.rewarded_today == 1


def test_the_amount_of_a_day_holds_for_payments_under_way_at_once() -> None:
    listener = new_listener()
    big = (720_000,) * 4
    for number in (1, 2, 3):
        admitted = listener.send(admit(number, 720_000, tier=Tier.VIP))
        assert admitted.allowance_minor == 28_800_000
    last = listener.send(admit(4, *big, tier=Tier.VIP))
    assert (last.claims, last.allowance_minor) == (4, 100 * VIBES - 3 * 28_800_000)
    assert refusal(listener, admit(5)) == ("claim-limit-reached", "daily-amount")
    settle(listener, 1, 8_800_000)
    assert listener.send(admit(6, *big, tier=Tier.VIP)).allowance_minor == 20 * VIBES
    listener.send(ReleaseClaims(payment(6), 0))
    assert listener.send(admit(7, *big, tier=Tier.VIP)).allowance_minor == 20 * VIBES


def test_fifty_sessions_a_day_and_then_the_next_day() -> None:
    listener = new_listener()
    short = (1_000,) * 16
    for number in range(3):
        assert listener.send(admit(number, *short)).claims == 16
    settle(listener, 0, 16, claims=16)
    settle(listener, 1, 10, claims=10)
    last = listener.send(admit(3, *short))
    assert last.claims == 8, "six places of the second payment are free again"
    assert refusal(listener, admit(4)) == ("claim-limit-reached", "daily-sessions")
    listener.send(ReleaseClaims(payment(3), 0))
    assert listener.send(admit(5, *short)).claims == 8
    tomorrow = listener.send(admit(6, *short), T0 + DAY_MS)
    assert (tomorrow.claims, tomorrow.day) == (16, last.day + 1)


def test_what_is_settled_after_midnight_counts_to_the_day_of_the_claim() -> None:
    listener = new_listener()
    listener.send(admit(1))
    listener.send(admit(2), T0 + DAY_MS)
    settle(listener, 1, VIBES)
    view = listener.send(GetStreak())
    assert (view.paid_today_minor, view.rewarded_today) == (0, 0)
    assert view.days == 1


def test_a_day_never_goes_back() -> None:
    listener = new_listener()
    today = listener.send(admit(1)).day
    assert listener.send(admit(2, time_zone="Pacific/Honolulu"), T0).day == today


def test_refused_proofs_are_limited_and_paid_ones_are_not() -> None:
    listener = new_listener()
    for number in range(4):
        listener.send(admit(number, *(1_000,) * 25))
        listener.send(ReleaseClaims(payment(number), 25))
    assert refusal(listener, admit(9)) == ("claim-limit-reached", "daily-refused")
    assert listener.send(admit(10), T0 + DAY_MS).claims == 1


@pytest.mark.parametrize("end", ["open", "settled", "released"])
def test_a_payment_is_admitted_once(end: str) -> None:
    listener = new_listener()
    listener.send(admit(1))
    if end == "settled":
        settle(listener, 1, 1)
    elif end == "released":
        listener.send(ReleaseClaims(payment(1), 1))
    for at_ms in (T0, T0 + DAY_MS):
        with pytest.raises(Refusal) as refused:
            listener.send(admit(1), at_ms)
        assert refused.value.code == "claim-payment-known"


BAD = [
    (admit(1, 0), "claim-step-not-offered"),
    (admit(1, 59_999), "claim-step-not-offered"),
    (admit(1, *(60_000,) * 33), "claim-count-invalid"),
    (admit(1, played_ms=()), "claim-count-invalid"),
    (SettleClaims(payment(9), 1, 1), "claim-payment-unknown"),
    (ReleaseClaims(payment(9), 1), "claim-payment-unknown"),
    (SettleClaims(payment(5), 1, 0), "reward-amount-invalid"),
    (SettleClaims(payment(5), 1, -1), "reward-amount-invalid"),
    (SettleClaims(payment(5), 1, VIBES + 1), "reward-amount-invalid"),
    (SettleClaims(payment(5), 0, 1), "claim-count-invalid"),
    (SettleClaims(payment(5), 2, 1), "claim-count-invalid"),
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
        st.integers(1, 32),
        st.integers(0, DAY_MS),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_day_pays_more_than_its_limits_and_a_replay_agrees(
    steps: list[tuple[str, int, int, int]],
) -> None:
    listener, paid, sessions = new_listener(), Counter[int](), Counter[int]()
    for step, number, amount, wait_ms in steps:
        at_ms = listener.now_ms + wait_ms
        admission = listener.state.open.get(payment(number))
        reward = min(amount * 3 * VIBES, admission.allowance_minor) if admission else 1
        claims = min(amount, admission.claims) if admission else 1
        command: Any = {
            "admit": admit(number, *(720_000,) * amount, tier=Tier.VIP),
            "settle": SettleClaims(payment(number), claims, reward),
            "release": ReleaseClaims(payment(number), 1),
            "timer": CheckStreak(at_ms),
        }[step]
        try:
            listener.send(command, at_ms)
        except Refusal:
            continue
        if step == "settle":
            assert admission is not None
            paid[admission.day] += reward
            sessions[admission.day] += claims
    assert all(amount <= 100 * VIBES for amount in paid.values())
    assert all(count <= 50 for count in sessions.values())
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
        try:
            listener.send(admit(number, 1_000), at_ms)
        except Refusal:
            continue
        if number % 3:
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
    return repr((found, listener.state, POLICIES))
