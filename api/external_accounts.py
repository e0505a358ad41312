"""Changes to an account by its external identities: each with its facts, audit entry and letter."""

from __future__ import annotations

from domain.users_external import ProvenIdentity, check_newcomer, register_newcomer
from messages.mail import Template
from messages.users import EmailTaken, UsernameTaken, UserRegistered
from messages.users_accounts import EmailVerified
from messages.users_external import (
    ExternalEmailTaken,
    ExternalIdentityLinked,
    ExternalIdentityUnlinked,
)
from storage import audit, mail, users_events, users_registrations
from storage import users as users_storage
from storage import users_external as storage
from storage.database import Connection


async def welcome(
    connection: Connection,
    user_id: str,
    identity_id: str,
    proven: ProvenIdentity,
    chosen: tuple[str | None, str, str],
    at_ms: int,
) -> None:
    """Make an account for a person who has none. chosen: username, time zone, locale.

    Raises what `check_newcomer` and `register_newcomer` do, or UsernameTaken.
    """
    owner = await users_storage.find_by_email(connection, proven.email or "")
    registration = register_newcomer(check_newcomer(proven, owner is not None), user_id, *chosen)
    try:
        await users_storage.add_user(connection, user_id, registration, None, at_ms)
    except EmailTaken:  # a moment ago
        raise ExternalEmailTaken from None
    r = registration
    if await users_registrations.is_taken(connection, r.username, at_ms, user_id=user_id):
        raise UsernameTaken  # reserved, or given up not long ago
    fact = UserRegistered(user_id, r.username, r.locale, r.time_zone, at_ms)
    await users_events.tell_registered(connection, fact)
    if proven.is_email_authoritative:
        await users_storage.mark_verified(connection, user_id, at_ms)
        await users_events.tell(connection, user_id, [EmailVerified(user_id, at_ms)], at_ms)
    await audit.record(
        connection, "user.registered", actor=user_id, subject=f"user:{user_id}", at_ms=at_ms
    )
    await linked(connection, user_id, identity_id, proven, at_ms)


async def linked(
    connection: Connection, user_id: str, identity_id: str, proven: ProvenIdentity, at_ms: int
) -> storage.ExternalIdentity:
    """Link an identity with a locked user. Raises ExternalIdentityTaken."""
    await storage.add(connection, identity_id, user_id, proven, at_ms)
    fact = ExternalIdentityLinked(user_id, identity_id, proven.provider, at_ms)
    await users_events.tell(connection, user_id, [fact], at_ms)
    made = storage.ExternalIdentity(
        identity_id, user_id, proven.provider, proven.email, at_ms, at_ms
    )
    await _tell(connection, made, Template.EXTERNAL_LINKED, "external-identity.linked", at_ms)
    return made


async def unlinked(
    connection: Connection,
    identity: storage.ExternalIdentity,
    at_ms: int,
    *,
    by_provider: bool,
) -> None:
    """Unlink an identity of a locked user."""
    user_id, identity_id = identity.user_id, identity.identity_id
    await storage.remove(connection, identity_id)
    fact = ExternalIdentityUnlinked(user_id, identity_id, identity.provider, by_provider, at_ms)
    await users_events.tell(connection, user_id, [fact], at_ms)
    actor = f"service:{identity.provider.value}" if by_provider else user_id
    action = "external-identity.unlinked"
    await _tell(connection, identity, Template.EXTERNAL_UNLINKED, action, at_ms, actor)


async def _tell(
    connection: Connection,
    identity: storage.ExternalIdentity,
    letter: Template,
    action: str,
    at_ms: int,
    actor: str | None = None,
) -> None:
    user_id, provider = identity.user_id, identity.provider.value
    await audit.record(
        connection,
        action,
        actor=actor or user_id,
        subject=f"user:{user_id}",
        at_ms=at_ms,
        detail={"provider": provider, "identity": identity.identity_id},
    )
    values = {"provider": provider.title()}
    await mail.notify(connection, user_id, letter, values, at_ms)
