"""A user's identity: the commitment that claims of rewards are proved against."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Member
from api.openapi import problems
from api.services import ServicesDep
from domain.field import MAX_DIGITS
from domain.users_identity import check_commitment
from messages.users import IdentityNotFound, IdentityRegistered, UserNotFound
from storage import users as users_storage
from storage import users_events
from storage import users_identity as storage

router = APIRouter(prefix="/api/v1/users/me", tags=["users"])

Commitment = Annotated[
    str,
    Field(
        max_length=MAX_DIGITS,
        description="Poseidon(secret) as a decimal number above 0 and below the order of the BN254 "
        "scalar field. The secret stays with the user.",
    ),
]


class RegisterIdentity(BaseModel):
    """An identity to claim rewards with."""

    model_config = ConfigDict(extra="forbid")

    commitment: Commitment


class Identity(BaseModel):
    """The identity that the user's sessions start with."""

    commitment: str
    number: int = Field(description="1 for the first, 2 for the one that replaced it, …")
    registered_at_ms: int = Field(description="Epoch milliseconds.")


@router.put("/identity", responses=problems(401, 404))
async def put_identity(body: RegisterIdentity, subject: Member, services: ServicesDep) -> Identity:
    """Register a commitment, or replace it. The same again changes nothing.

    It holds for sessions that start later. What was listened to before is claimed with the secret
    of the commitment that it started with, so keep the old secret until that is done.
    """
    commitment = check_commitment(body.commitment)
    at_ms = services.clock()
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, subject.user_id)
        if await users_storage.get_user(connection, subject.user_id) is None:
            raise UserNotFound
        number = await storage.set_identity(connection, subject.user_id, commitment, at_ms)
        if number is not None:
            fact = IdentityRegistered(subject.user_id, number, at_ms)
            await users_events.tell(connection, subject.user_id, [fact], at_ms)
        found = await storage.get_identity(connection, subject.user_id)
    assert found is not None, "just written"
    return _view(found)


@router.get("/identity", responses=problems(401, 404))
async def get_identity(subject: Member, services: ServicesDep) -> Identity:
    """The identity that the user's sessions start with."""
    found = await storage.get_identity(services.pool, subject.user_id)
    if found is None:
        raise IdentityNotFound
    return _view(found)


def _view(found: storage.Identity) -> Identity:
    fields: dict[str, Any] = msgspec.structs.asdict(found)
    return Identity(**fields)
