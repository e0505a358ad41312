"""DOMAIN's numbers as typed, versioned data. Kinds take a policy; nothing else holds a number.

Facts carry the values that were decided with a policy, so that a replay never depends on today's.
Raise `version` whenever a number changes.
"""

from __future__ import annotations

from enum import StrEnum

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


class PricePolicy(msgspec.Struct, frozen=True):
    """How a market's reference prices are made: docs/contexts/market-prices.md.

    rest_ms: how long a quote must have stood before it counts.  min_quote_minor: what the orders
    behind it must be worth; the book's owner sees to it.  max_spread_bps: of the bid; quotes that
    are further apart cover nothing, and a trade between them shows nothing.  …window_ms and
    …step_ms: of the averages; a window begins at a multiple of its step, so it is up to a step
    longer, and the short step divides the others.  trim_bps: the share of an hour's minutes that is
    drawn in at either end.  cap_bps_per_minute: how fast SETTLE's mark may move.  min_known_bps,
    min_coverage_bps: with less of the window there is no price.
    """

    version: int = 1
    rest_ms: int = 30_000
    min_quote_minor: int = 2_500
    max_spread_bps: int = 1_000
    short_window_ms: int = 5 * MINUTE_MS
    short_step_ms: int = 5_000
    hour_window_ms: int = 60 * MINUTE_MS
    hour_step_ms: int = MINUTE_MS
    day_window_ms: int = DAY_MS
    day_step_ms: int = 15 * MINUTE_MS
    trim_bps: int = 2_500
    cap_bps_per_minute: int = 20
    min_known_bps: int = 5_000
    min_coverage_bps: int = 2_500


class PlatformPhase(StrEnum):
    """How far the platform has grown, by its users: fees follow it."""

    LAUNCH = "launch"  # fewer than 1,000
    GROWTH = "growth"  # fewer than 10,000
    SCALE = "scale"


class MarketPolicy(msgspec.Struct, frozen=True):
    """Share issues, their order books, and what the platform takes. Fees in basis points of a sum.

    cap_presets_bps: the most that one user may own, of all shares of an issue.  currencies: of
    issues; not those whose unit is so fine (ETH) that sums outgrow what every JSON reader holds
    exactly, which the limits on prices and sums are.  max_revenue_minor: of an issue, waiting to be
    distributed.  max_locks: of an issue.
    sale_fee_bps: of a primary sale, from the artist's proceeds.  maker_bps and taker_bps: of a
    trade, from either side; together they are the rate of a sale.  revenue_fee_bps: of revenue,
    before anyone else.  static_band_bps: how far from SETTLE an order's price may be, at most.
    dynamic_band_bps: how far from INDEX a trade may be before the book halts, for `halt_ms`, and
    then opens again with an auction of `auction_ms`.  max_open_orders: of a user, in a book.
    max_book_orders: of all users, in a book.  max_gtd_ms: how long an order may stand at most.
    max_held_minor: the most that one order or purchase may cost.
    journal_delay_ms: how old a book's entries are when everyone may read them.
    """

    version: int = 1
    max_shares: int = 10_000
    min_retained_bps: int = 100
    max_retained_bps: int = 9_900
    cap_presets_bps: tuple[int, ...] = (1_000, 2_000, 3_000, 5_000)
    default_cap_bps: int = 2_000
    open_at_units: int = 1_000
    currencies: tuple[str, ...] = ("USD", "EUR", "GBP", "USDC", "SOL", "VIBES")
    max_price_minor: int = 10**12
    max_held_minor: int = 2**53 - 1
    max_revenue_minor: int = 2**53 - 1
    max_lock_ms: int = 10 * 365 * DAY_MS
    max_locks: int = 1_000
    sale_fee_bps: int = 100
    maker_bps: int = 25
    taker_bps: int = 75
    revenue_fee_bps: int = 500
    static_band_bps: int = 2_000
    dynamic_band_bps: int = 500
    halt_ms: int = 5 * MINUTE_MS
    auction_ms: int = MINUTE_MS
    max_open_orders: int = 200
    max_book_orders: int = 20_000
    max_gtd_ms: int = 90 * DAY_MS
    journal_delay_ms: int = 15 * MINUTE_MS


_MARKET = {
    PlatformPhase.LAUNCH: MarketPolicy(),
    PlatformPhase.GROWTH: MarketPolicy(
        sale_fee_bps=150, maker_bps=50, taker_bps=100, revenue_fee_bps=750
    ),
    PlatformPhase.SCALE: MarketPolicy(
        sale_fee_bps=250, maker_bps=75, taker_bps=175, revenue_fee_bps=1_000
    ),
}


def market_policy(phase: PlatformPhase) -> MarketPolicy:
    """The market's numbers in a phase of the platform."""
    return _MARKET[phase]
