"""What so much money is promised."""

from __future__ import annotations

from collections.abc import Sequence

from messages.ventures.ventures import TierTerms


def reached(tiers: Sequence[TierTerms], invested_minor: int) -> TierTerms | None:
    """The highest of rising tiers that so much reaches."""
    found = [tier for tier in tiers if tier.from_minor <= invested_minor]
    return found[-1] if found else None
