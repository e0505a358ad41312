"""Complete a sign-in with a second factor, or sign in with a passkey alone."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from api import pending_sign_ins
from api.auth import public
from api.inputs import Input
from api.openapi import problems
from api.passkey_proofs import (
    PasskeyAssertion,
    PasskeyOptions,
    allowed_credentials,
    check_passkey,
    new_challenge,
    take_challenge,
)
from api.proofs import Code, RecoveryCode, check_code, check_recovery_code
from api.services import Services, ServicesDep
from api.session_cookies import session_door
from api.signing_in import Session, start_session
from integrations.opaque_tokens import digest
from messages.users_sessions import Method

router = APIRouter(prefix="/api/v1/sessions", tags=["sessions"])

Pending = Annotated[str, Field(max_length=128, description="From the answer to the first factor.")]


class PendingSignIn(Input):
    """A sign-in whose first factor was right."""

    pending: Pending


class CodeSecond(PendingSignIn):
    """A one-time password."""

    method: Literal["otp"]
    code: Code


class RecoveryCodeSecond(PendingSignIn):
    """A recovery code, which is used up."""

    method: Literal["recovery"]
    code: RecoveryCode


class PasskeySecond(PendingSignIn):
    """A passkey. First ask for `…/second-factor/options`."""

    method: Literal["hwk"]
    challenge_id: UUID
    credential: PasskeyAssertion


SecondFactor = Annotated[
    CodeSecond | RecoveryCodeSecond | PasskeySecond, Field(discriminator="method")
]


class PasskeySignIn(Input):
    """What answers a challenge of `…/passkey/options`."""

    challenge_id: UUID
    credential: PasskeyAssertion


@router.post(
    "/second-factor",
    status_code=201,
    responses=problems(401, 403, 404, 409, 429),
    dependencies=[Depends(session_door)],
)
@public
async def complete_sign_in(body: SecondFactor, request: Request, services: ServicesDep) -> Session:
    """Complete a sign-in. There are five attempts; codes are guessed seldom, whoever guesses."""
    found = await pending_sign_ins.attempt(services, request, body.pending)
    match body:
        case CodeSecond():
            await check_code(services, found.user_id, body.code)
        case RecoveryCodeSecond():
            await check_recovery_code(services, found.user_id, body.code)
        case PasskeySecond():
            await _check_passkey(services, found.user_id, body)
    await pending_sign_ins.complete(services, body.pending)
    methods = (Method(found.method), Method(body.method))
    return await start_session(services, request, found.user_id, methods)


@router.post("/second-factor/options", responses=problems(401))
@public
async def second_factor_options(
    body: PendingSignIn, request: Request, services: ServicesDep
) -> PasskeyOptions:
    """A challenge for one of the passkeys of whoever signs in."""
    found = await pending_sign_ins.find(services, request, body.pending)
    allowed = await allowed_credentials(services, found.user_id)
    holder = digest(body.pending).hex()
    return await new_challenge(services, "second-factor", holder, allowed=allowed, verified=False)


@router.post("/passkey/options")
@public
async def sign_in_options(request: Request, services: ServicesDep) -> PasskeyOptions:
    """A challenge for any passkey: whose it is, the authenticator says."""
    holder = pending_sign_ins.client_of(request).hex()
    return await new_challenge(services, "sign-in", holder, allowed=[], verified=True)


@router.post(
    "/passkey",
    status_code=201,
    responses=problems(401, 403, 404, 409),
    dependencies=[Depends(session_door)],
)
@public
async def sign_in_with_passkey(
    body: PasskeySignIn, request: Request, services: ServicesDep
) -> Session:
    """Sign in with a passkey alone. It verified its user, so it is two factors in one."""
    holder = pending_sign_ins.client_of(request).hex()
    challenge = await take_challenge(services, body.challenge_id, "sign-in", holder)
    user_id = await check_passkey(services, None, body.credential, challenge, verified=True)
    return await start_session(services, request, user_id, (Method.PASSKEY,))


async def _check_passkey(services: Services, user_id: str, body: PasskeySecond) -> None:
    holder = digest(body.pending).hex()
    challenge = await take_challenge(services, body.challenge_id, "second-factor", holder)
    await check_passkey(services, user_id, body.credential, challenge, verified=False)
