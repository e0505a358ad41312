"""API keys as credentials: looked up once a second at most, so a revoked one stops within it."""

from __future__ import annotations

import hmac

from api.services import Services
from domain.access import Permission
from integrations import api_keys
from integrations.tokens import Claims
from messages.users import TokenExpired, TokenInvalid
from storage import users_api_keys as storage

_KNOWN = frozenset(Permission)


async def subject_of_key(services: Services, token: str) -> Claims:
    """Who an API key speaks for. Raises TokenInvalid or TokenExpired."""
    now_ms = services.clock()
    claims = services.recent_keys.get(token, now_ms)
    if claims is None:
        claims = await _look_up(services, token, now_ms)
        services.recent_keys.put(token, claims, now_ms)
    if now_ms >= claims.expires_at_ms:
        raise TokenExpired
    return claims


async def _look_up(services: Services, token: str, now_ms: int) -> Claims:
    presented = api_keys.parse(token)
    if presented is None:
        raise TokenInvalid
    found = await storage.find(services.pool, presented.key_id)
    if found is None or not hmac.compare_digest(found.digest, presented.digest):
        raise TokenInvalid
    if found.used_at_ms is None or now_ms - found.used_at_ms >= storage.USED_EVERY_MS:
        await storage.mark_used(services.pool, presented.key_id, now_ms)
    return Claims(
        user_id=found.user_id,
        session_id=presented.key_id,
        token_id=presented.key_id,
        roles=(found.role,),
        methods=(),
        authenticated_at_ms=0,
        issued_at_ms=found.created_at_ms,
        expires_at_ms=found.expires_at_ms,
        # A permission that is no more is a scope of nothing.
        scopes=tuple(Permission(scope) for scope in found.scopes if scope in _KNOWN),
    )
