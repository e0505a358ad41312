"""Carries a payout's calls to its provider and the answers back to its owner.

A provider is only asked by the bus's worker. If that dies on the way, the owner's timer finds the
call without an answer and it is carried again, under the same key: a provider does it once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from integrations.payment_recorder import during
from integrations.payout_gateway import PayoutGateway
from integrations.provider_calls import Asks, outcome
from messages.keys import derive_key
from messages.payments.exchanges import Occasion
from messages.payments.gateways import CallDeclined, CallNotSent
from messages.payments.payments import RecordFailure, Source
from messages.payments.payout_orders import PayoutOrder, PayoutProvider, PayoutSnapshot
from messages.payments.payouts import (
    PayoutCall,
    PayoutCallKind,
    PayoutView,
    RecordPayoutAnswer,
)

DESTINATION_GONE = "destination-removed"


class PayoutCourier:
    """Performs calls. `payouts`: the handle of that kind.  destination: of a payout method's id,
    empty if the method is gone.
    """

    def __init__(
        self,
        payouts: Asks,
        gateways: Mapping[PayoutProvider, PayoutGateway],
        destination: Callable[[str], Awaitable[str]],
    ) -> None:
        self._payouts = payouts
        self._destination = destination
        self.gateways = gateways

    async def perform(self, payout: PayoutView, call: PayoutCall) -> PayoutView:
        """Perform one call, and tell the payout's owner what came of it."""
        with during(_occasion(payout, call)):
            found = await outcome(call.call_id, self._send(payout, call))
        recorded = (
            found if isinstance(found, RecordFailure) else RecordPayoutAnswer(call.call_id, found)
        )
        key = derive_key("payout-call", call.call_id, call.tries, repr(found))
        answer = await self._payouts.ask(payout.payout_id, recorded, key=key)
        assert isinstance(answer, PayoutView)
        return answer

    async def find(self, payout: PayoutView, ref: str) -> PayoutSnapshot:
        """A payout as its provider has it. Raises what the port says."""
        order = await self._order(payout)
        if not ref:
            _check_destination(order)
        return await self._gateway(payout).find(order, ref)

    async def _send(self, payout: PayoutView, call: PayoutCall) -> PayoutSnapshot:
        if call.kind is PayoutCallKind.FIND:
            return await self.find(payout, call.ref)
        order = await self._order(payout)
        _check_destination(order)
        return await self._gateway(payout).pay(order, call.key)

    def _gateway(self, payout: PayoutView) -> PayoutGateway:
        gateway = self.gateways.get(payout.provider)
        if gateway is None:
            raise CallNotSent(reason="gateway-not-configured")
        return gateway

    async def _order(self, payout: PayoutView) -> PayoutOrder:
        return PayoutOrder(
            payout_id=payout.payout_id,
            amount_minor=payout.sent_minor,
            currency=payout.currency,
            destination=await self._destination(payout.method_id),
            description="VibeStream payout",
        )


def _check_destination(order: PayoutOrder) -> None:
    """Raise CallDeclined if the payout method is gone. It went before anything was sent, then: a
    method in use is not removed.
    """
    if not order.destination:
        raise CallDeclined(reason=DESTINATION_GONE)


def _occasion(payout: PayoutView, call: PayoutCall) -> Occasion:
    return Occasion(
        Source.CALL,
        payout_id=payout.payout_id,
        call_id=call.call_id,
        kind=call.kind.value,
        tries=call.tries,
    )
