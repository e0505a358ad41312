"""What is told of a change to payout methods: an event, a line in the audit log, a letter."""

from __future__ import annotations

from messages.mail import Template
from messages.payments.payout_methods import PayoutMethodAdded, PayoutMethodRemoved
from storage import audit, mail, users_events
from storage.database import Connection

NOTICES: dict[type[PayoutMethodAdded | PayoutMethodRemoved], tuple[str, Template]] = {
    PayoutMethodAdded: ("payout-method.added", Template.PAYOUT_METHOD_ADDED),
    PayoutMethodRemoved: ("payout-method.removed", Template.PAYOUT_METHOD_REMOVED),
}


async def tell(
    connection: Connection, fact: PayoutMethodAdded | PayoutMethodRemoved, label: str
) -> None:
    """Tell the locked user, and whoever reads the audit log. label: what is shown of the method."""
    action, template = NOTICES[type(fact)]
    await users_events.tell(connection, fact.user_id, [fact], fact.at_ms)
    await audit.record(
        connection,
        action,
        actor=fact.user_id,
        subject=f"user:{fact.user_id}",
        at_ms=fact.at_ms,
        detail={"method": fact.method_id, "provider": fact.provider.value},
    )
    await mail.notify(connection, fact.user_id, template, {"method": label}, fact.at_ms)
