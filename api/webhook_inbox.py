"""Keeps the webhooks of providers, many in a transaction."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from messages.errors import Overloaded, Refusal
from messages.payments.gateways import GatewayName
from storage import payments_webhooks as storage
from storage.database import CONNECTION_ERRORS, Pool

MAX_BATCH = 500
MAX_WAITING = 5_000
SAMPLE_MS = 1_000

log = structlog.get_logger(__name__)


class WebhookInbox:
    """Keeps webhooks: those that arrive while others are being written go together in the next
    transaction, so that many a second cost few commits.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[tuple[storage.Arrived, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._rejected: dict[GatewayName, tuple[int, int]] = {}

    async def take(self, arrived: storage.Arrived) -> None:
        """Return once the webhook is durable. Raises Overloaded, or what the store raised."""
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded("too many webhooks wait to be written")
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((arrived, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await done

    async def reject(self, gateway: GatewayName, error: Refusal, body: bytes, at_ms: int) -> None:
        """Count what was turned away, and keep one a second of a provider's: a flood of forgeries
        costs one small write a second and no room.
        """
        waiting, written_ms = self._rejected.get(gateway, (0, 0))
        if at_ms - written_ms < SAMPLE_MS:
            self._rejected[gateway] = waiting + 1, written_ms
            return
        self._rejected[gateway] = 0, at_ms
        try:
            await storage.reject(self._pool, gateway, error.code, waiting + 1, body, at_ms)
        except CONNECTION_ERRORS as failure:
            log.warning("a rejected webhook is not kept", error=repr(failure))

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
