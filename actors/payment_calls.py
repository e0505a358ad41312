"""Performs the calls of payments that have no answer yet: the consumer of `CallOverdue`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from integrations.payment_courier import Asks, Courier
from messages.envelope import Event
from messages.keys import derive_key
from messages.payments.accounts import STREAM
from messages.payments.payments import CallOverdue, GetPayment, PaymentView
from storage.database import Connection

_decode = msgspec.json.Decoder(CallOverdue).decode
MAX_AT_ONCE = 16  # a provider that is slow must not hold all of them for long


class PaymentCallsHandler:
    """A consumer group whose effect is at the provider, made idempotent by the call's key."""

    group = "payment_calls"
    streams = (STREAM,)
    transactional = False

    def __init__(self, payments: Asks, courier: Courier) -> None:
        self._payments = payments
        self._courier = courier
        self._free = asyncio.Semaphore(MAX_AT_ONCE)

    async def handle(self, connection: Connection, events: Sequence[Event]) -> None:
        """Ask providers again. What came of it is the owner's to judge, so nothing fails here."""
        overdue = [_decode(one.body) for one in events if one.type == CallOverdue.__name__]
        latest = {one.call.call_id: one for one in overdue}
        await asyncio.gather(*(self._again(one) for one in latest.values()))

    async def _again(self, overdue: CallOverdue) -> None:
        async with self._free:
            key = derive_key("payment-overdue", overdue.call.call_id, overdue.call.tries)
            payment = await self._payments.ask(overdue.payment_id, GetPayment(), key=key)
            assert isinstance(payment, PaymentView)
            still = next((c for c in payment.calls if c.call_id == overdue.call.call_id), None)
            if still is not None:
                await self._courier.run(await self._courier.perform(payment, still))
