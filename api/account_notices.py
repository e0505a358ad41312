"""What is told of a change to an account: an event, a line in the audit log, a letter."""

from __future__ import annotations

from messages.mail import Template
from messages.users_accounts import (
    AccountChanged,
    AccountDeactivated,
    AccountDeleted,
    AccountEvent,
    AccountReactivated,
    EmailChanged,
    PasswordChanged,
)
from storage import audit, mail, users, users_events
from storage.database import Connection

ACTIONS: dict[type[AccountEvent], str] = {
    PasswordChanged: "password.changed",
    EmailChanged: "email.changed",
    AccountChanged: "account.changed",
    AccountDeactivated: "account.deactivated",
    AccountReactivated: "account.reactivated",
    AccountDeleted: "account.deleted",
}
LETTERS: dict[type[AccountEvent], Template] = {
    PasswordChanged: Template.PASSWORD_CHANGED,
    AccountDeactivated: Template.ACCOUNT_DEACTIVATED,
}


async def tell(
    connection: Connection, fact: AccountEvent, *, detail: dict[str, str | int] | None = None
) -> None:
    """Tell the locked user, and whoever reads the audit log, what became of the account."""
    user_id, at_ms = fact.user_id, fact.at_ms
    await users_events.tell(connection, user_id, [fact], at_ms)
    await audit.record(
        connection,
        ACTIONS[type(fact)],
        actor=user_id,
        subject=f"user:{user_id}",
        at_ms=at_ms,
        detail=detail,
    )
    template = LETTERS.get(type(fact))
    user = await users.get_user(connection, user_id)
    if template is not None and user is not None:
        await mail.notify(connection, user_id, template, {"username": user.username}, at_ms)
