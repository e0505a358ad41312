"""Carries a payment's calls to its provider and the answers back to its owner.

Whoever asked for something performs what it needs at once, so that a caller waits for the provider
and for nothing else. If they die on the way, the owner's timer finds the call without an answer and
the bus's worker carries it again, under the same key: a provider does it once.
"""

from __future__ import annotations

from collections.abc import Mapping

from integrations.payment_gateway import Order, PaymentGateway, Return
from integrations.payment_recorder import during
from integrations.provider_calls import Asks, outcome
from messages.keys import derive_key
from messages.payments.exchanges import Occasion
from messages.payments.gateways import (
    Call,
    CallKind,
    CallNotSent,
    GatewayName,
    Snapshot,
)
from messages.payments.payments import PaymentView, RecordAnswer, RecordFailure, Source

MAX_CALLS = 4  # in a row: create, capture, and a spare for each


class Courier:
    """Performs calls. `payments`: the handle of that kind."""

    def __init__(self, payments: Asks, gateways: Mapping[GatewayName, PaymentGateway]) -> None:
        self._payments = payments
        self.gateways = gateways

    def unhealthy(self) -> frozenset[GatewayName]:
        """The providers that cannot be reached at the moment."""
        return frozenset(name for name, one in self.gateways.items() if not one.healthy)

    async def run(self, payment: PaymentView) -> PaymentView:
        """Perform what a payment waits for, and what follows from that, as far as it gets now."""
        for _ in range(MAX_CALLS):
            call = next((one for one in payment.calls if one.tries == 0), None)
            if call is None:
                break
            payment = await self.perform(payment, call)
        return payment

    async def perform(self, payment: PaymentView, call: Call) -> PaymentView:
        """Perform one call, and tell the payment's owner what came of it."""
        with during(_occasion(payment, call)):
            found = await outcome(call.call_id, self._send(payment, call))
        recorded = found if isinstance(found, RecordFailure) else RecordAnswer(call.call_id, found)
        key = derive_key("payment-call", call.call_id, call.tries, repr(found))
        answer = await self._payments.ask(payment.payment_id, recorded, key=key)
        assert isinstance(answer, PaymentView)
        return answer

    async def _send(self, payment: PaymentView, call: Call) -> Snapshot:
        gateway = self.gateways.get(call.gateway)
        if gateway is None:
            raise CallNotSent(reason="gateway-not-configured")
        match call.kind:
            case CallKind.CREATE:
                return await gateway.create(_order(payment), call.key)
            case CallKind.AUTHORIZE:
                return await gateway.authorize(call.ref, call.key)
            case CallKind.CAPTURE:
                return await gateway.capture(
                    call.ref, call.amount_minor, payment.currency, call.key
                )
            case CallKind.CANCEL:
                return await gateway.cancel(call.ref, call.key)
            case CallKind.REFUND:
                asked = Return(call.ref, call.refund_id, call.amount_minor, payment.currency)
                return await gateway.refund(asked, call.key)
            case CallKind.FETCH:
                return await gateway.fetch(call.ref)


def _occasion(payment: PaymentView, call: Call) -> Occasion:
    return Occasion(
        Source.CALL,
        payment_id=payment.payment_id,
        call_id=call.call_id,
        kind=call.kind.value,
        tries=call.tries,
    )


def _order(payment: PaymentView) -> Order:
    return Order(
        payment_id=payment.payment_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        method=payment.method,
        capture=payment.capture,
        description=f"VibeStream {payment.purpose.value}",
        source=payment.source,
        return_url=payment.return_url,
    )
