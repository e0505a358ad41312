"""People: profiles, who follows whom, what points they have. Errors and facts."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.errors import Conflict, Forbidden, Invalid
from messages.listening import Tier
from messages.users import Role


class FollowKind(StrEnum):
    """What can be followed."""

    USER = "user"
    ARTIST = "artist"


class Activity(StrEnum):
    """What users do, as far as it is counted."""

    REGISTRATION = "registration"
    PLAY = "play"  # a listening session that began
    LISTEN = "listen"  # one that counts and no bot made
    REWARD = "reward"  # a claim that was proved and paid
    INVESTMENT = "investment"  # a purchase of shares of an issue
    FOLLOW = "follow"  # somebody, for the first time
    STREAK = "streak"  # a day that kept a streak going


# --- errors -------------------------------------------------------------------------------------


class BadDisplayName(Invalid):
    """A display name has 1 to 50 visible characters."""

    code = "display-name-invalid"


class BadBio(Invalid):
    """A bio has 1 to 500 visible characters."""

    code = "bio-invalid"


class BadLink(Invalid):
    """A link is an https address of at most 200 characters; a profile has at most five."""

    code = "link-invalid"


class SelfTarget(Conflict):
    """Nobody follows or blocks themselves."""

    code = "self-target"


class FollowRefused(Forbidden):
    """You cannot follow this user."""

    code = "follow-refused"


class FollowLimit(Conflict):
    """You follow as many as anybody may."""

    code = "follow-limit-reached"


class BlockLimit(Conflict):
    """You block as many as anybody may."""

    code = "block-limit-reached"


class BadPeriod(Invalid):
    """A period begins before it ends and is not longer than is answered at once."""

    code = "period-invalid"


class NotActive(Forbidden):
    """This account is not active."""

    code = "account-inactive"


# --- events -------------------------------------------------------------------------------------


class ProfileUpdated(msgspec.Struct, frozen=True, tag=True):
    """A user's profile shows something else now. `changed`: the names of the fields."""

    user_id: str
    changed: tuple[str, ...]
    at_ms: int


class UserFollowed(msgspec.Struct, frozen=True, tag=True):
    """A user follows another or an artist. first: they never did before."""

    user_id: str
    kind: FollowKind
    target_id: str
    first: bool
    at_ms: int


class UserUnfollowed(msgspec.Struct, frozen=True, tag=True):
    """A user follows no longer: by themselves, or because one of the two blocked the other."""

    user_id: str
    kind: FollowKind
    target_id: str
    at_ms: int


class TierUpgraded(msgspec.Struct, frozen=True, tag=True):
    """A user's points give a higher account tier. Sessions that start from now on have it."""

    user_id: str
    tier: Tier
    points: int
    at_ms: int


class RoleChanged(msgspec.Struct, frozen=True, tag=True):
    """A user has another role. Their sessions ended: they sign in again with it."""

    user_id: str
    role: Role
    at_ms: int


PeopleEvent: TypeAlias = ProfileUpdated | UserFollowed | UserUnfollowed | TierUpgraded | RoleChanged
