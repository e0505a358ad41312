"""What a profile may say, what activities are worth, what a reputation is. DOMAIN, Users."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import msgspec

from domain.text import clean_line, clean_text
from domain.users import POLICY as USER_POLICY
from domain.users import UserPolicy, tier_of
from messages.listening import Tier
from messages.users_people import Activity, BadBio, BadDisplayName, BadLink


class PeoplePolicy(msgspec.Struct, frozen=True):
    """Numbers of profiles and follows. Raise `version` whenever one changes."""

    version: int = 1
    max_display_name_chars: int = 50
    max_bio_chars: int = 500
    max_link_chars: int = 200
    max_links: int = 5
    max_following: int = 10_000
    max_blocks: int = 10_000


class Worth(msgspec.Struct, frozen=True):
    """Points that an activity gives each time, and at most on one day."""

    each: int
    daily: int


class PointsPolicy(msgspec.Struct, frozen=True):
    """What activities are worth. Raise `version` whenever a number changes.

    A day's points are bounded for each activity, so that nobody reaches a tier by repeating what
    costs nothing: to follow, most of all.
    """

    version: int = 1
    reward: Worth = Worth(2, 50)
    investment: Worth = Worth(20, 60)
    follow: Worth = Worth(1, 5)
    streak: Worth = Worth(5, 5)

    def worth(self, kind: Activity) -> Worth:
        """What an activity is worth; those that are only counted, nothing."""
        return {
            Activity.REWARD: self.reward,
            Activity.INVESTMENT: self.investment,
            Activity.FOLLOW: self.follow,
            Activity.STREAK: self.streak,
        }.get(kind, Worth(0, 0))


POLICY = PeoplePolicy()
POINTS = PointsPolicy()
HOUR_MS = 3_600_000
MAX_REPUTATION = 100
HUNDREDTHS = 100
_LINK = re.compile(
    r"https://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
    r"(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?",
    re.ASCII,
)


class Stats(msgspec.Struct, frozen=True):
    """All that a user did. `played_ms`: of listens that count."""

    listens: int = 0
    played_ms: int = 0
    rewards: int = 0
    reward_minor: int = 0
    investments: int = 0
    shares: int = 0
    streak_days: int = 0
    longest_streak: int = 0


class Progress(msgspec.Struct, frozen=True):
    """A tier, and what the next one takes; none above the highest."""

    tier: Tier
    next_tier: Tier | None
    missing: int


def clean_display_name(raw: str, policy: PeoplePolicy = POLICY) -> str:
    """A display name in normal form. Raises BadDisplayName."""
    name = clean_line(raw, policy.max_display_name_chars)
    if name is None:
        raise BadDisplayName(longest=policy.max_display_name_chars)
    return name


def clean_bio(raw: str, policy: PeoplePolicy = POLICY) -> str:
    """A bio in normal form. Raises BadBio."""
    bio = clean_text(raw, policy.max_bio_chars)
    if bio is None:
        raise BadBio(longest=policy.max_bio_chars)
    return bio


def check_link(raw: str, policy: PeoplePolicy = POLICY) -> str:
    """An https address with a host name, in ASCII and without a user. Raises BadLink."""
    if len(raw) > policy.max_link_chars or not _LINK.fullmatch(raw):
        raise BadLink(longest=policy.max_link_chars, most=policy.max_links)
    return raw


def check_links(raw: Sequence[str], policy: PeoplePolicy = POLICY) -> tuple[str, ...]:
    """Links in their order, each once. Raises BadLink."""
    links = tuple(dict.fromkeys(check_link(link, policy) for link in raw))
    if len(links) > policy.max_links:
        raise BadLink(longest=policy.max_link_chars, most=policy.max_links)
    return links


def points_for(kind: Activity, before: int, added: int, policy: PointsPolicy = POINTS) -> int:
    """Points for doing something `added` times more on a day on which it was done `before` times.

    The sum over a day does not depend on how its events were cut into batches.
    """
    worth = policy.worth(kind)
    return min(worth.daily, worth.each * (before + added)) - min(worth.daily, worth.each * before)


def reputation(stats: Stats) -> Fraction:
    """min(100, 0.1·hours + 0.5·investments + 0.2·rewards + 0.3·longest streak), exactly."""
    s = stats
    earned = Fraction(s.played_ms, 10 * HOUR_MS)
    earned += Fraction(5 * s.investments + 2 * s.rewards + 3 * s.longest_streak, 10)
    return min(Fraction(MAX_REPUTATION), earned)


def hundredths(number: Fraction) -> int:
    """The number in hundredths, rounded down: what is shown has been reached."""
    return int(number * HUNDREDTHS // 1)


def progress(points: int, policy: UserPolicy = USER_POLICY) -> Progress:
    """The tier of `points`, and how many more the next one takes."""
    tier = tier_of(points, policy)
    if tier is Tier.VIP:
        return Progress(tier, None, 0)
    if tier is Tier.PREMIUM:
        return Progress(tier, Tier.VIP, policy.vip_points - points)
    return Progress(tier, Tier.PREMIUM, policy.premium_points - points)


def upgraded(before: int, after: int, policy: UserPolicy = USER_POLICY) -> Tier | None:
    """The tier that `after` points give and `before` points did not."""
    tier = tier_of(after, policy)
    return tier if after > before and tier is not tier_of(before, policy) else None
