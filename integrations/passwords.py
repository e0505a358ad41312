"""Argon2id off the event loop, in a bounded pool of threads.

Hashing is made to be slow (about 130 ms and 64 MiB, as measured), so a few sign-ins at once would
stop a gateway that did it on its event loop, and without a bound on the queue a flood of them would
take all memory. argon2-cffi releases the interpreter lock while it hashes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from messages.errors import Overloaded

T = TypeVar("T")

WORKERS = 2
QUEUE = 32
# RFC 9106's second recommended option, with one lane: lanes only help where cores idle.
TIME_COST = 3
MEMORY_KIB = 64 * 1024
LANES = 1
RETRY_AFTER_MS = 2_000
MAX_PASSWORD_CHARS = 1_024  # of a guess; what may be set is the domain's rule


class Passwords:
    """Hash and verify. One a process; `close` when it ends."""

    def __init__(
        self,
        *,
        workers: int = WORKERS,
        queue: int = QUEUE,
        time_cost: int = TIME_COST,
        memory_kib: int = MEMORY_KIB,
        lanes: int = LANES,
    ) -> None:
        self._hasher = PasswordHasher(time_cost, memory_kib, parallelism=lanes)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._limit = workers + queue
        self._under_way = 0
        # What an unknown user's password is checked against, so that it takes the same time.
        self._dummy = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The encoded hash, with its salt and parameters. Raises Overloaded."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether `password` is the one hashed. None (no such user) takes as long and is False."""
        guess = password if len(password) <= MAX_PASSWORD_CHARS else ""
        right = await self._run(lambda: self._matches(encoded or self._dummy, guess))
        return right and encoded is not None and bool(guess)

    def is_outdated(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    def close(self) -> None:
        """Let what is under way end and stop the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._under_way >= self._limit:
            raise Overloaded(retry_after_ms=RETRY_AFTER_MS)
        self._under_way += 1
        # Counted until the thread is done, not until the caller stops waiting.
        future = self._threads.submit(work)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _soon(loop, self._done))
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self._under_way -= 1


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
