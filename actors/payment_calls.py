"""Performs the calls of payments that have no answer yet: the consumer of `CallOverdue`."""

from __future__ import annotations

from actors.overdue_calls import OverdueCalls
from integrations.payment_courier import Courier
from integrations.provider_calls import Asks
from messages.keys import derive_key
from messages.payments.payments import CallOverdue, GetPayment, PaymentView


class PaymentCallsHandler(OverdueCalls[CallOverdue]):
    """A consumer group: what nobody answered is asked again."""

    group = "payment_calls"
    due_type = CallOverdue

    def __init__(self, payments: Asks, courier: Courier) -> None:
        super().__init__()
        self._payments = payments
        self._courier = courier

    async def again(self, due: CallOverdue) -> None:
        """Ask the provider again, and for what follows."""
        key = derive_key("payment-overdue", due.call.call_id, due.call.tries)
        payment = await self._payments.ask(due.payment_id, GetPayment(), key=key)
        assert isinstance(payment, PaymentView)
        still = next((c for c in payment.calls if c.call_id == due.call.call_id), None)
        if still is not None:
            await self._courier.run(await self._courier.perform(payment, still))
