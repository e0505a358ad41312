"""Sign in, see oneself; the keys that verify access tokens."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from api.auth import Member, public
from api.inputs import Input
from api.openapi import problems
from api.services import Services, ServicesDep
from api.session_cookies import session_door
from api.signing_in import (
    SECOND_FACTOR,
    Method,
    Session,
    first_factor_passed,
    sign_in_answer,
)
from api.throttle import attempt as attempt_at
from domain import users as domain
from messages.errors import Overloaded
from messages.listening import Tier
from messages.users import (
    Role,
    UserNotFound,
    WrongCredentials,
)
from storage import users as storage

router = APIRouter(tags=["users"])

MAX_TEXT = 1_024  # of a field, before its rule is asked


Text = Annotated[str, Field(max_length=MAX_TEXT)]


class User(BaseModel):
    """A user, as only they see it."""

    user_id: UUID
    username: str
    email: str | None
    email_verified: bool = Field(description="Whether you have shown to read this mailbox.")
    role: Role
    tier: Tier
    points: int
    time_zone: str
    locale: str
    created_at_ms: int = Field(description="Epoch milliseconds.")


class SignIn(Input):
    """Who signs in."""

    username: Text = Field(description="The username or the e-mail address.")
    password: Text


class JsonWebKey(BaseModel):
    """A public Ed25519 key (RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str
    alg: str
    use: str


class JsonWebKeySet(BaseModel):
    """The keys whose signatures on access tokens are good (RFC 7517)."""

    keys: list[JsonWebKey]


@router.post(
    "/api/v1/sessions",
    status_code=201,
    response_model=Session,
    responses={**SECOND_FACTOR, **problems(401, 403)},
    dependencies=[Depends(session_door)],
)
@public
async def create_session(
    body: SignIn, request: Request, services: ServicesDep
) -> Session | Response:
    """Sign in. An unknown name and a wrong password are answered alike, after the same time.

    An account with a second factor asks for it, with status 200: go on at
    `POST /api/v1/sessions/second-factor`.
    """
    found = await storage.find_credentials(services.pool, _safe(body.username))
    password = domain.normal_password(body.password)
    stored = found.password_hash if found else None

    async def is_right() -> bool:
        return await services.passwords.verify(stored, password) and found is not None

    user_id = found.user_id if found else None
    if not await attempt_at(services, request, body.username, is_right, user_id) or found is None:
        raise WrongCredentials
    await _renew_hash(services, found, password)
    passed = await first_factor_passed(services, request, found.user_id, Method.PASSWORD)
    return sign_in_answer(passed)


@router.get("/api/v1/users/me", responses=problems(401, 404))
async def get_me(subject: Member, services: ServicesDep) -> User:
    """The signed-in user."""
    user = await storage.get_user(services.pool, subject.user_id)
    if user is None:
        raise UserNotFound
    return view(user)


@router.get("/.well-known/jwks.json")
@public
async def get_jwks(services: ServicesDep, response: Response) -> JsonWebKeySet:
    """The public keys of access tokens."""
    response.headers["cache-control"] = "public, max-age=300"
    return JsonWebKeySet.model_validate(services.tokens.jwks(services.clock()))


async def _renew_hash(services: Services, found: storage.Credentials, password: str) -> None:
    """A right password is the one chance to store it under today's parameters."""
    if services.passwords.is_outdated(found.password_hash):
        with contextlib.suppress(Overloaded):  # then at the next sign-in
            renewed = await services.passwords.hash(password)
            await storage.replace_hash(services.pool, found.user_id, found.password_hash, renewed)


def _safe(name: str) -> str:
    """PostgreSQL takes no NUL in text; no name has one."""
    return name.replace("\x00", " ")


def view(user: storage.User) -> User:
    """A user as the API shows it to them."""
    fields: dict[str, Any] = msgspec.structs.asdict(user)
    return User(**fields, tier=domain.tier_of(user.points))
