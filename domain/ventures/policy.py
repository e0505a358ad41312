"""Numbers of ventures. Raise `version` with any change."""

from __future__ import annotations

import msgspec

from domain.policy import BPS, DAY_MS, PlatformPhase


class VenturePolicy(msgspec.Struct, frozen=True):
    """What a round may be, and what the platform takes of one that is funded.

    max_cap_units: the most that a round may raise; in no currency beyond what every JSON reader
    holds exactly.  returned_at_once: investments given back in one decision.  delivered_at_once:
    investors that one word of the artist's is about.
    """

    version: int = 1
    min_name: int = 3
    max_name: int = 100
    max_pitch: int = 5_000
    min_round_ms: int = DAY_MS
    max_round_ms: int = 90 * DAY_MS
    max_cap_units: int = 1_000_000
    currencies: tuple[str, ...] = ("USD", "EUR", "GBP", "USDC", "SOL", "VIBES")
    max_benefits: int = 10
    max_benefit_text: int = 200
    max_reason: int = 255
    returned_at_once: int = 200
    delivered_at_once: int = 100
    fee_bps: int = 250

    def fee_minor(self, raised_minor: int) -> int:
        """The platform's part of what was raised."""
        return raised_minor * self.fee_bps // BPS


_FEES_BPS = {PlatformPhase.LAUNCH: 250, PlatformPhase.GROWTH: 350, PlatformPhase.SCALE: 500}


def venture_policy(phase: PlatformPhase) -> VenturePolicy:
    """The numbers in a phase of the platform: an investor buys benefits, as a fan buys tokens."""
    return VenturePolicy(fee_bps=_FEES_BPS[phase])
