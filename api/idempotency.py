"""Requests that change something happen once, however often a client repeats them.

The `Idempotency-Key` header, with who sends it and the route, gives the key. A change by an
entity's owner carries it as the command's key and the runtime does the rest; every other change
goes through `once`, which writes the answer in the change's own transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

from fastapi import Header, Response
from pydantic import BaseModel

from messages.errors import IdempotencyKeyReused
from messages.keys import derive_key
from storage import idempotency as storage
from storage.database import Connection, Pool

ANONYMOUS = "anonymous"
REPLAYED = "idempotency-replayed"

KeyHeader = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="Chosen by the client, new for each thing it wants done, the same when it "
        "repeats a request whose answer it did not get. 8 to 128 visible ASCII characters.",
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
    ),
]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sending of a request: its key, and the digest that tells it from others of that key."""

    key: bytes
    fingerprint: bytes


def command_key(actor: str, route: str, header: str) -> bytes:
    """The idempotency key of `header` sent by `actor` (a user id, or ANONYMOUS) to `route`."""
    return derive_key("http", actor, route, header)


def attempt(key: bytes, secret: bytes, *content: str | bytes) -> Attempt:
    """An attempt whose content is digested under `secret`, because it may hold a password."""
    digest = blake2b(key=secret[:64], digest_size=16)
    for part in content:
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return Attempt(key, digest.digest())


async def replay(connection: Connection | Pool, made: Attempt) -> Response | None:
    """The answer given to this request before. Raises IdempotencyKeyReused if it was another."""
    recorded = await storage.find(connection, made.key)
    if recorded is None:
        return None
    if recorded.fingerprint != made.fingerprint:
        raise IdempotencyKeyReused
    return _response(recorded.status, recorded.body, replayed=True)


async def once(
    pool: Pool,
    made: Attempt,
    at_ms: int,
    status: int,
    change: Callable[[Connection], Awaitable[BaseModel]],
    *,
    lock: Callable[[Connection], Awaitable[None]] | None = None,
) -> Response:
    """Do `change` and record its answer in one transaction; or answer what was recorded.

    A repetition that arrives while the first is under way waits for it. What `change` raises undoes
    all of it, so a refused request may be corrected and sent under the same key.

    lock: taken before anything is written, as events whose order matters need it.
    """
    async with pool.acquire() as connection:
        async with connection.transaction():
            if lock is not None:
                await lock(connection)
            if await storage.claim(connection, made.key, made.fingerprint, at_ms):
                answer = await change(connection)
                body = answer.model_dump_json().encode()
                await storage.complete(connection, made.key, status, body)
                return _response(status, body, replayed=False)
        found = await replay(connection, made)
        assert found is not None, "a claimed key has its answer once its transaction is over"
        return found


def _response(status: int, body: bytes, *, replayed: bool) -> Response:
    headers = {REPLAYED: "true"} if replayed else {}
    return Response(body, status, headers, media_type="application/json")
