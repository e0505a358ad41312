"""Challenges for passkeys, and the check of what answers them."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.factor_notices import tell
from api.services import Services
from domain import users_factors as domain
from integrations import passkeys
from messages.keys import derive_key
from messages.users_factors import ChallengeNotFound, PasskeyRefused, PasskeySuspected
from storage import users_events
from storage import users_passkeys as storage

Base64Url = Annotated[str, Field(max_length=64 * 1_024, description="Base64url, no padding.")]
ShortBase64Url = Annotated[str, Field(max_length=2_048, description="Base64url, no padding.")]


class WebAuthn(BaseModel):
    """Members as WebAuthn spells them; browsers may send more than we read."""

    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, populate_by_name=True)


class AssertionAnswer(WebAuthn):
    """What the authenticator signed."""

    client_data_json: Base64Url = Field(alias="clientDataJSON")
    authenticator_data: Base64Url
    signature: Base64Url
    user_handle: ShortBase64Url | None = None


class PasskeyAssertion(WebAuthn):
    """`PublicKeyCredential.toJSON()` after `navigator.credentials.get()`."""

    id: ShortBase64Url
    raw_id: ShortBase64Url
    type: Literal["public-key"]
    response: AssertionAnswer


class PasskeyOptions(BaseModel):
    """A challenge for an authenticator. It can be answered once, for five minutes."""

    challenge_id: uuid.UUID
    options: dict[str, Any] = Field(
        description="JSON for `PublicKeyCredential.parseCreationOptionsFromJSON()` when a passkey "
        "is registered, for `…parseRequestOptionsFromJSON()` otherwise."
    )
    expires_at_ms: int = Field(description="Epoch milliseconds.")


Purpose = Literal["register", "sign-in", "second-factor", "step-up"]


async def allowed_credentials(services: Services, user_id: str) -> list[bytes]:
    """The credentials of the passkeys that open the account."""
    found = await storage.list_passkeys(services.pool, user_id)
    return [each.credential_id for each in found if each.suspected_at_ms is None]


async def new_challenge(
    services: Services, purpose: Purpose, holder: str, *, allowed: list[bytes], verified: bool
) -> PasskeyOptions:
    """A challenge for passkeys, to be answered by `holder` (a session, a pending sign-in, …)."""
    challenge = passkeys.new_challenge()
    wait_ms = domain.POLICY.challenge_ms
    options = services.relying_party.sign_in_options(challenge, allowed, wait_ms, verified=verified)
    return await keep_challenge(services, purpose, holder, challenge, options)


async def keep_challenge(
    services: Services, purpose: Purpose, holder: str, challenge: bytes, options: dict[str, Any]
) -> PasskeyOptions:
    """Remember what was asked, of whom and for what."""
    challenge_id, now_ms = services.new_id(), services.clock()
    expires_at_ms = now_ms + domain.POLICY.challenge_ms
    await storage.ask(
        services.pool,
        challenge_id,
        challenge,
        purpose,
        derive_key("challenge", purpose, holder),
        now_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )
    return PasskeyOptions(
        challenge_id=uuid.UUID(challenge_id), options=options, expires_at_ms=expires_at_ms
    )


async def take_challenge(
    services: Services, challenge_id: uuid.UUID, purpose: Purpose, holder: str
) -> bytes:
    """The challenge, whose only answer this is. Raises ChallengeNotFound."""
    bound_to = derive_key("challenge", purpose, holder)
    now_ms = services.clock()
    found = await storage.take(services.pool, str(challenge_id), purpose, bound_to, now_ms)
    if found is None:
        raise ChallengeNotFound
    return found


async def check_passkey(
    services: Services,
    user_id: str | None,
    answer: PasskeyAssertion,
    challenge: bytes,
    *,
    verified: bool,
) -> str:
    """The id of the user whose passkey answered `challenge`: `user_id`, if that is known.

    Raises PasskeyRefused: for all that may be wrong, alike.
    """
    credential = answer.model_dump(by_alias=True, exclude_none=True)
    found = await storage.find_passkey(services.pool, passkeys.credential_id_of(credential))
    if found is None or found.user_id != (user_id or found.user_id):
        raise PasskeyRefused
    handle = passkeys.user_handle_of(credential)
    named = handle == uuid.UUID(found.user_id).bytes
    if not named and (handle is not None or user_id is None):
        raise PasskeyRefused
    shown = services.relying_party.check_assertion(
        credential, challenge, found.public_key, verified=verified
    )
    if not await _count(services, found, shown.sign_count):
        raise PasskeyRefused
    return found.user_id


async def _count(services: Services, found: storage.Passkey, shown: int) -> bool:
    """Note the counter of a good signature; False if the passkey is, or becomes, suspected."""
    at_ms, user_id = services.clock(), found.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        present = await storage.find_passkey(connection, found.credential_id)
        if present is None or present.suspected_at_ms is not None:
            return False
        if domain.counter_is_sound(present.sign_count, shown):
            await storage.passkey_used(connection, user_id, found.passkey_id, shown, at_ms)
            return True
        await storage.suspect_passkey(connection, user_id, found.passkey_id, at_ms)
        await tell(
            connection,
            user_id,
            PasskeySuspected(user_id, found.passkey_id, at_ms),
            at_ms,
            passkey=found.name,
        )
        return False
