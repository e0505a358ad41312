"""How accounts begin, change and end: the numbers and the pure rules."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from messages.users_accounts import (
    AccountBound,
    AccountHoldsValue,
    DeletionNotMeant,
    LettersUsedUp,
    UsernameChangesUsedUp,
)

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class AccountPolicy(msgspec.Struct, frozen=True):
    """Raise `version` whenever a number changes.

    registration_ms: how long a registration waits for its token (ASVS 6.4.1).
    answered_ms: how long the token of a completed one still gets the same answer, for who retries.
    letter_pause_ms, letters: between letters of one registration, and how many at most.
    letters_an_hour: of one kind to one address, whoever asks: mail is no weapon.
    reset_ms, email_change_ms: how long a token for these is good (ASVS 6.4.1, 6.5.5).
    name_kept_ms: how long a username that was given up is nobody else's.
    name_changes: how many of one's names may be kept so at once.
    """

    version: int = 1
    registration_ms: int = DAY_MS
    answered_ms: int = 10 * MINUTE_MS
    letter_pause_ms: int = MINUTE_MS
    letters: int = 5
    letters_an_hour: int = 5
    reset_ms: int = 30 * MINUTE_MS
    email_change_ms: int = DAY_MS
    name_kept_ms: int = 30 * DAY_MS
    name_changes: int = 2


POLICY = AccountPolicy()


def check_letter(
    letters: int, last_at_ms: int, now_ms: int, policy: AccountPolicy = POLICY
) -> None:
    """Whether a registration may have another letter. Raises LettersUsedUp."""
    wait_ms = last_at_ms + policy.letter_pause_ms - now_ms
    if letters >= policy.letters:
        raise LettersUsedUp(retry_after_s=0)
    if wait_ms > 0:
        raise LettersUsedUp(retry_after_s=-(-wait_ms // 1_000))


def check_name_change(kept: int, policy: AccountPolicy = POLICY) -> None:
    """Whether who has `kept` earlier names may leave another. Raises UsernameChangesUsedUp."""
    if kept >= policy.name_changes:
        raise UsernameChangesUsedUp


def check_deletion(
    *, right_name: bool, busy: Mapping[str, int], held: int, leave_balances: bool
) -> None:
    """Whether an account may be deleted.

    busy: counts of what others depend on.  held: how many of its ledger accounts hold something.
    Raises DeletionNotMeant, AccountBound, AccountHoldsValue.
    """
    if not right_name:
        raise DeletionNotMeant
    if any(busy.values()):
        raise AccountBound("", **busy)
    if held and not leave_balances:
        raise AccountHoldsValue(accounts=held)


def is_pending(expires_at_ms: int, now_ms: int) -> bool:
    """Whether something that was mailed still waits for its token."""
    return now_ms < expires_at_ms


def is_answered(completed_at_ms: int, now_ms: int, policy: AccountPolicy = POLICY) -> bool:
    """Whether the token of a completed registration still gets the same answer."""
    return now_ms < completed_at_ms + policy.answered_ms
