"""Mail to users: the letters that there are, and what came of sending one."""

from __future__ import annotations

from enum import StrEnum

import msgspec

STREAM = "mail"  # what wakes the sender


class Template(StrEnum):
    """A letter: `locale/mail/<template>.<language>.txt`. The docstring names its values.

    Values beside these: `public_url`, where the platform is found.
    """

    VERIFICATION = "verification"
    """username, token, hours"""
    ADDRESS_TAKEN = "address-taken"
    """username"""
    PASSWORD_RESET = "password-reset"  # noqa: S105 - a name
    """username, token, minutes"""
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a name
    """username"""
    EMAIL_CHANGE = "email-change"
    """username, token, hours"""
    EMAIL_CHANGED = "email-changed"
    """username"""
    ACCOUNT_DEACTIVATED = "account-deactivated"
    """username"""
    ACCOUNT_DELETED = "account-deleted"
    """username"""
    TOTP_ADDED = "totp-added"
    TOTP_REMOVED = "totp-removed"
    PASSKEY_ADDED = "passkey-added"
    """passkey: its name"""
    PASSKEY_REMOVED = "passkey-removed"
    """passkey"""
    PASSKEY_SUSPECTED = "passkey-suspected"
    """passkey"""
    RECOVERY_CODES_MADE = "recovery-codes-made"
    """count"""
    RECOVERY_CODE_USED = "recovery-code-used"
    """left"""
    GUESSING_SEEN = "guessing-seen"
    NEW_DEVICE = "new-device"
    """device, place"""
    SESSION_SUSPECTED = "session-suspected"
    """device, place"""
    EXTERNAL_LINKED = "external-linked"
    """provider"""
    EXTERNAL_UNLINKED = "external-unlinked"
    """provider"""
    PAYOUT_METHOD_ADDED = "payout-method-added"
    """method: what is shown of it"""
    PAYOUT_METHOD_REMOVED = "payout-method-removed"
    """method"""
    ACCOUNT_WARNED = "account-warned"
    """username, explanation"""
    ACCOUNT_SUSPENDED = "account-suspended"
    """username, explanation, until, token"""
    ACCOUNT_REINSTATED = "account-reinstated"
    """username"""
    APPEAL_UPHELD = "appeal-upheld"
    """username, explanation"""


class Letter(msgspec.Struct, frozen=True):
    """A letter to send. `mail_id` becomes its Message-ID, the same at each attempt."""

    mail_id: str
    to: str
    subject: str
    text: str


class Outcome(StrEnum):
    """What came of an attempt.

    LATER: this letter may go another time.  AWAY: the server cannot be reached or refuses us, so
    the next letter would fare the same.  REFUSED: the server will never take this letter.
    """

    SENT = "sent"
    LATER = "later"
    AWAY = "away"
    REFUSED = "refused"


class Delivery(msgspec.Struct, frozen=True):
    """An attempt's outcome, and the server's words if it was not sent."""

    outcome: Outcome
    error: str = ""
