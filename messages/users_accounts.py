"""Accounts: how they begin, change and end.

Facts carry no e-mail address: they stay on the bus and in the logs long after an account is erased.
"""

from __future__ import annotations

import msgspec

from messages.errors import Conflict, Invalid, Limited, NotFound

# --- errors -------------------------------------------------------------------------------------


class MailTokenUnknown(NotFound):
    """This link or code was used before, is too old, or was never ours."""

    code = "mail-token-unknown"


class RegistrationNotFound(NotFound):
    """There is no registration that waits under this id."""

    code = "registration-not-found"


class LettersUsedUp(Limited):
    """No further letter is sent now."""

    code = "letters-used-up"


class UsernameChangesUsedUp(Limited):
    """You have changed your username too often of late."""

    code = "username-changes-used-up"


class DeletionNotMeant(Invalid):
    """To delete an account its username is to be given."""

    code = "deletion-not-meant"


class AccountBound(Conflict):
    """Open orders, payments under way, share issues, drops or ventures stand in the way."""

    code = "account-bound"


class AccountHoldsValue(Conflict):
    """The account holds something. Take it out, or say that it is to be left."""

    code = "account-holds-value"


# --- events -------------------------------------------------------------------------------------


class EmailVerified(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: they read the mailbox of their address."""

    user_id: str
    at_ms: int


class PasswordChanged(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: another password from now on. by_mail: it was forgotten."""

    user_id: str
    by_mail: bool
    at_ms: int


class EmailChanged(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: another address from now on, whose mailbox they read."""

    user_id: str
    at_ms: int


class AccountChanged(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: how the account is called, where its days begin, its language."""

    user_id: str
    username: str
    locale: str
    time_zone: str
    at_ms: int


class AccountDeactivated(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: the account rests; signing in wakes it."""

    user_id: str
    at_ms: int


class AccountReactivated(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: the account is awake again."""

    user_id: str
    at_ms: int


class AccountDeleted(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: the account is no more. What was booked under its id stays."""

    user_id: str
    at_ms: int


AccountEvent = (
    EmailVerified
    | PasswordChanged
    | EmailChanged
    | AccountChanged
    | AccountDeactivated
    | AccountReactivated
    | AccountDeleted
)
