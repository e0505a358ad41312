"""Numbers of drops. Raise `version` with any change."""

from __future__ import annotations

import msgspec

from domain.policy import BPS, DAY_MS, MINUTE_MS, PlatformPhase


class DropPolicy(msgspec.Struct, frozen=True):
    """What a drop may be, and what the platform takes of its sales.

    cap_bps: of the supply, the most that one user may buy, and one token at least.
    max_count: of one purchase.  max_reservation_ms: how long a buyer may have to pay: what a
    payment may take, and an hour for what comes after.  currencies: those whose unit is not so fine
    (ETH) that sums outgrow what every JSON reader holds exactly.  milestones: of the supply sold,
    in percent.
    """

    version: int = 1
    min_name: int = 3
    max_name: int = 100
    min_days: int = 1
    max_days: int = 90
    max_price_units: int = 10_000
    max_supply: int = 100_000
    max_count: int = 10
    cap_bps: int = 1_000
    max_reservation_ms: int = DAY_MS + 60 * MINUTE_MS
    currencies: tuple[str, ...] = ("USD", "EUR", "GBP", "USDC", "SOL", "VIBES")
    milestones: tuple[int, ...] = (25, 50, 75, 100)
    max_reason: int = 255
    fee_bps: int = 250

    def cap(self, supply: int) -> int:
        """The most tokens of a supply that one user may buy."""
        return max(1, supply * self.cap_bps // BPS)

    def fee_minor(self, paid_minor: int) -> int:
        """The platform's part of what was paid."""
        return paid_minor * self.fee_bps // BPS


_FEES_BPS = {PlatformPhase.LAUNCH: 250, PlatformPhase.GROWTH: 350, PlatformPhase.SCALE: 500}


def drop_policy(phase: PlatformPhase) -> DropPolicy:
    """The numbers in a phase of the platform."""
    return DropPolicy(fee_bps=_FEES_BPS[phase])
