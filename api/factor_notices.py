"""What is told of a change to a user's factors: an event, and a line in the audit log."""

from __future__ import annotations

import msgspec

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
from storage import audit, users_events
from storage.database import Connection

ACTIONS: dict[type[msgspec.Struct], str] = {
    TotpAdded: "totp.added",
    TotpRemoved: "totp.removed",
    PasskeyAdded: "passkey.added",
    PasskeyRemoved: "passkey.removed",
    PasskeySuspected: "passkey.suspected",
    RecoveryCodesMade: "recovery-codes.made",
    RecoveryCodeUsed: "recovery-code.used",
    GuessingSeen: "factor.guessed",
}


async def tell(connection: Connection, user_id: str, fact: FactorEvent, at_ms: int) -> None:
    """Tell the locked user, and whoever reads the audit log, what happened to a factor."""
    await users_events.tell(connection, user_id, [fact], at_ms)
    known = {"user_id", "at_ms"}
    detail = {k: v for k, v in msgspec.structs.asdict(fact).items() if k not in known}
    await audit.record(
        connection,
        ACTIONS[type(fact)],
        actor=user_id,
        subject=f"user:{user_id}",
        at_ms=at_ms,
        detail=detail,
    )
