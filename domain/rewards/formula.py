"""What a listen pays and how a pool's multiplier follows its schedule: exact integers."""

from __future__ import annotations

import msgspec

from domain.policy import BPS, MINUTE_MS, RewardPolicy
from messages.listening import Tier


class Factors(msgspec.Struct, frozen=True):
    """All that multiplies the base rate, in basis points."""

    multiplier_bps: int
    tier_bps: int
    long_bps: int
    boost_bps: int


def factors(
    policy: RewardPolicy, *, played_ms: int, tier: Tier, boost_bps: int, multiplier_bps: int
) -> Factors:
    """The factors of a listen."""
    long_bps = policy.long_bonus_bps if played_ms > policy.long_above_ms else BPS
    return Factors(multiplier_bps, policy.tier_bps(tier), long_bps, boost_bps)


def reward_minor(policy: RewardPolicy, played_ms: int, by: Factors) -> int:
    """Base rate by minutes, multiplier, tier, long bonus, boost; rounded down once, at the end."""
    product = policy.base_minor_per_minute * played_ms
    product *= by.multiplier_bps * by.tier_bps * by.long_bps * by.boost_bps
    return product // (MINUTE_MS * BPS**4)


def highest_reward_minor(
    policy: RewardPolicy, *, played_ms: int, tier: Tier, boost_bps: int
) -> int:
    """What a listen pays at most, whatever its pool's multiplier."""
    ceiling = policy.multiplier_ceiling_bps
    by = factors(
        policy, played_ms=played_ms, tier=tier, boost_bps=boost_bps, multiplier_bps=ceiling
    )
    return reward_minor(policy, played_ms, by)


def artist_share_minor(policy: RewardPolicy, reward: int) -> int:
    """The artist's share on top of a reward, rounded down."""
    return reward * policy.artist_share_bps // BPS


def multiplier_bps(
    policy: RewardPolicy, *, budget_minor: int, spent_minor: int, elapsed_ms: int, epoch_ms: int
) -> int:
    """10,000 on schedule; less when spending runs ahead of it, more when behind; clamped.

    The schedule is a straight line from nothing to the budget over the epoch. The deviation, as a
    part of the budget, moves the multiplier by `multiplier_gain_bps`. Rises with `elapsed_ms` and
    `budget_minor`, falls with `spent_minor`.
    """
    if budget_minor <= 0:
        return BPS
    elapsed_ms = max(0, min(elapsed_ms, epoch_ms))
    behind = budget_minor * elapsed_ms - spent_minor * epoch_ms
    moved = BPS + policy.multiplier_gain_bps * behind // (budget_minor * epoch_ms)
    return max(policy.multiplier_floor_bps, min(moved, policy.multiplier_ceiling_bps))
