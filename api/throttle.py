"""Attempts at a secret: a password, a one-time password, a recovery code. And known devices.

`attempt` wraps whatever checks one; `remember_device` is called where a user proved all that the
account asks for.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable

import structlog
from fastapi import Request

from api.doors import client_network
from api.edge import COOKIES
from api.services import Services
from domain import throttle
from messages.doors import TooManyAttempts
from messages.errors import Transient

ID_BYTES, MOMENT_BYTES, PROOF_BYTES = 16, 5, 32
TOKEN_BYTES = ID_BYTES + MOMENT_BYTES + PROOF_BYTES

log = structlog.get_logger(__name__)


async def attempt(
    services: Services,
    request: Request,
    account: str,
    check: Callable[[], Awaitable[bool]],
    user_id: str | None = None,
) -> bool:
    """Whether `check` finds the secret right; it is asked only if an attempt may be made now.

    account: what is guessed at, the same for an account that does not exist: the name as it was
    typed, or a user id with the kind of secret.  user_id: of the account, if there is one.  A
    refusal that `check` raises counts as a failure. Raises TooManyAttempts.
    """
    device = None if user_id is None else _known_device(services, request, user_id)
    asked = throttle.charges(_digest(account), client_network(request), device)
    wait_ms = await services.attempts.attempt(asked)
    if wait_ms > 0:
        log.warning("attempt refused", known_device=device is not None, wait_ms=wait_ms)
        raise TooManyAttempts(retry_after_ms=wait_ms)
    try:
        is_right = await check()
    except Transient:  # nothing was decided
        await services.attempts.succeed(tuple(charge._replace(clears=False) for charge in asked))
        raise
    if is_right:
        await services.attempts.succeed(asked)
    return is_right


async def forgive(services: Services, accounts: Iterable[str]) -> None:
    """Forget failed attempts at accounts, named as `attempt` had them. Raises Unavailable."""
    for account in accounts:
        await services.attempts.forgive(_digest(account))


def remember_device(services: Services, request: Request, user_id: str) -> None:
    """Have the answer, whatever it is, make this device known to the account from now on."""
    device = _known_device(services, request, user_id)
    device_id = bytes.fromhex(device) if device else secrets.token_bytes(ID_BYTES)
    moment = (services.clock() // 1_000).to_bytes(MOMENT_BYTES, "big")
    token = device_id + moment + _proof(services, user_id, device_id + moment)
    name, secure = _cookie(request, user_id)
    cookie = (
        f"{name}={urlsafe_b64encode(token).decode().rstrip('=')}; Path=/; HttpOnly; "
        f"SameSite=Strict; Max-Age={throttle.DEVICE_LIFE_S}{secure}"
    )
    request.scope["state"].setdefault(COOKIES, []).append(cookie.encode())


def _known_device(services: Services, request: Request, user_id: str) -> str | None:
    """The device's id, if the request proves one that signed in to this account before."""
    given = request.cookies.get(_cookie(request, user_id)[0], "")
    try:
        token = urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except ValueError:
        return None
    if len(token) != TOKEN_BYTES:
        return None
    signed, proof = token[:-PROOF_BYTES], token[-PROOF_BYTES:]
    if not hmac.compare_digest(proof, _proof(services, user_id, signed)):
        return None
    age_s = services.clock() // 1_000 - int.from_bytes(signed[ID_BYTES:], "big")
    return signed[:ID_BYTES].hex() if age_s < throttle.DEVICE_LIFE_S else None


def _proof(services: Services, user_id: str, signed: bytes) -> bytes:
    key = services.settings.fingerprint_secret
    return hmac.digest(key, b"known-device\0" + user_id.encode() + b"\0" + signed, "sha256")


def _cookie(request: Request, user_id: str) -> tuple[str, str]:
    """The cookie's name, one for each account, and what binds it to HTTPS where there is HTTPS."""
    name = "device-" + hashlib.blake2b(user_id.encode(), digest_size=6).hexdigest()
    if request.scope.get("scheme") == "https":
        return f"__Host-{name}", "; Secure"
    return name, ""


def _digest(account: str) -> str:
    """Names and addresses are no keys of Redis: they would be read in its logs."""
    return hashlib.blake2b(account.lower().encode(), digest_size=16).hexdigest()
