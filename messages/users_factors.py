"""Second factors: what may be refused, what happened.

Facts name no secret, code or credential: they outlive the account.
"""

from __future__ import annotations

import msgspec

from messages.errors import Conflict, Forbidden, Invalid, Limited, NotFound, Unauthenticated

# --- errors -------------------------------------------------------------------------------------


class WrongSecondFactor(Unauthenticated):
    """The code is wrong, or was used before."""

    code = "second-factor-wrong"


class PasskeyRefused(Unauthenticated):
    """The passkey's answer is not good."""

    code = "passkey-refused"


class SignInExpired(Unauthenticated):
    """This sign-in took too long, was tried too often, or is another client's. Begin again."""

    code = "sign-in-expired"


class StepUpRequired(Forbidden):
    """Prove again who you are before doing this."""

    code = "step-up-required"


class MethodNotEnough(Forbidden):
    """This account asks for another method."""

    code = "method-not-enough"


class GuessesUsedUp(Limited):
    """Too many wrong guesses; wait before the next one."""

    code = "guesses-used-up"


class TotpExists(Conflict):
    """One-time passwords are set up already. Remove them first."""

    code = "totp-exists"


class TotpNotFound(NotFound):
    """No one-time passwords are set up."""

    code = "totp-not-found"


class EnrolmentNotFound(NotFound):
    """There is nothing to confirm, or it was begun too long ago."""

    code = "totp-enrolment-not-found"


class NoSecondFactor(Conflict):
    """Recovery codes stand in for a second factor; set one up first."""

    code = "second-factor-absent"


class PasskeyNotFound(NotFound):
    """You have no such passkey."""

    code = "passkey-not-found"


class PasskeyExists(Conflict):
    """This passkey is registered already."""

    code = "passkey-exists"


class TooManyPasskeys(Conflict):
    """You have as many passkeys as an account may have."""

    code = "passkeys-limit"


class BadFactorName(Invalid):
    """A name has 1 to 64 visible characters."""

    code = "factor-name-invalid"


class ChallengeNotFound(Conflict):
    """This challenge was answered before, is too old, or was given to somebody else."""

    code = "challenge-not-found"


# --- events -------------------------------------------------------------------------------------


class TotpAdded(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: one-time passwords are asked for from now on."""

    user_id: str
    at_ms: int


class TotpRemoved(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: one-time passwords are no longer asked for."""

    user_id: str
    at_ms: int


class PasskeyAdded(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: a passkey opens the account."""

    user_id: str
    passkey_id: str
    at_ms: int


class PasskeyRemoved(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: a passkey no longer opens the account."""

    user_id: str
    passkey_id: str
    at_ms: int


class PasskeySuspected(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: a passkey's counter went back, so a copy of it may be about.

    It opens nothing from now on.
    """

    user_id: str
    passkey_id: str
    at_ms: int


class RecoveryCodesMade(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: these codes are the only ones; earlier ones are void."""

    user_id: str
    count: int
    at_ms: int


class RecoveryCodeUsed(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: a code stood in for a second factor; `left` of them are left."""

    user_id: str
    left: int
    at_ms: int


class GuessingSeen(msgspec.Struct, frozen=True, tag=True):
    """Public, to its user: so many wrong guesses in a row that guessing has to wait.

    method: `otp` (whoever guesses knows the password) or `pwd` (whoever guesses has a session).
    """

    user_id: str
    method: str
    until_ms: int
    at_ms: int


FactorEvent = (
    TotpAdded
    | TotpRemoved
    | PasskeyAdded
    | PasskeyRemoved
    | PasskeySuspected
    | RecoveryCodesMade
    | RecoveryCodeUsed
    | GuessingSeen
)
