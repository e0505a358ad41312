"""Register, sign in, see oneself; the keys that verify access tokens."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from api.auth import Member, public
from api.idempotency import ANONYMOUS, KeyHeader, attempt, command_key, once, replay
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
from messages.envelope import Event, event_of_fact
from messages.errors import Overloaded
from messages.keys import derive_id
from messages.listening import Tier
from messages.users import (
    STREAM,
    Role,
    UserNotFound,
    UserRegistered,
    WrongCredentials,
    user_channel,
)
from storage import outbox
from storage import users as storage
from storage.database import Connection

router = APIRouter(tags=["users"])

REGISTER = "POST /api/v1/users"
MAX_TEXT = 1_024  # of a field, before its rule is asked


Text = Annotated[str, Field(max_length=MAX_TEXT)]


class RegisterUser(Input):
    """A new user."""

    username: Text = Field(description="3 to 30 of A-Z a-z 0-9 _ -, no - at either end.")
    email: Text = Field(description="At most 254 characters; unique in any case.")
    password: Text = Field(description="12 to 128 characters that are not easily guessed.")
    time_zone: Text = Field("UTC", description="IANA name; its midnight ends a streak's day.")
    locale: Text = Field("en", description="Language for mail and messages: en or es.")


class User(BaseModel):
    """A user, as only they see it."""

    user_id: UUID
    username: str
    email: str
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
    "/api/v1/users", status_code=201, response_model=User, responses=problems(409, replayed=True)
)
@public
async def register_user(body: RegisterUser, key: KeyHeader, services: ServicesDep) -> Response:
    """Register. Sent again with the same key and body it answers the same and registers nobody."""
    registration = domain.register(
        body.username, body.email, body.password, body.time_zone, body.locale
    )
    made = attempt(
        command_key(ANONYMOUS, REGISTER, key),
        services.settings.fingerprint_secret,
        *msgspec.structs.astuple(registration),
    )
    if (answered := await replay(services.pool, made)) is not None:
        return answered
    password_hash = await services.passwords.hash(registration.password)
    user_id, at_ms = services.new_id(), services.clock()

    async def change(connection: Connection) -> User:
        await storage.add_user(connection, user_id, registration, password_hash, at_ms)
        await outbox.append(connection, [_registered(user_id, registration, at_ms)])
        user = await storage.get_user(connection, user_id)
        assert user is not None, "just written"
        return _view(user)

    return await once(services.pool, made, at_ms, 201, change)


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
    return _view(user)


@router.get("/.well-known/jwks.json")
@public
async def get_jwks(services: ServicesDep, response: Response) -> JsonWebKeySet:
    """The public keys of access tokens."""
    response.headers["cache-control"] = "public, max-age=300"
    return JsonWebKeySet.model_validate(services.tokens.jwks())


async def _renew_hash(services: Services, found: storage.Credentials, password: str) -> None:
    """A right password is the one chance to store it under today's parameters."""
    if services.passwords.is_outdated(found.password_hash):
        with contextlib.suppress(Overloaded):  # then at the next sign-in
            renewed = await services.passwords.hash(password)
            await storage.replace_hash(services.pool, found.user_id, found.password_hash, renewed)


def _safe(name: str) -> str:
    """PostgreSQL takes no NUL in text; no name has one."""
    return name.replace("\x00", " ")


def _registered(user_id: str, registration: domain.Registration, at_ms: int) -> Event:
    r = registration
    fact = UserRegistered(user_id, r.username, r.locale, r.time_zone, at_ms)
    return event_of_fact(
        fact,
        event_id=derive_id("user-registered", user_id),
        stream=STREAM,
        entity_id=user_id,
        sequence=1,
        at_ms=at_ms,
        channels=(user_channel(user_id),),
    )


def _view(user: storage.User) -> User:
    fields: dict[str, Any] = msgspec.structs.asdict(user)
    return User(**fields, tier=domain.tier_of(user.points))
