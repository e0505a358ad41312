"""A user's passkeys: register, list, rename, remove."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.auth import Member
from api.factor_notices import tell
from api.inputs import Input
from api.openapi import problems
from api.passkey_proofs import (
    Base64Url,
    PasskeyOptions,
    ShortBase64Url,
    WebAuthn,
    keep_challenge,
    take_challenge,
)
from api.services import ServicesDep
from api.step_up import step_up_for
from api.users_factors import RecoveryCodes, first_recovery_codes, forget_codes_of_no_factor
from domain import users_factors as domain
from domain.users_factors import Sensitive
from integrations import passkeys
from integrations.tokens import Claims
from messages.users import UserNotFound
from messages.users_factors import (
    PasskeyAdded,
    PasskeyNotFound,
    PasskeyRemoved,
    TooManyPasskeys,
)
from storage import users as users_storage
from storage import users_events
from storage import users_passkeys as storage

router = APIRouter(prefix="/api/v1/users/me/passkeys", tags=["users"])

Adder = Annotated[Claims, Depends(step_up_for(Sensitive.ADD_FACTOR))]
Remover = Annotated[Claims, Depends(step_up_for(Sensitive.REMOVE_FACTOR))]
Name = Annotated[str, Field(max_length=256, description="1 to 64 visible characters.")]


class AttestationAnswer(WebAuthn):
    """What the authenticator made."""

    client_data_json: Base64Url = Field(alias="clientDataJSON")
    attestation_object: Base64Url
    transports: list[Annotated[str, Field(max_length=64)]] = Field([], max_length=16)


class PasskeyAttestation(WebAuthn):
    """`PublicKeyCredential.toJSON()` after `navigator.credentials.create()`."""

    id: ShortBase64Url
    raw_id: ShortBase64Url
    type: Literal["public-key"]
    response: AttestationAnswer


class NewPasskey(Input):
    """What answers the challenge."""

    challenge_id: UUID
    name: Name
    credential: PasskeyAttestation


class RenamedPasskey(Input):
    """Another name."""

    name: Name


class Passkey(BaseModel):
    """A passkey of the user."""

    passkey_id: UUID
    name: str
    aaguid: UUID = Field(description="Which kind of authenticator made it; zeros if it hides that.")
    synced: bool = Field(description="Whether it may be on more than one device.")
    suspected: bool = Field(description="Its counter went back: it opens nothing. Remove it.")
    added_at_ms: int = Field(description="Epoch milliseconds.")
    used_at_ms: int | None


class PasskeyMade(RecoveryCodes):
    """The new passkey; with the first factor come recovery codes."""

    passkey: Passkey


class Passkeys(BaseModel):
    """All of them, oldest first."""

    items: list[Passkey]


@router.post("/options", responses=problems(401, 403, 404, 409))
async def passkey_options(subject: Adder, services: ServicesDep) -> PasskeyOptions:
    """A challenge for a new passkey, which signs in alone or completes a sign-in."""
    user = await users_storage.get_user(services.pool, subject.user_id)
    if user is None:
        raise UserNotFound
    known = await storage.list_passkeys(services.pool, subject.user_id)
    _check_room(len(known))
    challenge = passkeys.new_challenge()
    options = services.relying_party.registration_options(
        UUID(subject.user_id).bytes,
        user.username,
        challenge,
        [each.credential_id for each in known],
        domain.POLICY.challenge_ms,
    )
    return await keep_challenge(services, "register", subject.user_id, challenge, options)


@router.post("", status_code=201, responses=problems(401, 403, 404, 409))
async def add_passkey(body: NewPasskey, subject: Adder, services: ServicesDep) -> PasskeyMade:
    """Register the passkey that answers the challenge. From now on signing in asks for a factor."""
    name, at_ms, user_id = domain.factor_name(body.name), services.clock(), subject.user_id
    challenge = await take_challenge(services, body.challenge_id, "register", user_id)
    answer = body.credential.model_dump(by_alias=True)
    made = services.relying_party.check_registration(answer, challenge)
    passkey = storage.Passkey(
        passkey_id=services.new_id(),
        user_id=user_id,
        credential_id=made.credential_id,
        public_key=made.public_key,
        sign_count=made.sign_count,
        name=name,
        aaguid=made.aaguid,
        transports=made.transports,
        synced=made.synced,
        added_at_ms=at_ms,
    )
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if await users_storage.get_user(connection, user_id) is None:
            raise UserNotFound
        _check_room(len(await storage.list_passkeys(connection, user_id)))
        await storage.add_passkey(connection, passkey)
        fact = PasskeyAdded(user_id, passkey.passkey_id, at_ms)
        await tell(connection, user_id, fact, at_ms, passkey=name)
        codes = await first_recovery_codes(services, connection, user_id, at_ms)
    return PasskeyMade(passkey=_view(passkey), recovery_codes=codes.recovery_codes)


@router.get("", responses=problems(401, 403))
async def list_passkeys(subject: Member, services: ServicesDep) -> Passkeys:
    """The user's passkeys."""
    found = await storage.list_passkeys(services.pool, subject.user_id)
    return Passkeys(items=[_view(each) for each in found])


@router.patch("/{passkey_id}", status_code=204, responses=problems(401, 403, 404))
async def rename_passkey(
    passkey_id: UUID, body: RenamedPasskey, subject: Member, services: ServicesDep
) -> None:
    """Call a passkey otherwise."""
    name = domain.factor_name(body.name)
    if not await storage.rename_passkey(services.pool, subject.user_id, str(passkey_id), name):
        raise PasskeyNotFound


@router.delete("/{passkey_id}", status_code=204, responses=problems(401, 403, 404))
async def remove_passkey(passkey_id: UUID, subject: Remover, services: ServicesDep) -> None:
    """The passkey opens the account no longer. With the last factor go the recovery codes."""
    at_ms, user_id = services.clock(), subject.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        name = await storage.remove_passkey(connection, user_id, str(passkey_id))
        if name is None:
            raise PasskeyNotFound
        fact = PasskeyRemoved(user_id, str(passkey_id), at_ms)
        await tell(connection, user_id, fact, at_ms, passkey=name)
        await forget_codes_of_no_factor(connection, user_id, at_ms)


def _check_room(count: int) -> None:
    limit = domain.POLICY.max_passkeys
    if count >= limit:
        raise TooManyPasskeys(limit=limit)


def _view(found: storage.Passkey) -> Passkey:
    return Passkey(
        passkey_id=UUID(found.passkey_id),
        name=found.name,
        aaguid=UUID(found.aaguid),
        synced=found.synced,
        suspected=found.suspected_at_ms is not None,
        added_at_ms=found.added_at_ms,
        used_at_ms=found.used_at_ms,
    )
