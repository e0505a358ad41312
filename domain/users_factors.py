"""Second factors and step-up: what is asked, for how long a proof holds, how guessing is slowed.

Pure. Numbers follow OWASP ASVS 5.0 chapters 6 and 7.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from enum import StrEnum

import msgspec

from messages.users_factors import BadFactorName
from messages.users_sessions import Method

MINUTE_MS = 60_000


SECOND = frozenset({Method.ONE_TIME_PASSWORD, Method.PASSKEY, Method.RECOVERY_CODE})


class FactorPolicy(msgspec.Struct, frozen=True):
    """How long each part of a proof waits, and how many guesses there are.

    recent_ms: how old an authentication may be for a sensitive action.  free_failures: wrong
    guesses in a row before the next one has to wait, at first `first_wait_ms`, then twice as long
    each time up to `longest_wait_ms`: some 370 guesses in the first year, each right by chance with
    3 in 1,000,000.  pending_attempts: guesses of one sign-in.
    """

    version: int = 1
    challenge_ms: int = 5 * MINUTE_MS
    pending_ms: int = 5 * MINUTE_MS
    pending_attempts: int = 5
    enrolment_ms: int = 10 * MINUTE_MS
    recent_ms: int = 5 * MINUTE_MS
    free_failures: int = 5
    first_wait_ms: int = MINUTE_MS
    longest_wait_ms: int = 24 * 60 * MINUTE_MS
    recovery_codes: int = 10
    max_passkeys: int = 20
    max_name_chars: int = 64


POLICY = FactorPolicy()


class Sensitive(StrEnum):
    """What an open session alone does not suffice for."""

    CHANGE_PASSWORD = "change-password"  # noqa: S105 - a name
    CHANGE_EMAIL = "change-email"
    ADD_FACTOR = "add-factor"
    REMOVE_FACTOR = "remove-factor"
    MAKE_RECOVERY_CODES = "make-recovery-codes"
    MAKE_API_KEY = "make-api-key"
    LINK_ACCOUNT = "link-account"
    UNLINK_ACCOUNT = "unlink-account"
    LINK_WALLET = "link-wallet"
    UNLINK_WALLET = "unlink-wallet"
    DELETE_ACCOUNT = "delete-account"
    PAY_OUT = "pay-out"
    CHANGE_ROLE = "change-role"
    OTHER = "other"


# How old the authentication may be, for each of them.
RECENT_MS: dict[Sensitive, int] = dict.fromkeys(Sensitive, POLICY.recent_ms)


class Factors(msgspec.Struct, frozen=True):
    """What an account has beside its first factor. Suspected passkeys do not count."""

    totp: bool = False
    passkeys: int = 0
    recovery_codes: int = 0

    @property
    def any(self) -> bool:
        """Whether a second factor is asked for. Recovery codes alone are none."""
        return self.totp or self.passkeys > 0


def second_methods(factors: Factors) -> tuple[Method, ...]:
    """What may complete a sign-in; empty if nothing is asked for."""
    if not factors.any:
        return ()
    offered = (
        (Method.PASSKEY, factors.passkeys > 0),
        (Method.ONE_TIME_PASSWORD, factors.totp),
        (Method.RECOVERY_CODE, factors.recovery_codes > 0),
    )
    return tuple(method for method, has in offered if has)


def step_up_methods(factors: Factors) -> tuple[Method, ...]:
    """What renews an authentication: the second factor, if there is one, or else the password.

    No recovery code: it is for signing in when the factor is lost, which is recent enough.
    """
    if not factors.any:
        return (Method.PASSWORD,)
    return tuple(m for m in second_methods(factors) if m is not Method.RECOVERY_CODE)


def is_recent(
    authenticated_at_ms: int, methods: Collection[str], factors: Factors, now_ms: int, age_ms: int
) -> bool:
    """Whether a session's authentication suffices for a sensitive action."""
    strong = not factors.any or not SECOND.isdisjoint(methods)
    return strong and now_ms - authenticated_at_ms <= age_ms


def may_guess_at(failures: int, last_at_ms: int, policy: FactorPolicy = POLICY) -> int:
    """The moment from which the next guess is heard, after `failures` wrong ones in a row."""
    beyond = failures - policy.free_failures
    if beyond < 0:
        return 0
    doublings = min(beyond, policy.longest_wait_ms.bit_length())
    return last_at_ms + min(policy.first_wait_ms << doublings, policy.longest_wait_ms)


def new_step(steps: Iterable[int], last_step: int) -> int | None:
    """Of the time steps whose code was shown, one that was not accepted before."""
    return max((step for step in steps if step > last_step), default=None)


def counter_is_sound(known: int, shown: int) -> bool:
    """Whether a passkey's signature counter went on (WebAuthn 3, 7.2 step 22).

    Authenticators that count nothing show 0 for ever.
    """
    return shown > known or shown == known == 0


def factor_name(name: str, policy: FactorPolicy = POLICY) -> str:
    """The name of a passkey or wallet in normal form. Raises BadFactorName."""
    name = unicodedata.normalize("NFC", name).strip()
    visible = all(unicodedata.category(char)[0] not in "CZ" or char == " " for char in name)
    if not 1 <= len(name) <= policy.max_name_chars or not visible:
        raise BadFactorName(longest=policy.max_name_chars)
    return name
