"""Keeps the webhooks of providers, many in a transaction."""

from __future__ import annotations

import asyncio
import contextlib

from messages.errors import Overloaded
from storage import payments_webhooks as storage
from storage.database import Pool

MAX_BATCH = 500
MAX_WAITING = 5_000


class WebhookInbox:
    """Keeps webhooks: those that arrive while others are being written go together in the next
    transaction, so that many a second cost few commits.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[tuple[storage.Arrived, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def take(self, arrived: storage.Arrived) -> None:
        """Return once the webhook is durable. Raises Overloaded, or what the store raised."""
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded("too many webhooks wait to be written")
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((arrived, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    await storage.take(connection, [arrived for arrived, _ in batch])
            except Exception as error:  # noqa: BLE001 - each caller gets it
                _finish(batch, error)
            else:
                _finish(batch, None)


def _finish(
    batch: list[tuple[storage.Arrived, asyncio.Future[None]]], error: Exception | None
) -> None:
    for _, done in batch:
        with contextlib.suppress(asyncio.InvalidStateError):  # its caller went away
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
