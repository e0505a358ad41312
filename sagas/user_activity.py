"""What each event says that a user did, as far as it is counted.

users/UserRegistered           → registration
users/UserFollowed (first)     → follow
listening/ListeningStarted     → play
listening/ListeningScored      → listen, if it counts and no bot made it
rewards/RewardPaid             → reward, one a claim
rewards/StreakExtended         → streak
market/SharesBought            → investment
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from messages.envelope import Event
from messages.listening import STREAM as LISTENING
from messages.listening import ListeningScored, ListeningStarted
from messages.market.accounts import STREAM as MARKET
from messages.market.issues import SharesBought
from messages.rewards import STREAM as REWARDS
from messages.rewards import RewardPaid, StreakExtended
from messages.users import STREAM as USERS
from messages.users import UserRegistered
from messages.users_people import Activity, UserFollowed

NAME = "user_activity"
STREAMS = (USERS, LISTENING, REWARDS, MARKET)
SIFTED = {MARKET: (SharesBought.__name__,)}  # the rest are orders, by the thousand
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Deed(msgspec.Struct, frozen=True):
    """Something that a user did on a day (a proleptic ordinal, UTC).

    count: how often.  amount: its measure (`Activity` says of what); of a streak its longest days.
    days: of a streak as it stands.
    """

    user_id: str
    kind: Activity
    day: int
    count: int = 1
    amount: int = 0
    days: int = 0


def day_of(at_ms: int) -> int:
    """The day of a moment, UTC."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).date().toordinal()


def deed_of(event: Event) -> Deed | None:
    """What the event says that a user did; None for those that say nothing of the kind."""
    found = _READERS.get((event.stream, event.type))
    if found is None:
        return None
    decoder, reader = found
    deed: Deed | None = reader(decoder.decode(event.body))
    return deed


def _registered(fact: UserRegistered) -> Deed:
    return Deed(fact.user_id, Activity.REGISTRATION, day_of(fact.at_ms))


def _followed(fact: UserFollowed) -> Deed | None:
    return Deed(fact.user_id, Activity.FOLLOW, day_of(fact.at_ms)) if fact.first else None


def _played(fact: ListeningStarted) -> Deed:
    return Deed(fact.user_id, Activity.PLAY, day_of(fact.at_ms))


def _listened(fact: ListeningScored) -> Deed | None:
    if not fact.eligible:
        return None
    return Deed(fact.user_id, Activity.LISTEN, day_of(fact.ended_at_ms), amount=fact.played_ms)


def _rewarded(fact: RewardPaid) -> Deed:
    claims = max(1, len(fact.claims))  # facts from before proofs name none
    return Deed(fact.user_id, Activity.REWARD, day_of(fact.at_ms), claims, fact.reward_minor)


def _streak(fact: StreakExtended) -> Deed:
    day, days, longest = day_of(fact.at_ms), fact.days, fact.longest_days
    return Deed(fact.user_id, Activity.STREAK, day, amount=longest, days=days)


def _invested(fact: SharesBought) -> Deed:
    return Deed(fact.user_id, Activity.INVESTMENT, day_of(fact.at_ms), amount=fact.shares)


def _on(
    stream: str, fact: type[msgspec.Struct], reader: Callable[[Any], Deed | None]
) -> tuple[tuple[str, str], tuple[msgspec.json.Decoder[Any], Callable[[Any], Deed | None]]]:
    return (stream, fact.__name__), (msgspec.json.Decoder(fact), reader)


_READERS = dict(
    [
        _on(USERS, UserRegistered, _registered),
        _on(USERS, UserFollowed, _followed),
        _on(LISTENING, ListeningStarted, _played),
        _on(LISTENING, ListeningScored, _listened),
        _on(REWARDS, RewardPaid, _rewarded),
        _on(REWARDS, StreakExtended, _streak),
        _on(MARKET, SharesBought, _invested),
    ]
)
