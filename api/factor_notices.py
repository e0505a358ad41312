"""What is told of a change to a user's factors: an event, a line in the audit log, a letter."""

from __future__ import annotations

import msgspec

from messages.mail import Template
from messages.users_factors import (
    FactorEvent,
    GuessingSeen,
    PasskeyAdded,
    PasskeyRemoved,
    PasskeySuspected,
    RecoveryCodesMade,
    RecoveryCodeUsed,
    TotpAdded,
    TotpRemoved,
)
from storage import audit, mail, users_events
from storage.database import Connection

NOTICES: dict[type[msgspec.Struct], tuple[str, Template]] = {
    TotpAdded: ("totp.added", Template.TOTP_ADDED),
    TotpRemoved: ("totp.removed", Template.TOTP_REMOVED),
    PasskeyAdded: ("passkey.added", Template.PASSKEY_ADDED),
    PasskeyRemoved: ("passkey.removed", Template.PASSKEY_REMOVED),
    PasskeySuspected: ("passkey.suspected", Template.PASSKEY_SUSPECTED),
    RecoveryCodesMade: ("recovery-codes.made", Template.RECOVERY_CODES_MADE),
    RecoveryCodeUsed: ("recovery-code.used", Template.RECOVERY_CODE_USED),
    GuessingSeen: ("factor.guessed", Template.GUESSING_SEEN),
}


async def tell(
    connection: Connection, user_id: str, fact: FactorEvent, at_ms: int, **values: str | int
) -> None:
    """Tell the locked user, and whoever reads the audit log, what happened to a factor.

    values: those of the letter.
    """
    action, template = NOTICES[type(fact)]
    known = {"user_id", "at_ms"}
    detail = {k: v for k, v in msgspec.structs.asdict(fact).items() if k not in known}
    await users_events.tell(connection, user_id, [fact], at_ms)
    await audit.record(
        connection,
        action,
        actor=user_id,
        subject=f"user:{user_id}",
        at_ms=at_ms,
        detail=detail,
    )
    await mail.notify(connection, user_id, template, values, at_ms)
