"""A decision in the making: facts, the state after them, the step that follows, timers."""

from __future__ import annotations

from domain.decision import Decision, Forget, Remind
from domain.purchases.evolving import evolve
from domain.purchases.plan import NOT_RETURNABLE, ending, next_step, refund_minor
from domain.purchases.policy import PurchasePolicy
from domain.purchases.state import Purchase
from domain.purchases.status import derive, is_looking
from domain.purchases.views import view
from messages.ledger import LedgerTransaction
from messages.purchases.purchases import (
    PurchaseChanged,
    PurchaseEnding,
    PurchaseEvent,
    Step,
    StepRefused,
    StepWanted,
)

STEP_TIMER = "step:"
EXPIRE_TIMER = "expire"
LOOK_TIMER = "look"


class Draft:
    """Collects what a command does. `after` is the state with all of it."""

    def __init__(self, policy: PurchasePolicy, state: Purchase, now_ms: int) -> None:
        self.policy, self.before, self.after, self.now_ms = policy, state, state, now_ms
        self.events: list[PurchaseEvent] = []
        self.transactions: list[LedgerTransaction] = []
        self.timers: list[Remind | Forget] = []

    def add(self, event: PurchaseEvent) -> None:
        """A fact."""
        self.events.append(event)
        self.after = evolve(self.after, event)

    def decided(self) -> Decision[PurchaseEvent]:
        """The decision, with the step that follows from it and the timer of the payment's news."""
        if self.events:
            self._go_on()
            self._watch()
            self._tell()
        return Decision(
            tuple(self.events), view(self.after), tuple(self.transactions), tuple(self.timers)
        )

    def look_again(self) -> None:
        """Have the payment looked at once nothing was heard of it for a while."""
        quiet = (self.now_ms - self.after.changed_at_ms) // 4
        wait = min(max(quiet, self.policy.look_ms), self.policy.retry_most_ms)
        self.timers.append(Remind(LOOK_TIMER, self.now_ms + wait))

    def _go_on(self) -> None:
        while True:
            code = ending(self.after)
            if code and not self.after.ending:
                self.add(PurchaseEnding(code, self.now_ms))
            step = next_step(self.after)
            if step is None:
                return
            why = NOT_RETURNABLE.get(self.after.order.purpose)
            if step is Step.GIVE_BACK and why is not None:
                self.add(StepRefused(step, why, self.now_ms))
                continue
            due = self.now_ms + self.policy.answer_ms
            amount = refund_minor(self.after) if step is Step.REFUND else 0
            self.add(StepWanted(step, self.after.round, amount, due, self.now_ms))
            self.timers.append(Remind(STEP_TIMER + step.value, due))
            return

    def _watch(self) -> None:
        was, now = self.before.asked is not None and is_looking(self.before), is_looking(self.after)
        if now and not was:
            self.look_again()
        elif was and not now:
            self.timers.append(Forget(LOOK_TIMER))

    def _tell(self) -> None:
        before, after = self.before, self.after
        status = derive(after)
        shown = status, after.failure, after.returned_minor
        if shown == (before.status, before.failure, before.returned_minor):
            return
        order = after.order
        self.add(
            PurchaseChanged(
                purchase_id=after.purchase_id,
                buyer_id=order.buyer_id,
                purpose=order.purpose,
                before=before.status,
                status=status,
                amount_minor=order.amount_minor,
                currency=order.currency,
                returned_minor=after.returned_minor,
                at_ms=self.now_ms,
                subject_id=order.subject_id,
                failure=after.failure,
            )
        )
