"""DOMAIN's numbers as typed, versioned data. Kinds take a policy; nothing else holds a number.

Facts carry the values that were decided with a policy, so that a replay never depends on today's.
Raise `version` whenever a number changes.
"""

from __future__ import annotations

import msgspec

from messages.listening import Tier

BPS = 10_000  # basis points in one
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS


class ScoringPolicy(msgspec.Struct, frozen=True):
    """How suspicious each regularity of a timeline is. Shares and weights in basis points.

    reject_at_bps: DOMAIN's 0.8.  min_beats: shorter timelines show nothing.  drift_ms: how far a
    player may be from where its own playback must be.  jitter_ms: beats closer to their mean pace
    than this are unlike a network's.
    """

    version: int = 1
    reject_at_bps: int = 8_000
    min_beats: int = 3
    min_jitter_beats: int = 12
    drift_ms: int = 3_000
    jitter_ms: int = 2
    impossible_weight_bps: int = 12_000
    duplicate_weight_bps: int = 12_000
    regular_weight_bps: int = 3_000


class ListeningPolicy(msgspec.Struct, frozen=True):
    """How sessions are paced, when they end and when they count."""

    version: int = 1
    beat_interval_ms: int = 10_000
    pace_tolerance_ms: int = 500
    stale_ms: int = 120_000
    max_session_ms: int = 7_200_000
    counts_at_ms: int = 30_000
    min_song_ms: int = 1_000
    max_song_ms: int = 3_600_000
    position_tolerance_ms: int = 2_000
    max_boost_bps: int = 10 * BPS
    scoring: ScoringPolicy = ScoringPolicy()

    @property
    def max_gap_ms(self) -> int:
        """The most that a beat is credited: what a ticket is worth."""
        return self.beat_interval_ms + self.pace_tolerance_ms


class RewardPolicy(msgspec.Struct, frozen=True):
    """What a listen pays, the limits of a day, and how a pool follows its schedule.

    claim_steps_ms: the played times that a claim may prove and is paid for. Fewer tell less of the
    listen; a listener proves the longest that fits.  max_gap_ms: the longest credit of a beat that
    a claim may prove, which is the listening policy's.  claim_window_ms: how long after its end an
    epoch's listens may be claimed.  daily_refused_claims: refused proofs cost the verifier's time.
    """

    version: int = 2
    base_minor_per_minute: int = 500_000
    free_bps: int = 10_000
    premium_bps: int = 15_000
    vip_bps: int = 20_000
    long_bonus_bps: int = 12_000
    long_above_ms: int = 180_000
    daily_limit_minor: int = 100_000_000
    daily_sessions: int = 50
    minimum_payout_minor: int = 1_000_000
    artist_share_bps: int = 1_000
    max_boost_bps: int = 10 * BPS
    multiplier_gain_bps: int = 2 * BPS
    multiplier_floor_bps: int = 1_000
    multiplier_ceiling_bps: int = 2 * BPS
    max_funding_minor: int = 1_000_000_000_000
    max_name_length: int = 100
    min_epoch_ms: int = MINUTE_MS
    max_epoch_ms: int = 90 * 24 * 60 * MINUTE_MS
    claim_steps_ms: tuple[int, ...] = (
        *(1_000, 5_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000, 150_000),
        *(180_000, 210_000, 240_000, 300_000, 360_000, 420_000, 480_000, 600_000, 720_000),
    )
    max_gap_ms: int = 10_500
    claim_window_ms: int = 7 * DAY_MS
    daily_refused_claims: int = 100

    def tier_bps(self, tier: Tier) -> int:
        """What a listener's account tier multiplies a reward by."""
        tiers = {Tier.FREE: self.free_bps, Tier.PREMIUM: self.premium_bps, Tier.VIP: self.vip_bps}
        return tiers[tier]


class StreakPolicy(msgspec.Struct, frozen=True):
    """grace_ms: how long after a day's end a listen of that day may still arrive."""

    version: int = 1
    freezes_per_week: int = 1
    grace_ms: int = 60 * MINUTE_MS
