"""A refresh token is shown: the rule of `domain/users_refresh.py` on what PostgreSQL knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from api.services import Services
from api.session_cookies import SessionDoor
from api.signing_in import Live, Session, signed_in
from domain.users_refresh import Verdict, judge
from domain.users_sessions import POLICY
from integrations.refresh_tokens import digest
from integrations.tokens import Grant
from messages.mail import Template
from messages.users_sessions import (
    Because,
    RefreshReuseDetected,
    RefreshTokenInvalid,
    SessionEnded,
)
from storage import audit, mail, users_events, users_sessions
from storage import users_refresh as storage
from storage.database import Connection

Admit = Callable[[str], None]


async def refresh(
    services: Services,
    given: Sequence[str],
    *,
    door: SessionDoor | None = None,
    admit: Admit = lambda _: None,
) -> Session:
    """The session's next tokens. Raises RefreshTokenInvalid or SessionEnded.

    given: one token, or the few that a browser keeps, of which the newest counts.
    admit: asked with the session's id before anything changes; raises to refuse.
    """
    tokens = {digest(token): token for token in given}
    owner = await storage.find_owner(services.pool, list(tokens))
    if owner is None:
        raise RefreshTokenInvalid
    admit(owner.session_id)
    token = tokens[owner.token_hash]
    async with services.pool.acquire() as connection, connection.transaction():
        # One at a time for a user: whoever waited sees what the one before did.
        await users_events.lock(connection, owner.user_id)
        found = await storage.get_shown(connection, owner.token_hash)
        if found is None:
            raise RefreshTokenInvalid
        now_ms = services.clock()
        verdict = judge(found.shown, now_ms)
        live = await _obey(services, connection, verdict, owner, found, token, now_ms)
    if live is None:
        raise SessionEnded
    grant = Grant(
        owner.user_id,
        owner.session_id,
        (found.role,),
        found.methods,
        found.authenticated_at_ms,
    )
    return signed_in(services, grant, now_ms, live, door)


async def _obey(
    services: Services,
    connection: Connection,
    verdict: Verdict,
    owner: storage.Owner,
    found: storage.Found,
    token: str,
    now_ms: int,
) -> Live | None:
    """Do what the verdict says. The live token afterwards; None: the session is over."""
    match verdict:
        case Verdict.ROTATE:
            return await _rotate(services, connection, owner, found, token, now_ms)
        case Verdict.REPEAT:
            return await _repeat(services, connection, owner, found, token)
        case Verdict.REUSED:
            await _end_family(connection, owner, found, now_ms)
    return None


async def _rotate(
    services: Services,
    connection: Connection,
    owner: storage.Owner,
    found: storage.Found,
    token: str,
    now_ms: int,
) -> Live:
    seed = services.refresh_tokens.new_seed()
    following = services.refresh_tokens.following(token, seed)
    await storage.rotate(
        connection,
        owner.session_id,
        found.number,
        digest(following),
        seed,
        now_ms,
        now_ms - POLICY.remember_ms,
    )
    return Live(following, found.number + 1)


async def _repeat(
    services: Services,
    connection: Connection,
    owner: storage.Owner,
    found: storage.Found,
    token: str,
) -> Live:
    """The live token, derived link by link. Raises RefreshTokenInvalid under another secret."""
    links = await storage.get_chain(connection, owner.session_id, found.number)
    seeds = [link.seed for link in links if link.seed is not None]
    live = reduce(services.refresh_tokens.following, seeds, token)
    if digest(live) != links[-1].token_hash:
        raise RefreshTokenInvalid
    return Live(live, found.number + len(seeds))


async def _end_family(
    connection: Connection, owner: storage.Owner, found: storage.Found, now_ms: int
) -> None:
    fact = RefreshReuseDetected(owner.user_id, owner.session_id, now_ms)
    await users_events.tell(connection, owner.user_id, [fact], now_ms)
    await audit.record(
        connection,
        "session.refresh-token-reused",
        actor=audit.PLATFORM,
        subject=f"session:{owner.session_id}",
        at_ms=now_ms,
        detail={"user": owner.user_id},
    )
    await users_sessions.end_sessions(
        connection,
        owner.user_id,
        Because.REUSED,
        now_ms,
        actor=audit.PLATFORM,
        only=[owner.session_id],
    )
    where = {"device": found.device, "place": found.place}
    await mail.notify(connection, owner.user_id, Template.SESSION_SUSPECTED, where, now_ms)
