"""Has purchases go on, by payments' news, goods that went back, and steps that are overdue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from integrations.purchase_courier import PurchaseCourier
from messages.envelope import Event
from messages.errors import Refusal
from messages.keys import derive_key
from messages.purchases.errors import PurchaseNotFound
from sagas import purchases as saga
from sagas.purchases import Told
from storage.database import Connection

MAX_AT_ONCE = 16  # a provider that is slow must not hold all of them for long

log = structlog.get_logger(__name__)


class PurchasesHandler:
    """A consumer group whose effects are commands, made idempotent by their keys.

    A refusal is an answer and final. What is Transient propagates, and the bus hands over again.
    """

    group = saga.NAME
    streams = saga.STREAMS
    sifted = saga.SIFTED
    transactional = False

    def __init__(self, courier: PurchaseCourier) -> None:
        self._courier = courier
        self._free = asyncio.Semaphore(MAX_AT_ONCE)

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Tell each purchase in order, and purchases side by side."""
        queues: dict[str, list[Told]] = {}
        for event in events:
            told = saga.react(event)
            if told is not None:
                queues.setdefault(told.purchase_id, []).append(told)
        outcomes = await asyncio.gather(
            *(self._tell(queue) for queue in queues.values()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _tell(self, queue: Sequence[Told]) -> None:
        async with self._free:
            for told in queue:
                try:
                    await self._one(told)
                except PurchaseNotFound:
                    continue  # bought without a purchase
                except Refusal as refusal:
                    log.info("purchase not told", id=told.purchase_id, code=refusal.code)

    async def _one(self, told: Told) -> None:
        key = derive_key(saga.NAME, told.event_id)
        if told.overdue is not None:
            due = told.overdue
            await self._courier.again(told.purchase_id, due.step, due.round, key)
        elif told.command is not None:
            await self._courier.ask(told.purchase_id, told.command, key)
        else:
            await self._courier.look(told.purchase_id, key)
