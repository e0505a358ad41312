"""What a provider's word is good for: sign in, make an account, link one's own, unlink."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from api.auth import Member, public
from api.external_accounts import linked, unlinked, welcome
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import Input
from api.openapi import problems
from api.services import Services, ServicesDep
from api.session_cookies import session_door
from api.signing_in import SECOND_FACTOR, Method, Session, first_factor_passed, sign_in_answer
from api.step_up import step_up_for
from domain.users_external import check_link, check_unlink
from domain.users_factors import Sensitive
from integrations.opaque_tokens import digest
from integrations.tokens import Claims
from messages.users_external import (
    ExternalIdentityNotFound,
    ExternalIdentityTaken,
    ExternalSignInInvalid,
    Provider,
)
from storage import users_events
from storage import users_external as storage
from storage.database import Connection

router = APIRouter(tags=["users"])

LINK = "POST /api/v1/users/me/external-identities"
MAX_TEXT = 1_024

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Linker = Annotated[Claims, Depends(step_up_for(Sensitive.LINK_ACCOUNT))]
Unlinker = Annotated[Claims, Depends(step_up_for(Sensitive.UNLINK_ACCOUNT))]


class CompleteExternalSignIn(Input):
    """Code and handle, and how a new account is to be."""

    code: Text = Field(description="From the query of the return URL.")
    handle: Text = Field(description="From the authorization that began it.")
    username: Text | None = Field(None, description="Of a new account; one is made up if absent.")
    time_zone: Text = Field("UTC", description="Of a new account: an IANA name.")
    locale: Text = Field("en", description="Of a new account: en or es.")


class LinkExternalIdentity(Input):
    """Code and handle of a sign-in at the provider."""

    code: Text
    handle: Text


class ExternalIdentity(BaseModel):
    """An identity that signs in to your account."""

    identity_id: UUID
    provider: Provider
    email: str | None = Field(description="What the provider called your address back then.")
    linked_at_ms: int = Field(description="Epoch milliseconds.")
    used_at_ms: int = Field(description="When it last signed in. Epoch milliseconds.")


class ExternalIdentities(BaseModel):
    """All of your account, oldest first."""

    identities: list[ExternalIdentity]


@router.post(
    "/api/v1/oauth/completion",
    status_code=201,
    response_model=Session,
    responses={**SECOND_FACTOR, **problems(403, 404, 409)},
    dependencies=[Depends(session_door)],
)
@public
async def complete_external_sign_in(
    body: CompleteExternalSignIn, request: Request, services: ServicesDep
) -> Session | Response:
    """Sign in as whom the provider vouches for. At first this makes an account.

    If an account has the address already (`external-email-taken`), sign in to that as before and
    link with the same code and handle: nobody gets an account for having its address elsewhere.
    An account with a second factor asks for it, with status 200.
    """
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        proven = await storage.take_completion(
            connection, digest(body.code), digest(body.handle), at_ms
        )
        if proven is None:
            raise ExternalSignInInvalid
        await storage.lock_subject(connection, proven.provider, proven.subject)
        known = await storage.find(connection, proven.provider, proven.subject)
        if known is not None:
            await storage.used(connection, known.identity_id, at_ms)
            user_id = known.user_id
        else:
            user_id = services.new_id()
            chosen = (body.username, body.time_zone, body.locale)
            await welcome(connection, user_id, services.new_id(), proven, chosen, at_ms)
    method = Method(proven.provider.value)
    return sign_in_answer(await first_factor_passed(services, request, user_id, method))


@router.post(
    "/api/v1/users/me/external-identities",
    status_code=201,
    response_model=ExternalIdentity,
    responses=problems(401, 403, 409, replayed=True),
)
async def link_external_identity(
    body: LinkExternalIdentity, key: KeyHeader, subject: Linker, services: ServicesDep
) -> Response:
    """Link the identity of a provider with your account, having just proved both."""
    user_id, at_ms = subject.user_id, services.clock()
    made = attempt(command_key(user_id, LINK, key), services.settings.fingerprint_secret, body.code)

    async def change(connection: Connection) -> ExternalIdentity:
        return _view(await _link(services, connection, user_id, body, at_ms))

    return await once(services.pool, made, at_ms, 201, change)


@router.get("/api/v1/users/me/external-identities", responses=problems(401))
async def list_external_identities(subject: Member, services: ServicesDep) -> ExternalIdentities:
    """The identities that sign in to your account."""
    found = await storage.list_of(services.pool, subject.user_id)
    return ExternalIdentities(identities=[_view(identity) for identity in found])


@router.delete(
    "/api/v1/users/me/external-identities/{identity_id}",
    status_code=204,
    responses=problems(401, 403, 404, 409),
)
async def unlink_external_identity(
    identity_id: UUID, subject: Unlinker, services: ServicesDep
) -> None:
    """Unlink an identity, unless nothing else signs in to your account."""
    user_id, at_ms = subject.user_id, services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        found = await storage.list_of(connection, user_id)
        one = next((i for i in found if i.identity_id == str(identity_id)), None)
        if one is None:
            raise ExternalIdentityNotFound
        check_unlink(await storage.has_password(connection, user_id), len(found) - 1)
        await unlinked(connection, one, at_ms, by_provider=False)


async def _link(
    services: Services,
    connection: Connection,
    user_id: str,
    body: LinkExternalIdentity,
    at_ms: int,
) -> storage.ExternalIdentity:
    await users_events.lock(connection, user_id)
    proven = await storage.take_completion(
        connection, digest(body.code), digest(body.handle), at_ms
    )
    if proven is None:
        raise ExternalSignInInvalid
    await storage.lock_subject(connection, proven.provider, proven.subject)
    known = await storage.find(connection, proven.provider, proven.subject)
    if known is not None:
        if known.user_id != user_id:
            raise ExternalIdentityTaken
        return known
    check_link(len(await storage.list_of(connection, user_id)))
    return await linked(connection, user_id, services.new_id(), proven, at_ms)


def _view(found: storage.ExternalIdentity) -> ExternalIdentity:
    return ExternalIdentity(
        identity_id=UUID(found.identity_id),
        provider=found.provider,
        email=found.email,
        linked_at_ms=found.linked_at_ms,
        used_at_ms=found.used_at_ms,
    )
