"""Users: who they are to the other contexts, what may be refused, what happened.

Facts carry no e-mail address: they stay on the bus and in the logs long after an account is erased.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from messages.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated

STREAM = "users"


class Role(StrEnum):
    """What a user is on the platform. Each role is a set of permissions (`domain/access.py`)."""

    USER = "user"
    ARTIST = "artist"
    MODERATOR = "moderator"
    ADMIN = "admin"
    SERVICE = "service"


# --- errors -------------------------------------------------------------------------------------


class BadUsername(Invalid):
    """A username has 3 to 30 letters, digits, _ or -, and no - at either end."""

    code = "username-invalid"


class BadEmail(Invalid):
    """This is not an e-mail address that mail can be sent to."""

    code = "email-invalid"


class BadPasswordLength(Invalid):
    """A password has 12 to 128 characters."""

    code = "password-length"


class GuessablePassword(Invalid):
    """This password is too easy to guess."""

    code = "password-guessable"


class UnknownTimeZone(Invalid):
    """This is not the name of an IANA time zone."""

    code = "time-zone-unknown"


class UnknownLocale(Invalid):
    """VibeStream does not speak this language yet."""

    code = "locale-unknown"


class UsernameTaken(Conflict):
    """Another user has this username."""

    code = "username-taken"


class EmailTaken(Conflict):
    """Another user has this e-mail address."""

    code = "email-taken"


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user-not-found"


class WrongCredentials(Unauthenticated):
    """The username or the password is wrong."""

    code = "credentials-wrong"


class TokenInvalid(Unauthenticated):
    """The access token is not one of ours."""

    code = "token-invalid"


class TokenExpired(Unauthenticated):
    """The access token is no longer valid; sign in again."""

    code = "token-expired"


class PermissionMissing(Forbidden):
    """You may not do this: your role or your key does not permit it, or it is another's."""

    code = "permission-missing"


class BadCommitment(Invalid):
    """A commitment is a decimal number above 0 and below the order of the BN254 scalar field."""

    code = "identity-commitment-invalid"


class IdentityNotFound(NotFound):
    """You have not registered an identity."""

    code = "identity-not-found"


# --- events -------------------------------------------------------------------------------------


class UserRegistered(msgspec.Struct, frozen=True, tag=True):
    """Public: a user exists."""

    user_id: str
    username: str
    locale: str
    time_zone: str
    at_ms: int


class IdentityRegistered(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: listens that start from now on can be claimed with this identity.

    number: 1 for the first, 2 for the one that replaced it, and so on. The commitment stays out.
    """

    user_id: str
    number: int
    at_ms: int


def user_channel(user_id: str) -> str:
    """The realtime channel of what concerns one user alone."""
    return f"user:{user_id}"
