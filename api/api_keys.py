"""API keys: a person's own, and those of services, which an admin makes."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from api.auth import Admin, Member
from api.idempotency import KeyHeader, attempt, command_key, once
from api.inputs import MAX_INTEGER, Input
from api.openapi import problems
from api.services import Services, ServicesDep
from api.step_up import check_recent, step_up_for
from domain import users_api_keys as domain
from domain.users import check_username
from domain.users_factors import RECENT_MS, Sensitive
from integrations import api_keys
from integrations.tokens import Claims
from messages.keys import derive_id
from messages.users import Role, UserNotFound
from messages.users_api_keys import ApiKeyNotFound, ServiceNotFound
from storage import audit, users_services
from storage import users as users_storage
from storage import users_api_keys as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1", tags=["users"])

CREATE = "POST /api/v1/users/me/api-keys"
CREATE_SERVICE = "POST /api/v1/services"
CREATE_FOR_SERVICE = "POST /api/v1/services/{service_id}/api-keys"
MAX_LISTED = 200

Text = Annotated[str, Field(max_length=1_024)]


class CreateApiKey(Input):
    """A key for a program."""

    name: Text = Field(description="What it is for, at most 64 characters.")
    scopes: list[Text] = Field(
        description="Permissions; never more than the account's own.",
        max_length=64,
        examples=[["market:read-own"]],
    )
    expires_at_ms: int = Field(
        ge=0, le=MAX_INTEGER, description="Epoch milliseconds; in an hour to a year."
    )


class CreateService(Input):
    """A program that acts on the platform."""

    name: Text = Field(description="As a username: 3 to 30 of A-Z a-z 0-9 _ -.")


class ApiKey(BaseModel):
    """A key, without its secret."""

    key_id: UUID
    name: str
    scopes: list[str]
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None = Field(description="Its last use, within a minute.")
    revoked_at_ms: int | None


class CreatedApiKey(ApiKey):
    """A new key. `token` is shown in this answer only."""

    token: str = Field(description="Send it as `Authorization: Bearer vsk_…`.")


class ApiKeys(BaseModel):
    """Keys, newest first."""

    items: list[ApiKey]


class Service(BaseModel):
    """A program that acts on the platform."""

    service_id: UUID
    name: str
    status: str
    created_at_ms: int


class ServiceList(BaseModel):
    """Services, newest first."""

    items: list[Service]


@router.post(
    "/users/me/api-keys",
    status_code=201,
    response_model=CreatedApiKey,
    responses=problems(409, replayed=True),
)
async def create_api_key(
    body: CreateApiKey,
    key: KeyHeader,
    subject: Annotated[Claims, Depends(step_up_for(Sensitive.MAKE_API_KEY))],
    services: ServicesDep,
) -> Response:
    """Make a key for a program of one's own. It can do what its scopes say and no more."""
    command = command_key(subject.user_id, CREATE, key)
    return await _create(services, subject, subject.user_id, body, command)


@router.get("/users/me/api-keys")
async def list_api_keys(subject: Member, services: ServicesDep) -> ApiKeys:
    """One's own keys, the revoked ones too."""
    found = await storage.of_user(services.pool, subject.user_id, MAX_LISTED)
    return ApiKeys(items=[_view(key) for key in found])


@router.delete("/users/me/api-keys/{key_id}", responses=problems(404))
async def revoke_api_key(key_id: UUID, subject: Member, services: ServicesDep) -> ApiKey:
    """Take a key out of use for good, within a second."""
    return await _revoke(services, subject, subject.user_id, key_id)


@router.post(
    "/services", status_code=201, response_model=Service, responses=problems(409, replayed=True)
)
async def create_service(
    body: CreateService, key: KeyHeader, subject: Admin, services: ServicesDep
) -> Response:
    """Add a service. It signs in with keys alone."""
    name = check_username(body.name)
    command = command_key(subject.user_id, CREATE_SERVICE, key)
    made = attempt(command, services.settings.fingerprint_secret, name)
    service_id, at_ms = derive_id("service", command), services.clock()

    async def change(connection: Connection) -> Service:
        await users_services.add(connection, service_id, name, at_ms)
        await audit.record(
            connection,
            "service.created",
            actor=subject.user_id,
            subject=f"user:{service_id}",
            at_ms=at_ms,
            detail={"name": name},
        )
        return await _service(connection, service_id)

    return await once(services.pool, made, at_ms, 201, change)


@router.get("/services")
async def list_services(subject: Admin, services: ServicesDep) -> ServiceList:
    """All services."""
    found = await users_services.newest(services.pool, MAX_LISTED)
    return ServiceList(items=[Service(**msgspec.structs.asdict(one)) for one in found])


