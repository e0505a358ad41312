"""A pool's schedule and what a payment leaves of it."""

from __future__ import annotations

from msgspec.structs import replace

from domain.policy import RewardPolicy
from domain.rewards import formula
from domain.rewards.pool_state import Pool
from messages.rewards import PoolDrawn


def multiplier(policy: RewardPolicy, state: Pool, now_ms: int) -> int:
    """What scales the base rate at a moment, in basis points."""
    return formula.multiplier_bps(
        policy,
        budget_minor=state.budget_minor,
        spent_minor=state.spent_minor,
        elapsed_ms=now_ms - state.epoch_started_at_ms,
        epoch_ms=state.epoch_ms,
    )


def drawn(policy: RewardPolicy, state: Pool, amount: int, now_ms: int) -> PoolDrawn:
    """The pool after it paid `amount`, which it holds."""
    balance, spent = state.balance_minor - amount, state.spent_minor + amount
    assert balance >= 0, "a pool never pays what it does not hold"
    left = replace(state, balance_minor=balance, spent_minor=spent)
    return PoolDrawn(
        state.pool_id, amount, balance, spent, multiplier(policy, left, now_ms), now_ms
    )
