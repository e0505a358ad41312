"""What a listen pays and what a pool's multiplier is, as tables, and their properties."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.policy import RewardPolicy
from domain.rewards.formula import (
    artist_share_minor,
    factors,
    highest_reward_minor,
    multiplier_bps,
    reward_minor,
)
from messages.listening import Tier

POLICY = RewardPolicy()

# played s, tier, boost, multiplier | reward and artist's share in minor VIBES
REWARDS = """
    60      free     1    1      |  500000   50000
    60      premium  1    1      |  750000   75000
    60      vip      1    1      | 1000000  100000
    30      free     1    1      |  250000   25000
    180     free     1    1      | 1500000  150000
    180.001 free     1    1      | 1800010  180001
    240     vip      1    1      | 4800000  480000
    240     vip      10   1      |48000000 4800000
    60      free     1    0.5    |  250000   25000
    60      free     1.5  2      | 1500000  150000
    0.001   free     1    1      |       8       0
    0.001   free     1    0.1    |       0       0
    47.113  premium  1.25 0.8731 |  642724   64272
"""


def rows(table: str) -> list[list[str]]:
    return [line.replace("|", " ").split() for line in table.strip().splitlines()]


def bps(text: str) -> int:
    return int(Fraction(text) * 10_000)


@pytest.mark.parametrize("row", rows(REWARDS), ids=" ".join)
def test_a_reward(row: list[str]) -> None:
    played, tier, boost, multiplier, reward, share = row
    played_ms = int(Fraction(played) * 1000)
    by = factors(
        POLICY,
        played_ms=played_ms,
        tier=Tier(tier),
        boost_bps=bps(boost),
        multiplier_bps=bps(multiplier),
    )
    found = reward_minor(POLICY, played_ms, by)
    assert (found, artist_share_minor(POLICY, found)) == (int(reward), int(share))


BPS = st.integers(10_000, 100_000)
MULTIPLIERS = st.integers(POLICY.multiplier_floor_bps, POLICY.multiplier_ceiling_bps)


@given(st.integers(0, 3_600_000), st.sampled_from(Tier), BPS, MULTIPLIERS)
def test_a_reward_is_the_exact_product_rounded_down_once(
    played_ms: int, tier: Tier, boost_bps: int, multiplier: int
) -> None:
    by = factors(
        POLICY, played_ms=played_ms, tier=tier, boost_bps=boost_bps, multiplier_bps=multiplier
    )
    exact = Fraction(1, 2) * Fraction(played_ms, 60_000) * Fraction(multiplier, 10_000)
    exact *= {Tier.FREE: Fraction(1), Tier.PREMIUM: Fraction(3, 2), Tier.VIP: Fraction(2)}[tier]
    exact *= Fraction(boost_bps, 10_000)
    exact *= Fraction(6, 5) if played_ms > 180_000 else 1
    reward = reward_minor(POLICY, played_ms, by)
    assert reward == exact * 1_000_000 // 1
    highest = highest_reward_minor(POLICY, played_ms=played_ms, tier=tier, boost_bps=boost_bps)
    assert reward <= highest


# budget, spent, and elapsed of 100 | multiplier
MULTIPLIER_TABLE = """
    0    0    50  |  1
    100  0    0   |  1
    100  50   50  |  1
    100  100  100 |  1
    100  60   50  |  0.8
    100  40   50  |  1.2
    100  25   0   |  0.5
    100  45   0   |  0.1
    100  100  0   |  0.1
    100  0    50  |  2
    100  0    100 |  2
    100  0    999 |  2
    100  0    -5  |  1
    300  100  33  |  0.9933
"""


@pytest.mark.parametrize("row", rows(MULTIPLIER_TABLE), ids=" ".join)
def test_a_multiplier(row: list[str]) -> None:
    budget, spent, elapsed, expected = row
    found = multiplier_bps(
        POLICY,
        budget_minor=int(budget),
        spent_minor=int(spent),
        elapsed_ms=int(elapsed),
        epoch_ms=100,
    )
    assert found == bps(expected)


AMOUNTS = st.integers(0, 10**15)
EPOCHS = st.integers(1, 10**10)


@given(AMOUNTS, AMOUNTS, AMOUNTS, st.integers(0, 10**10), st.integers(0, 10**10), EPOCHS)
def test_the_multiplier_is_clamped_and_monotone(
    budget: int, spent: int, more: int, elapsed: int, later: int, epoch: int
) -> None:
    def at(budget: int, spent: int, elapsed: int) -> int:
        return multiplier_bps(
            POLICY, budget_minor=budget, spent_minor=spent, elapsed_ms=elapsed, epoch_ms=epoch
        )

    found = at(budget, spent, elapsed)
    assert POLICY.multiplier_floor_bps <= found <= POLICY.multiplier_ceiling_bps
    assert at(budget, spent + more, elapsed) <= found
    assert at(budget, spent, elapsed + later) >= found
    if budget:
        assert at(budget + more, spent, elapsed) >= found
    assert at(budget, 0, 0) == 10_000
