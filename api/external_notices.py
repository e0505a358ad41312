"""What Apple tells by itself: that a person withdrew their consent, or left Apple.

Apple posts a signed token and repeats it until it is answered with success. Who sends it is proved
by the signature alone (developer.apple.com, "Processing changes for Sign in with Apple accounts").
"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth import public
from api.external_accounts import unlinked
from api.openapi import problems
from api.services import Services, ServicesDep
from domain.users_external import check_unlink
from integrations.oidc import Notice
from integrations.oidc_client import NOTICE_MAX_AGE_S
from integrations.opaque_tokens import digest
from messages.users_external import LastWayToSignIn, Provider
from storage import audit, users_events
from storage import users_external as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/oauth", tags=["external sign-in"])

GONE = frozenset({"consent-revoked", "account-delete", "account-deleted"})
KEEP_MS = 2 * NOTICE_MAX_AGE_S * 1_000  # longer than a notice could be replayed


class AppleNotice(BaseModel):
    """Apple's body."""

    payload: str = Field(max_length=16_384, description="A JWT that Apple signed.")


class NoticeTaken(BaseModel):
    """Apple sends a notice again until it sees a 200."""

    taken: bool


@router.post("/apple/notices", responses=problems(403, 404))
@public
async def receive_apple_notice(body: AppleNotice, services: ServicesDep) -> NoticeTaken:
    """Take a notice of Apple's. One that we have seen, or need not act on, changes nothing."""
    notice = await services.external.provider(Provider.APPLE).read_notice(body.payload)
    if notice.kind in GONE:
        await _leave(services, notice)
    return NoticeTaken(taken=True)


async def _leave(services: Services, notice: Notice) -> None:
    at_ms = services.clock()
    known = await storage.find(services.pool, Provider.APPLE, notice.subject)
    if known is None:
        return
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, known.user_id)
        seen = digest(f"{Provider.APPLE}:{notice.notice_id}")
        if await storage.add_notice(connection, seen, at_ms, at_ms + KEEP_MS):
            await _act(connection, known, notice, at_ms)


async def _act(
    connection: Connection, identity: storage.ExternalIdentity, notice: Notice, at_ms: int
) -> None:
    """Unlink; but an account that nothing else signs in to keeps its identity.

    Whoever revoked may consent again, and then finds the account and not a closed door.
    """
    found = await storage.list_of(connection, identity.user_id)
    if identity.identity_id not in {one.identity_id for one in found}:
        return
    try:
        check_unlink(await storage.has_password(connection, identity.user_id), len(found) - 1)
    except LastWayToSignIn:
        await audit.record(
            connection,
            "external-identity.revoked",
            actor=f"service:{identity.provider.value}",
            subject=f"user:{identity.user_id}",
            at_ms=at_ms,
            detail={"kind": notice.kind},
        )
        return
    await unlinked(connection, identity, at_ms, by_provider=True)
