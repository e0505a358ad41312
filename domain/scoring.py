"""How much a session looks like a bot: plain rules over its timeline of accepted beats.

The signature is the seam for the compiled kernel over all live sessions: it takes the same
timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from domain.policy import BPS, ScoringPolicy


class TimelineBeat(msgspec.Struct, frozen=True, array_like=True):
    """An accepted beat: when, where the player said it was, and where its playback had to be."""

    index: int
    at_ms: int
    position_ms: int
    expected_ms: int


class Score(msgspec.Struct, frozen=True):
    """0 is a person, 10,000 a bot. `reasons` are codes, worst first."""

    value_bps: int
    reasons: tuple[str, ...] = ()


def score(timeline: Sequence[TimelineBeat], policy: ScoringPolicy) -> Score:
    """Weigh what a person's player does not do. O(beats), exact integers."""
    if len(timeline) < policy.min_beats:
        return Score(0)
    found = {
        "impossible-positions": _impossible_bps(timeline, policy) * policy.impossible_weight_bps,
        "duplicate-positions": _duplicate_bps(timeline, policy) * policy.duplicate_weight_bps,
        "regular-pace": _regular_bps(timeline, policy) * policy.regular_weight_bps,
    }
    weighed = {reason: product // BPS for reason, product in found.items() if product >= BPS}
    worst_first = sorted(weighed, key=lambda reason: (-weighed[reason], reason))
    return Score(min(BPS, sum(weighed.values())), tuple(worst_first))


def _impossible_bps(timeline: Sequence[TimelineBeat], policy: ScoringPolicy) -> int:
    """The share of beats that were not where playback must have been."""
    odd = sum(abs(beat.position_ms - beat.expected_ms) > policy.drift_ms for beat in timeline)
    return BPS * odd // len(timeline)


def _duplicate_bps(timeline: Sequence[TimelineBeat], policy: ScoringPolicy) -> int:
    """The share of beats that stood where the one before stood, though playback had moved on."""
    pairs = list(pairwise(timeline))
    stuck = sum(
        a.position_ms == b.position_ms and abs(b.expected_ms - a.position_ms) > policy.drift_ms
        for a, b in pairs
    )
    return BPS * stuck // len(pairs)


def _regular_bps(timeline: Sequence[TimelineBeat], policy: ScoringPolicy) -> int:
    """All or nothing: the pace never varied by what any network adds."""
    if len(timeline) < policy.min_jitter_beats:
        return 0
    gaps = [b.at_ms - a.at_ms for a, b in pairwise(timeline)]
    centre = sorted(gaps)[len(gaps) // 2]
    deviation = sum(abs(gap - centre) for gap in gaps)
    return BPS if deviation <= policy.jitter_ms * len(gaps) else 0
