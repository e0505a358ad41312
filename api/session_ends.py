"""Sessions end: by their user, by who manages users, or because another takes their place."""

from __future__ import annotations

from collections.abc import Sequence

from api.services import Services
from integrations.refresh_tokens import digest
from messages.users_sessions import Because, RefreshTokenInvalid
from storage import users_events, users_refresh
from storage import users_sessions as storage


async def end(
    services: Services,
    user_id: str,
    because: Because,
    *,
    actor: str,
    only: str | None = None,
    keep: str | None = None,
) -> int:
    """End a user's sessions: all, `only` one, or all but the one to `keep`. How many ended."""
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        ended = await storage.end_sessions(
            connection,
            user_id,
            because,
            services.clock(),
            actor=actor,
            only=None if only is None else [only],
            keep=keep,
        )
    return len(ended)


async def end_former(services: Services, refresh_tokens: Sequence[str]) -> None:
    """End the session that a browser has kept, when another takes its place."""
    try:
        hashes = [digest(token) for token in refresh_tokens]
    except RefreshTokenInvalid:
        return
    owner = await users_refresh.find_owner(services.pool, hashes)
    if owner is not None:
        await end(
            services,
            owner.user_id,
            Because.DISPLACED,
            actor=owner.user_id,
            only=owner.session_id,
        )
