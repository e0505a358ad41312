"""Sign-ins whose first factor was right and whose second is awaited."""

from __future__ import annotations

from typing import Literal

from fastapi import Request
from pydantic import BaseModel, Field

from api.services import Services
from domain import users_factors as domain
from integrations.opaque_tokens import digest, new_token
from messages.keys import derive_key
from messages.users_factors import SignInExpired
from messages.users_sessions import Method
from storage import users_pending as storage
from storage.users_pending import Pending


class SecondFactorRequired(BaseModel):
    """The first factor was right; the account asks for another."""

    status: Literal["second-factor-required"] = "second-factor-required"
    pending: str = Field(description="Send it with the second factor, from the same client.")
    methods: list[Method] = Field(description="What may complete the sign-in.")
    expires_at_ms: int = Field(description="Epoch milliseconds.")


async def begin(
    services: Services, request: Request, user_id: str, method: Method, factors: domain.Factors
) -> SecondFactorRequired:
    """Keep the sign-in for five minutes and five attempts."""
    pending, now_ms = new_token(), services.clock()
    expires_at_ms = now_ms + domain.POLICY.pending_ms
    await storage.begin(
        services.pool,
        digest(pending),
        Pending(user_id, method),
        client_of(request),
        now_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )
    return SecondFactorRequired(
        pending=pending,
        methods=list(domain.second_methods(factors)),
        expires_at_ms=expires_at_ms,
    )


async def find(services: Services, request: Request, pending: str) -> Pending:
    """Who signs in. Raises SignInExpired."""
    limit, now_ms = domain.POLICY.pending_attempts, services.clock()
    client = client_of(request)
    found = await storage.find(services.pool, digest(pending), client, now_ms, limit)
    if found is None:
        raise SignInExpired
    return found


async def attempt(services: Services, request: Request, pending: str) -> Pending:
    """Who signs in, for one of the attempts that there are. Raises SignInExpired."""
    limit, now_ms = domain.POLICY.pending_attempts, services.clock()
    client = client_of(request)
    found = await storage.attempt(services.pool, digest(pending), client, now_ms, limit)
    if found is None:
        raise SignInExpired
    return found


async def complete(services: Services, pending: str) -> None:
    """End a sign-in whose second factor was right. Raises SignInExpired if it ended before."""
    if not await storage.complete(services.pool, digest(pending)):
        raise SignInExpired


def client_of(request: Request) -> bytes:
    """What tells one client from another while it signs in: what it calls itself.

    Not its address, which a telephone changes between two requests.
    """
    return derive_key("client", request.headers.get("user-agent", ""))
