"""Sessions: how users prove who they are, what may be refused, what happened."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.errors import Forbidden, NotFound, Unauthenticated


class Method(StrEnum):
    """How a user proved who they are (RFC 8176's names where it has one)."""

    PASSWORD = "pwd"  # noqa: S105 - a name
    ONE_TIME_PASSWORD = "otp"  # noqa: S105
    PASSKEY = "hwk"
    RECOVERY_CODE = "recovery"
    GOOGLE = "google"
    APPLE = "apple"


class Because(StrEnum):
    """Why a session ended before its time."""

    SIGNED_OUT = "signed-out"
    REVOKED = "revoked"
    REUSED = "refresh-token-reused"
    DISPLACED = "displaced"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a name
    ACCOUNT_CLOSED = "account-closed"
    SUSPENDED = "suspended"
    ROLE_CHANGED = "role-changed"


# --- errors -------------------------------------------------------------------------------------


class SessionEnded(Unauthenticated):
    """This session has ended; sign in again."""

    code = "session-ended"


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is not one of ours; sign in again."""

    code = "refresh-token-invalid"


class SessionNotFound(NotFound):
    """You have no such session."""

    code = "session-not-found"


class CrossSiteRequest(Forbidden):
    """A page of another site asked for this, or the page's own proof is missing."""

    code = "cross-site-request"


# --- events -------------------------------------------------------------------------------------


class SessionClosed(msgspec.Struct, frozen=True, tag=True):
    """To its user: a session ended before its time, and its tokens with it."""

    user_id: str
    session_id: str
    because: Because
    at_ms: int


class RefreshReuseDetected(msgspec.Struct, frozen=True, tag=True):
    """To its user: somebody showed a refresh token that was used before; the session ended.

    Two have the token: one of them took it. Which one cannot be told.
    """

    user_id: str
    session_id: str
    at_ms: int


SessionEvent: TypeAlias = SessionClosed | RefreshReuseDetected
