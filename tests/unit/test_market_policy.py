"""The market's fees are DOMAIN's in each phase of the platform."""

from __future__ import annotations

import pytest

from domain.policy import PlatformPhase, market_policy


@pytest.mark.parametrize(
    ("phase", "trade_bps", "revenue_bps"),
    [
        (PlatformPhase.LAUNCH, 100, 500),
        (PlatformPhase.GROWTH, 150, 750),
        (PlatformPhase.SCALE, 250, 1_000),
    ],
)
def test_fees_follow_the_phase(phase: PlatformPhase, trade_bps: int, revenue_bps: int) -> None:
    policy = market_policy(phase)
    assert (policy.sale_fee_bps, policy.revenue_fee_bps) == (trade_bps, revenue_bps)
    assert policy.maker_bps + policy.taker_bps == trade_bps, "a trade costs what a sale costs"
