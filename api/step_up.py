"""Step-up: sensitive actions want the user to have proved lately who they are.

A route that needs it depends on `recently_authenticated`, or on `step_up_for` the action; whoever
is refused shows a factor at `POST /api/v1/sessions/current/step-up` and asks again with its token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from api.auth import PERMISSION, Member, require
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
from api.proofs import Code, Password, check_code, check_password
from api.services import Services, ServicesDep
from api.signing_in import Session, renew_session
from domain import users_factors as domain
from domain.access import Permission
from integrations.tokens import Claims
from messages.users_factors import MethodNotEnough, StepUpRequired
from messages.users_sessions import Method
from storage import users_factors as storage

router = APIRouter(prefix="/api/v1/sessions/current", tags=["sessions"])

SENSITIVE = "sensitive"


def step_up_for(action: domain.Sensitive) -> Callable[..., Awaitable[Claims]]:
    """A dependency: the subject, if lately enough authenticated for `action`.

    With a second factor, if the account has one. Raises StepUpRequired, and what `require` does.
    """
    permitted, age_ms = require(Permission.ACCOUNT), domain.RECENT_MS[action]

    async def recent(request: Request) -> Claims:
        subject = await permitted(request)
        await check_recent(request.app.state.services, subject, age_ms)
        return subject

    recent.__dict__.update({PERMISSION: Permission.ACCOUNT, SENSITIVE: action})
    return recent


recently_authenticated = step_up_for(domain.Sensitive.OTHER)


async def check_recent(services: Services, subject: Claims, age_ms: int) -> None:
    """Raise StepUpRequired if the subject's authentication is older than `age_ms`, or too weak."""
    factors = await storage.get_factors(services.pool, subject.user_id)
    at_ms, now_ms = subject.authenticated_at_ms, services.clock()
    if not domain.is_recent(at_ms, subject.methods, factors, now_ms, age_ms):
        raise StepUpRequired(methods=" ".join(domain.step_up_methods(factors)))


class PasswordStepUp(Input):
    """For accounts without a second factor."""

    method: Literal["pwd"]
    password: Password


class CodeStepUp(Input):
    """A one-time password."""

    method: Literal["otp"]
    code: Code


class PasskeyStepUp(Input):
    """A passkey that verified its user. First ask for `…/step-up/options`."""

    method: Literal["hwk"]
    challenge_id: UUID
    credential: PasskeyAssertion


StepUp = Annotated[PasswordStepUp | CodeStepUp | PasskeyStepUp, Field(discriminator="method")]


@router.post("/step-up", responses=problems(401, 403, 409, 429))
async def step_up(body: StepUp, subject: Member, services: ServicesDep) -> Session:
    """Prove again who you are. The same session, with an access token that says when.

    An account with a second factor asks for that one; `params.methods` of the problem
    `step-up-required` says which are taken.
    """
    method = Method(body.method)
    factors = await storage.get_factors(services.pool, subject.user_id)
    if method not in domain.step_up_methods(factors):
        raise MethodNotEnough(methods=" ".join(domain.step_up_methods(factors)))
    match body:
        case PasswordStepUp():
            await check_password(services, subject.user_id, body.password)
        case CodeStepUp():
            await check_code(services, subject.user_id, body.code)
        case PasskeyStepUp():
            await _check_passkey(services, subject, body)
    return await renew_session(services, subject, (method,))


@router.post("/step-up/options", responses=problems(401, 403))
async def step_up_options(subject: Member, services: ServicesDep) -> PasskeyOptions:
    """A challenge for one of the account's passkeys."""
    allowed = await allowed_credentials(services, subject.user_id)
    return await new_challenge(
        services, "step-up", subject.session_id, allowed=allowed, verified=True
    )


async def _check_passkey(services: Services, subject: Claims, body: PasskeyStepUp) -> None:
    challenge = await take_challenge(services, body.challenge_id, "step-up", subject.session_id)
    await check_passkey(services, subject.user_id, body.credential, challenge, verified=True)
