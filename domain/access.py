"""Who may do what: permissions of roles, and policies over (subject, action, resource).

Every route and every realtime operation names the permission that it asks for, or says that it is
public; `docs/security/access.md` is the whole table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from messages.users import Role


class Permission(StrEnum):
    """What a policy may ask for. The scopes of API keys are permissions."""

    ACCOUNT = "account:self"
    LISTEN = "music:listen"
    BECOME_ARTIST = "music:become-artist"
    PUBLISH_SONG = "music:publish"
    READ_REWARDS = "rewards:read-own"
    CLAIM_REWARDS = "rewards:claim"
    FUND_POOL = "rewards:fund-pool"
    DONATE_TO_POOL = "rewards:donate"
    READ_HOLDINGS = "market:read-own"
    TRADE = "market:trade"
    ISSUE_SHARES = "market:issue"
    OPERATE_MARKET = "market:operate"
    DROP_TOKENS = "drops:create"
    READ_TOKENS = "drops:read-own"
    OPERATE_DROPS = "drops:operate"
    RAISE_FUNDS = "ventures:raise"
    INVEST = "ventures:invest"
    OPERATE_VENTURES = "ventures:operate"
    READ_BALANCES = "treasury:read-own"
    CREDIT = "treasury:credit"
    PAY = "payments:pay"
    READ_PAYMENTS = "payments:read-own"
    REVIEW_PAYMENTS = "payments:review"
    PAY_OUT = "payouts:request"
    READ_PAYOUTS = "payouts:read-own"
    REVIEW_PAYOUTS = "payouts:review"
    MANAGE_RISK = "payments:manage-risk"
    MODERATE = "platform:moderate"
    OPERATE = "platform:operate"
    READ_AUDIT = "platform:audit"
    MANAGE_USERS = "users:manage"


_USER = frozenset(
    {
        Permission.ACCOUNT,
        Permission.LISTEN,
        Permission.BECOME_ARTIST,
        Permission.READ_REWARDS,
        Permission.CLAIM_REWARDS,
        Permission.DONATE_TO_POOL,
        Permission.READ_HOLDINGS,
        Permission.TRADE,
        Permission.READ_TOKENS,
        Permission.INVEST,
        Permission.READ_BALANCES,
        Permission.PAY,
        Permission.READ_PAYMENTS,
        Permission.PAY_OUT,
        Permission.READ_PAYOUTS,
    }
)
_ARTIST = _USER | {
    Permission.PUBLISH_SONG,
    Permission.ISSUE_SHARES,
    Permission.DROP_TOKENS,
    Permission.RAISE_FUNDS,
}
_MODERATOR = _USER | {Permission.MODERATE}
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.USER: _USER,
    Role.ARTIST: _ARTIST,
    Role.MODERATOR: _MODERATOR,
    Role.ADMIN: frozenset(Permission),
    # A service has no account, no ears and no purse: what its keys may do, an admin says.
    Role.SERVICE: (
        frozenset(Permission)
        - _USER
        - {
            Permission.PUBLISH_SONG,
            Permission.DROP_TOKENS,
            Permission.RAISE_FUNDS,
            Permission.OPERATE,
            Permission.MANAGE_USERS,
            Permission.MANAGE_RISK,
        }
    ),
}
# Who may do to another's thing what its owner may: whoever has this permission instead.
OVERRIDES: dict[Permission, Permission] = {
    Permission.ISSUE_SHARES: Permission.OPERATE_MARKET,
    Permission.DROP_TOKENS: Permission.OPERATE_DROPS,
    Permission.RAISE_FUNDS: Permission.OPERATE_VENTURES,
}


class Subject(Protocol):
    """Who asks. `scopes`: all that an API key may do; None for a person, whose roles say it."""

    @property
    def user_id(self) -> str:
        """The user's id."""

    @property
    def roles(self) -> Sequence[Role]:
        """The user's roles."""

    @property
    def scopes(self) -> Sequence[Permission] | None:
        """The permissions of the key that is used, if it is one."""


class Reason(StrEnum):
    """Why a policy denies."""

    ROLE = "role-lacks-permission"
    SCOPE = "key-lacks-scope"
    OWNER = "not-the-owner"


class Decision(msgspec.Struct, frozen=True):
    """What a policy says. `denied` is why not; None: allowed."""

    denied: Reason | None = None

    @property
    def allowed(self) -> bool:
        """Whether the subject may."""
        return self.denied is None


ALLOWED = Decision()


def permits(roles: Iterable[Role], permission: Permission) -> bool:
    """Whether any of the roles has the permission."""
    return any(permission in PERMISSIONS[role] for role in roles)


def decide(subject: Subject, action: Permission, owner_id: str | None = None) -> Decision:
    """Whether the subject may do `action`, to a thing of `owner_id`'s if one is given.

    A key never does more than the roles of whoever made it.
    """
    if subject.scopes is not None and action not in subject.scopes:
        return Decision(Reason.SCOPE)
    if owner_id is None or owner_id == subject.user_id:
        return ALLOWED if permits(subject.roles, action) else Decision(Reason.ROLE)
    override = OVERRIDES.get(action)
    if override is not None and decide(subject, override).allowed:
        return ALLOWED
    return Decision(Reason.OWNER)
