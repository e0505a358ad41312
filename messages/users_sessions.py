"""Sessions: how users prove who they are, what may be refused, what happened."""

from __future__ import annotations

from enum import StrEnum

from messages.errors import Unauthenticated


class Method(StrEnum):
    """How a user proved who they are (RFC 8176's names where it has one)."""

    PASSWORD = "pwd"  # noqa: S105 - a name
    ONE_TIME_PASSWORD = "otp"  # noqa: S105
    PASSKEY = "hwk"
    RECOVERY_CODE = "recovery"
    GOOGLE = "google"
    APPLE = "apple"


class SessionEnded(Unauthenticated):
    """This session has ended; sign in again."""

    code = "session-ended"
