"""Carries the steps of purchases to the owners of goods and payments, and their answers back.

Whoever asked for something performs what follows at once, so that a buyer waits for the owners and
for nothing else. If they die on the way, the purchase's timer finds the step without an answer and
the bus's worker carries it again, under the same key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from integrations.payment_courier import Courier
from messages.errors import IdempotencyKeyReused, Refusal, VibeStreamError
from messages.keys import derive_key
from messages.payments.payments import GetPayment, PaymentView
from messages.purchases.purchases import (
    GetPurchase,
    PurchaseCommand,
    PurchaseView,
    RecordPayment,
    RecordRefused,
    Step,
    WantedStep,
)
from sagas import purchases as saga

MAX_STEPS = 8  # in a row; no purchase has as many

log = structlog.get_logger(__name__)


class Asks(Protocol):
    """A handle of the actor runtime."""

    async def ask(self, entity_id: str, command: Any, *, key: bytes) -> Any:
        """The owner's answer. Raises messages.errors.*"""


class PurchaseCourier:
    """Performs steps. `handles`: by kind.  payments: who carries payments' calls to providers."""

    def __init__(self, handles: Mapping[str, Asks], payments: Courier) -> None:
        self._handles = handles
        self._payments = payments

    async def ask(self, purchase_id: str, command: PurchaseCommand, key: bytes) -> PurchaseView:
        """Ask a purchase's owner, and perform what follows as far as it gets now.

        A command that is sent again gets the answer of the first time, so the purchase is looked at
        as it is before anything is performed.
        """
        await self._handles["purchases"].ask(purchase_id, command, key=key)
        return await self.run(await self.get(purchase_id, key))

    async def get(self, purchase_id: str, key: bytes) -> PurchaseView:
        """A purchase as it is. Raises PurchaseNotFound."""
        found = await self._handles["purchases"].ask(purchase_id, GetPurchase(), key=key)
        assert isinstance(found, PurchaseView)
        return found

    async def run(self, purchase: PurchaseView) -> PurchaseView:
        """Perform what a purchase waits for, and what follows from that.

        A step that fails for now is left to the purchase's timer.
        """
        for _ in range(MAX_STEPS):
            wanted = next(iter(purchase.wanted), None)
            if wanted is None:
                break
            try:
                purchase = await self.perform(purchase, wanted)
            except VibeStreamError as error:
                log.warning(
                    "purchase step put off",
                    purchase_id=purchase.purchase_id,
                    step=wanted.step.value,
                    code=error.code,
                )
                break
        return purchase

    async def perform(self, purchase: PurchaseView, wanted: WantedStep) -> PurchaseView:
        """Perform one step, and tell the purchase's owner what came of it. Raises Transient."""
        asked = saga.asked(purchase, wanted)
        try:
            answer = await self._handles[asked.kind].ask(
                asked.entity_id, asked.command, key=asked.key
            )
        except IdempotencyKeyReused:
            raise  # nobody refused anything: a step's key stands for one command
        except Refusal as refusal:
            return await self._record(
                purchase.purchase_id, RecordRefused(wanted.step, wanted.round, refusal.code)
            )
        if wanted.step is Step.SET_ASIDE:  # the purchase was asked itself
            assert isinstance(answer, PurchaseView)
            return answer
        if isinstance(answer, PaymentView):
            answer = await self._carry(answer, asked.key)
        return await self._record(purchase.purchase_id, saga.done(wanted, answer))

    async def look(self, purchase_id: str, key: bytes) -> PurchaseView:
        """Tell a purchase where its payment stands now, and perform what follows."""
        payment = await self._payment(saga.payment_id_of(purchase_id), key)
        await self._record(purchase_id, RecordPayment(saga.news_of(payment)))
        return await self.run(await self.get(purchase_id, key))

    async def again(self, purchase_id: str, step: Step, round_: int, key: bytes) -> None:
        """Perform a step that was not answered in time, if it is still wanted."""
        if step is Step.LOOK:
            await self.look(purchase_id, key)
            return
        found = await self.get(purchase_id, key)
        if any((one.step, one.round) == (step, round_) for one in found.wanted):
            await self.run(found)

    async def _carry(self, payment: PaymentView, key: bytes) -> PaymentView:
        """A step that is asked again gets the payment as it was then: look at it as it is."""
        if payment.calls:
            payment = await self._payment(payment.payment_id, derive_key("look", key))
        return await self._payments.run(payment)

    async def _payment(self, payment_id: str, key: bytes) -> PaymentView:
        found = await self._handles["payments"].ask(payment_id, GetPayment(), key=key)
        assert isinstance(found, PaymentView)
        return found

    async def _record(self, purchase_id: str, command: PurchaseCommand) -> PurchaseView:
        key = derive_key("purchase-record", purchase_id, repr(command))
        answer = await self._handles["purchases"].ask(purchase_id, command, key=key)
        assert isinstance(answer, PurchaseView)
        return answer
