"""What an API key may be: its name, its scopes, its life."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from domain.access import PERMISSIONS, Permission
from messages.users import Role
from messages.users_api_keys import BadKeyExpiry, BadKeyName, BadKeyScopes, TooManyKeys

HOUR_MS = 3_600_000
# A program never manages accounts or hands out keys: nobody would notice who then owns it.
NEVER = frozenset({Permission.ACCOUNT, Permission.OPERATE, Permission.MANAGE_USERS})


class ApiKeyPolicy(msgspec.Struct, frozen=True):
    """Numbers of API keys. Raise `version` whenever one changes."""

    version: int = 1
    max_name_chars: int = 64
    min_life_ms: int = HOUR_MS
    max_life_ms: int = 365 * 24 * HOUR_MS
    max_keys: int = 20


POLICY = ApiKeyPolicy()


class NewKey(msgspec.Struct, frozen=True):
    """A key that may be made. Scopes are sorted, each once."""

    name: str
    scopes: tuple[Permission, ...]
    expires_at_ms: int


def scopes_of(role: Role) -> frozenset[Permission]:
    """The scopes that a key of a user with this role may have."""
    return PERMISSIONS[role] - NEVER


def new_key(
    name: str,
    scopes: Iterable[str],
    expires_at_ms: int,
    role: Role,
    now_ms: int,
    policy: ApiKeyPolicy = POLICY,
) -> NewKey:
    """Check what is asked for. Raises BadKeyName, BadKeyScopes or BadKeyExpiry."""
    name = name.strip()
    if not 1 <= len(name) <= policy.max_name_chars or not name.isprintable():
        raise BadKeyName
    possible = {scope.value for scope in scopes_of(role)}
    wanted = sorted(set(scopes))
    if not wanted or not possible.issuperset(wanted):
        raise BadKeyScopes(possible=", ".join(sorted(possible)))
    if not now_ms + policy.min_life_ms <= expires_at_ms <= now_ms + policy.max_life_ms:
        raise BadKeyExpiry
    return NewKey(name, tuple(Permission(scope) for scope in wanted), expires_at_ms)


def check_count(in_use: int, policy: ApiKeyPolicy = POLICY) -> None:
    """Raise TooManyKeys if a user with so many good keys may have no more."""
    if in_use >= policy.max_keys:
        raise TooManyKeys(most=policy.max_keys)
