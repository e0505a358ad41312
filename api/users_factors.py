"""A user's second factors: one-time passwords and recovery codes. Passkeys: `users_passkeys`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.auth import Member
from api.factor_notices import tell
from api.inputs import Input
from api.openapi import problems
from api.proofs import RECOVERY_PLACE, TOTP_PLACE, Code, find_step
from api.services import Services, ServicesDep
from api.step_up import step_up_for
from domain import users_factors as domain
from domain.users_factors import Sensitive
from integrations import one_time_passwords
from integrations.tokens import Claims
from messages.users import UserNotFound
from messages.users_factors import (
    EnrolmentNotFound,
    NoSecondFactor,
    RecoveryCodesMade,
    TotpAdded,
    TotpExists,
    TotpNotFound,
    TotpRemoved,
    WrongSecondFactor,
)
from storage import users as users_storage
from storage import users_events
from storage import users_factors as storage
from storage.database import Connection

router = APIRouter(prefix="/api/v1/users/me", tags=["users"])

Adder = Annotated[Claims, Depends(step_up_for(Sensitive.ADD_FACTOR))]
Remover = Annotated[Claims, Depends(step_up_for(Sensitive.REMOVE_FACTOR))]
CodeMaker = Annotated[Claims, Depends(step_up_for(Sensitive.MAKE_RECOVERY_CODES))]


class Factors(BaseModel):
    """What the account asks for beside its password."""

    second_factor: bool = Field(description="Whether signing in asks for a second factor.")
    one_time_passwords: bool
    passkeys: int
    recovery_codes_left: int


class TotpEnrolment(BaseModel):
    """A secret for an authenticator app. It is shown this once."""

    secret: str = Field(description="Base32, for typing.")
    uri: str = Field(description="The otpauth:// URI, for apps on the same device.")
    qr_svg: str = Field(description="The URI as a QR code: an SVG document.")
    expires_at_ms: int = Field(description="Until when it can be confirmed; epoch milliseconds.")


class ConfirmTotp(Input):
    """What the app shows."""

    code: Code


class RecoveryCodes(BaseModel):
    """Codes that each stand in once for a second factor. They are shown this once."""

    recovery_codes: list[str] = Field(
        description="Empty if the account has recovery codes already: those stay good."
    )


@router.get("/factors", responses=problems(401, 403))
async def get_factors(subject: Member, services: ServicesDep) -> Factors:
    """The second factors of the signed-in user."""
    found = await storage.get_factors(services.pool, subject.user_id)
    return Factors(
        second_factor=found.any,
        one_time_passwords=found.totp,
        passkeys=found.passkeys,
        recovery_codes_left=found.recovery_codes,
    )


@router.post("/totp", status_code=201, responses=problems(401, 403, 404, 409))
async def enrol_totp(subject: Adder, services: ServicesDep) -> TotpEnrolment:
    """Begin to set up one-time passwords. Nothing is asked for until a code is confirmed.

    Asked again before that, it answers with another secret, and the one before is void.
    """
    at_ms, user_id = services.clock(), subject.user_id
    secret = one_time_passwords.new_totp_secret()
    sealed = services.vault.seal(secret.encode(), f"{TOTP_PLACE}:{user_id}")
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        user = await users_storage.get_user(connection, user_id)
        if user is None:
            raise UserNotFound
        if not await storage.enrol_totp(connection, user_id, sealed, at_ms):
            raise TotpExists
    uri = one_time_passwords.provisioning_uri(secret, user.username)
    return TotpEnrolment(
        secret=secret,
        uri=uri,
        qr_svg=one_time_passwords.qr_svg(uri),
        expires_at_ms=at_ms + domain.POLICY.enrolment_ms,
    )


@router.post("/totp/confirmation", responses=problems(401, 403, 404))
async def confirm_totp(body: ConfirmTotp, subject: Adder, services: ServicesDep) -> RecoveryCodes:
    """Show a code of the new secret; from now on signing in asks for one."""
    at_ms, user_id = services.clock(), subject.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        totp = await storage.get_totp(connection, user_id)
        begun_after_ms = at_ms - domain.POLICY.enrolment_ms
        if totp is None or totp.confirmed_at_ms or totp.added_at_ms <= begun_after_ms:
            raise EnrolmentNotFound
        step = find_step(services, user_id, totp, body.code, at_ms)
        if step is None:
            raise WrongSecondFactor
        await storage.confirm_totp(connection, user_id, at_ms, step)
        await tell(connection, user_id, TotpAdded(user_id, at_ms), at_ms)
        return await first_recovery_codes(services, connection, user_id, at_ms)


@router.delete("/totp", status_code=204, responses=problems(401, 403, 404))
async def remove_totp(subject: Remover, services: ServicesDep) -> None:
    """Ask for no more one-time passwords. With the last factor go the recovery codes."""
    at_ms, user_id = services.clock(), subject.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if not await storage.remove_totp(connection, user_id):
            raise TotpNotFound
        await tell(connection, user_id, TotpRemoved(user_id, at_ms), at_ms)
        await forget_codes_of_no_factor(connection, user_id, at_ms)


@router.post("/recovery-codes", status_code=201, responses=problems(401, 403, 409))
async def make_recovery_codes(subject: CodeMaker, services: ServicesDep) -> RecoveryCodes:
    """Ten new recovery codes in place of all earlier ones."""
    at_ms, user_id = services.clock(), subject.user_id
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if not (await storage.get_factors(connection, user_id)).any:
            raise NoSecondFactor
        return await _make_codes(services, connection, user_id, at_ms)


async def first_recovery_codes(
    services: Services, connection: Connection, user_id: str, at_ms: int
) -> RecoveryCodes:
    """Codes for a locked user who has a factor now, unless there are some."""
    if (await storage.get_factors(connection, user_id)).recovery_codes:
        return RecoveryCodes(recovery_codes=[])
    return await _make_codes(services, connection, user_id, at_ms)


async def forget_codes_of_no_factor(connection: Connection, user_id: str, at_ms: int) -> None:
    """Codes stand in for a factor: a locked user who has none is left with none."""
    factors = await storage.get_factors(connection, user_id)
    if factors.recovery_codes and not factors.any:
        await storage.replace_recovery_codes(connection, user_id, [], at_ms)
        await tell(connection, user_id, RecoveryCodesMade(user_id, 0, at_ms), at_ms, count=0)


async def _make_codes(
    services: Services, connection: Connection, user_id: str, at_ms: int
) -> RecoveryCodes:
    codes = one_time_passwords.new_recovery_codes(domain.POLICY.recovery_codes)
    place = f"{RECOVERY_PLACE}:{user_id}"
    normal = [one_time_passwords.normal_recovery_code(code) for code in codes]
    hashes = [services.vault.digest(code, place) for code in normal]
    await storage.replace_recovery_codes(connection, user_id, hashes, at_ms)
    made = RecoveryCodesMade(user_id, len(codes), at_ms)
    await tell(connection, user_id, made, at_ms, count=len(codes))
    return RecoveryCodes(recovery_codes=codes)