@router.delete("/services/{service_id}", responses=problems(404))
async def stop_service(service_id: UUID, subject: Admin, services: ServicesDep) -> Service:
    """Take a service and all its keys out of use for good."""
    at_ms, name = services.clock(), str(service_id)
    async with services.pool.acquire() as connection, connection.transaction():
        if not await users_services.stop(connection, name):
            raise ServiceNotFound
        await storage.revoke_all(connection, name, at_ms)
        await audit.record(
            connection,
            "service.stopped",
            actor=subject.user_id,
            subject=f"user:{name}",
            at_ms=at_ms,
        )
        return await _service(connection, name)


@router.post(
    "/services/{service_id}/api-keys",
    status_code=201,
    response_model=CreatedApiKey,
    responses=problems(404, 409, replayed=True),
)
async def create_service_key(
    service_id: UUID, body: CreateApiKey, key: KeyHeader, subject: Admin, services: ServicesDep
) -> Response:
    """Make a key for a service."""
    await check_recent(services, subject, RECENT_MS[Sensitive.MAKE_API_KEY])
    await _service(services.pool, str(service_id))
    command = command_key(subject.user_id, CREATE_FOR_SERVICE.format(service_id=service_id), key)
    return await _create(services, subject, str(service_id), body, command)


@router.get("/services/{service_id}/api-keys", responses=problems(404))
async def list_service_keys(service_id: UUID, subject: Admin, services: ServicesDep) -> ApiKeys:
    """The keys of a service, the revoked ones too."""
    await _service(services.pool, str(service_id))
    found = await storage.of_user(services.pool, str(service_id), MAX_LISTED)
    return ApiKeys(items=[_view(key) for key in found])


@router.delete("/services/{service_id}/api-keys/{key_id}", responses=problems(404))
async def revoke_service_key(
    service_id: UUID, key_id: UUID, subject: Admin, services: ServicesDep
) -> ApiKey:
    """Take a key of a service out of use for good, within a second."""
    await _service(services.pool, str(service_id))
    return await _revoke(services, subject, str(service_id), key_id)


async def _create(
    services: Services, subject: Claims, owner_id: str, body: CreateApiKey, command: bytes
) -> Response:
    """Make a key of `owner_id`'s and answer with its token, the same at each repetition."""
    at_ms = services.clock()
    key_id = derive_id("api-key", command)
    token, digest = api_keys.make(services.settings.fingerprint_secret, key_id)
    content = (body.name, *body.scopes, str(body.expires_at_ms))
    made = attempt(command, services.settings.fingerprint_secret, *content)

    async def change(connection: Connection) -> ApiKey:
        role = await users_storage.lock_role(connection, owner_id)
        if role is None:
            raise UserNotFound
        key = await _add(connection, owner_id, role, body, (key_id, digest), at_ms)
        await audit.record(
            connection,
            "api-key.created",
            actor=subject.user_id,
            subject=f"user:{owner_id}",
            at_ms=at_ms,
            detail={"key_id": key_id, "scopes": " ".join(key.scopes)},
        )
        return _view(key)

    answer = await once(services.pool, made, at_ms, 201, change)
    shown = CreatedApiKey(
        **ApiKey.model_validate_json(bytes(answer.body)).model_dump(), token=token
    )
    body_with_token = shown.model_dump_json().encode()
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "content-length"}
    return Response(body_with_token, answer.status_code, headers)


async def _add(
    connection: Connection,
    owner_id: str,
    role: Role,
    body: CreateApiKey,
    made: tuple[str, bytes],
    at_ms: int,
) -> storage.ApiKey:
    checked = domain.new_key(body.name, body.scopes, body.expires_at_ms, role, at_ms)
    domain.check_count(await storage.count(connection, owner_id, at_ms))
    key_id, digest = made
    scopes = [scope.value for scope in checked.scopes]
    key = storage.ApiKey(key_id, checked.name, scopes, at_ms, checked.expires_at_ms, None, None)
    await storage.add(connection, owner_id, key, digest)
    return key


async def _revoke(services: Services, subject: Claims, owner_id: str, key_id: UUID) -> ApiKey:
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        if not await storage.revoke(connection, str(key_id), owner_id, at_ms):
            raise ApiKeyNotFound
        await audit.record(
            connection,
            "api-key.revoked",
            actor=subject.user_id,
            subject=f"user:{owner_id}",
            at_ms=at_ms,
            detail={"key_id": str(key_id)},
        )
        found = await storage.get(connection, str(key_id), owner_id)
    assert found is not None, "just revoked"
    return _view(found)


async def _service(connection: Any, service_id: str) -> Service:
    found = await users_services.get(connection, service_id)
    if found is None:
        raise ServiceNotFound
    return Service(**msgspec.structs.asdict(found))


def _view(key: storage.ApiKey) -> ApiKey:
    return ApiKey(**msgspec.structs.asdict(key))
