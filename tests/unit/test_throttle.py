"""Who waits how long: the rules of attempts at a secret."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.throttle import (
    ACCOUNT,
    DEVICE,
    HOUR_MS,
    MINUTE_MS,
    NETWORK,
    PAIR,
    Budget,
    Charge,
    Standing,
    attempt,
    charges,
    succeed,
)

BUDGETS = (DEVICE, PAIR, NETWORK, ACCOUNT)
NOW = 1_790_000_000_000


def tried(
    standings: Mapping[str, Standing], asked: tuple[Charge, ...], now_ms: int
) -> Mapping[str, Standing]:
    wait_ms, after = attempt(standings, asked, now_ms)
    assert wait_ms == 0
    return after


def test_the_wait_doubles_and_ends() -> None:
    waits = [PAIR.wait_ms(failures) // 1_000 for failures in range(3, 17)]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    for budget in BUDGETS:
        assert budget.wait_ms(10**9) == budget.longest_ms <= 15 * MINUTE_MS, "never for good"
        assert budget.forget_ms >= budget.longest_ms


def guesses_in(budget: Budget, span_ms: int) -> int:
    """How many guesses a budget lets somebody make who never stops."""
    standings: Mapping[str, Standing] = {}
    now_ms, made = NOW, 0
    while now_ms < NOW + span_ms:
        wait_ms, standings = attempt(standings, (Charge("k", budget, False),), now_ms)
        made += wait_ms == 0
        now_ms += max(1, wait_ms)
    return made


def test_a_year_of_guesses_is_few() -> None:
    assert guesses_in(PAIR, 24 * HOUR_MS) < 110
    assert guesses_in(ACCOUNT, 24 * HOUR_MS) < 350, "with all the addresses of the world"


def test_attempts_at_once_are_charged_before_they_are_tried() -> None:
    asked, standings, passed = charges("a", "n", None), dict[str, Standing](), 0
    for _ in range(1_000):
        wait_ms, after = attempt(standings, asked, NOW)
        passed, standings = passed + (wait_ms == 0), dict(after)
    assert passed == PAIR.free


def test_what_must_wait_is_not_charged() -> None:
    standings: Mapping[str, Standing] = {}
    for _ in range(PAIR.free):
        standings = tried(standings, charges("a", "n", None), NOW)
    wait_ms, after = attempt(standings, charges("a", "n", None), NOW + 400)
    assert wait_ms == 600
    assert after == standings
    assert attempt(standings, charges("a", "n", None), NOW + 1_000)[0] == 0


def test_success_is_forgiven_where_a_guesser_cannot_use_it() -> None:
    """With an account of their own, a guesser could else clear their network's budget."""
    standings: Mapping[str, Standing] = {}
    for number in range(NETWORK.free - 1):
        standings = tried(standings, charges(f"victim-{number}", "n", None), NOW)
    own = charges("own", "n", None)
    for _ in range(5):
        standings = succeed(tried(standings, own, NOW), own)
    standings = tried(standings, charges("victim-last", "n", None), NOW)
    assert attempt(standings, charges("victim-more", "n", None), NOW)[0] > 0


def test_a_known_device_shares_nothing() -> None:
    standings: Mapping[str, Standing] = {}
    for _ in range(200):
        standings = attempt(standings, charges("a", "n", None), NOW)[1]
    assert attempt(standings, charges("a", "n", "mine"), NOW)[0] == 0
    for _ in range(200):
        standings = attempt(standings, charges("a", "n", "stolen"), NOW)[1]
    assert attempt(standings, charges("a", "n", "stolen"), NOW)[0] > 0, "a stolen one is throttled"
    assert attempt(standings, charges("a", "n", "mine"), NOW)[0] == 0


def test_a_budget_left_alone_is_new() -> None:
    standings: Mapping[str, Standing] = {}
    for _ in range(30):
        standings = attempt(standings, charges("a", "n", None), NOW)[1]
    later = NOW + max(budget.forget_ms for budget in BUDGETS)
    for _ in range(PAIR.free):
        standings = tried(standings, charges("a", "n", None), later)


@given(st.lists(st.tuples(st.integers(0, HOUR_MS), st.booleans()), max_size=60))
def test_no_history_makes_anybody_wait_longer_than_the_longest(
    steps: list[tuple[int, bool]],
) -> None:
    standings: Mapping[str, Standing] = {}
    now_ms, asked = NOW, charges("a", "n", None)
    for pause_ms, is_right in steps:
        now_ms += pause_ms
        wait_ms, standings = attempt(standings, asked, now_ms)
        assert 0 <= max(0, wait_ms) <= max(budget.longest_ms for budget in BUDGETS)
        if wait_ms <= 0 and is_right:
            standings = succeed(standings, asked)
            assert attempt(standings, asked, now_ms)[0] == 0, "who was right does not wait"


@pytest.mark.parametrize("failures", [0, 1, 5, 44, 45, 100, 2**40])
def test_no_wait_is_too_large_a_number(failures: int) -> None:
    assert 0 <= PAIR.wait_ms(failures) <= PAIR.longest_ms
