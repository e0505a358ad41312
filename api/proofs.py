"""Check what users show to prove who they are: their password, codes, recovery codes.

Each check is a transaction of its own, because what is used up, and a wrong guess, must stay so
whatever becomes of the request. Passkeys: `api/passkey_proofs.py`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.factor_notices import tell
from api.services import Services
from domain import users_factors as domain
from domain.users import normal_password
from integrations import one_time_passwords
from messages.errors import Overloaded
from messages.users import WrongCredentials
from messages.users_factors import (
    GuessesUsedUp,
    GuessingSeen,
    RecoveryCodeUsed,
    WrongSecondFactor,
)
from messages.users_sessions import Method
from storage import users_events
from storage import users_factors as storage
from storage.database import Connection

TOTP_PLACE, RECOVERY_PLACE = "totp", "recovery-code"  # of what the vault seals and digests

Password = Annotated[str, Field(max_length=1_024)]
Code = Annotated[str, Field(max_length=16, description="Six digits, from the authenticator app.")]
RecoveryCode = Annotated[str, Field(max_length=40, description="As it was shown; used up by this.")]


async def check_password(services: Services, user_id: str, password: str) -> None:
    """The user's password, guessed seldom. Raises WrongCredentials, GuessesUsedUp, Overloaded."""
    at_ms, method = services.clock(), Method.PASSWORD
    async with services.pool.acquire() as connection, connection.transaction():
        await _allow(connection, user_id, method, at_ms)
        # Wrong until it is known to be right: many guesses at once are no way around the limit.
        failures = await storage.add_failure(connection, user_id, method, at_ms)
    stored = await storage.get_password_hash(services.pool, user_id)
    try:
        right = await services.passwords.verify(stored, normal_password(password))
    except Overloaded:
        await _take_back(services, user_id, method)
        raise
    if right:
        await storage.forgive_failures(services.pool, user_id, method)
        return
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        await _tell_of_guessing(connection, user_id, method, failures, at_ms)
    raise WrongCredentials


async def check_code(services: Services, user_id: str, code: str) -> None:
    """A one-time password of the user, not used before.

    Raises WrongSecondFactor, or GuessesUsedUp after too many of those.
    """
    at_ms, method = services.clock(), Method.ONE_TIME_PASSWORD
    async with services.pool.acquire() as connection, connection.transaction():
        await _allow(connection, user_id, method, at_ms)
        if await _take_code(services, connection, user_id, code, at_ms):
            await storage.forgive_failures(connection, user_id, method)
            return
        failures = await storage.add_failure(connection, user_id, method, at_ms)
        await _tell_of_guessing(connection, user_id, method, failures, at_ms)
    raise WrongSecondFactor


def find_step(
    services: Services, user_id: str, totp: storage.Totp, code: str, at_ms: int
) -> int | None:
    """The time step whose code this is, if none so late was accepted before."""
    secret = services.vault.open(totp.secret, f"{TOTP_PLACE}:{user_id}").decode()
    steps = one_time_passwords.matching_steps(secret, code, at_ms)
    return domain.new_step(steps, totp.last_step)


async def check_recovery_code(services: Services, user_id: str, code: str) -> None:
    """A recovery code of the user, which is used up. Raises WrongSecondFactor."""
    at_ms = services.clock()
    normal = one_time_passwords.normal_recovery_code(code)
    hashes = services.vault.digests(normal, f"{RECOVERY_PLACE}:{user_id}")
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        if not await storage.use_recovery_code(connection, user_id, hashes, at_ms):
            raise WrongSecondFactor
        left = (await storage.get_factors(connection, user_id)).recovery_codes
        await tell(connection, user_id, RecoveryCodeUsed(user_id, left, at_ms), at_ms, left=left)


async def _take_code(
    services: Services, connection: Connection, user_id: str, code: str, at_ms: int
) -> bool:
    totp = await storage.get_totp(connection, user_id)
    if totp is None or totp.confirmed_at_ms is None:
        return False
    step = find_step(services, user_id, totp, code, at_ms)
    return step is not None and await storage.accept_step(connection, user_id, step)


async def _allow(connection: Connection, user_id: str, method: Method, at_ms: int) -> None:
    """Lock the user; raise GuessesUsedUp if wrong guesses make this one wait."""
    await users_events.lock(connection, user_id)
    failures, last_at_ms = await storage.get_failures(connection, user_id, method)
    heard_from_ms = domain.may_guess_at(failures, last_at_ms)
    if at_ms < heard_from_ms:
        raise GuessesUsedUp(retry_after_ms=heard_from_ms - at_ms)


async def _take_back(services: Services, user_id: str, method: Method) -> None:
    async with services.pool.acquire() as connection, connection.transaction():
        await users_events.lock(connection, user_id)
        await storage.take_back_failure(connection, user_id, method)


async def _tell_of_guessing(
    connection: Connection, user_id: str, method: Method, failures: int, at_ms: int
) -> None:
    if failures % domain.POLICY.free_failures == 0:
        until_ms = domain.may_guess_at(failures, at_ms)
        await tell(connection, user_id, GuessingSeen(user_id, method, until_ms, at_ms), at_ms)
