"""A purchase after each fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from domain.purchases.state import REFUND_OVER, Purchase, StepState
from messages.purchases.purchases import (
    GoodsReturned,
    Outcome,
    PaymentSeen,
    PurchaseChanged,
    PurchaseEnding,
    PurchaseEvent,
    PurchaseRefundAsked,
    PurchaseStarted,
    Step,
    StepDone,
    StepOverdue,
    StepPostponed,
    StepRefused,
    StepWanted,
)


def evolve(state: Purchase, event: PurchaseEvent) -> Purchase:
    """The state after a fact."""
    return _EVOLVERS[type(event)](state, event)


def _started(state: Purchase, event: PurchaseStarted) -> Purchase:
    return replace(
        state,
        asked=event.asked,
        money_back=event.asked.money_back,
        created_at_ms=event.at_ms,
        changed_at_ms=event.at_ms,
        pay_by_ms=event.pay_by_ms,
    )


def _wanted(state: Purchase, event: StepWanted) -> Purchase:
    found = StepState(Outcome.WANTED, event.round, amount_minor=event.amount_minor)
    return _with(state, event.step, found)


def _postponed(state: Purchase, event: StepPostponed) -> Purchase:
    return _with(state, event.step, replace(state.steps[event.step], tries=event.tries))


def _done(state: Purchase, event: StepDone) -> Purchase:
    before = state.steps[event.step]
    state = _with(state, event.step, replace(before, outcome=Outcome.DONE, code=""))
    if event.step is Step.GIVE_BACK:
        return replace(state, is_back=True, returned_minor=event.returned_minor, failure="")
    return state


def _refused(state: Purchase, event: StepRefused) -> Purchase:
    before = state.steps.get(event.step, StepState(Outcome.WANTED, state.round))
    state = _with(state, event.step, replace(before, outcome=Outcome.REFUSED, code=event.code))
    return state if event.step is Step.STOP else replace(state, failure=event.code)


def _seen(state: Purchase, event: PaymentSeen) -> Purchase:
    return replace(state, payment=event.news)


def _ending(state: Purchase, event: PurchaseEnding) -> Purchase:
    return replace(state, ending=event.code, failure=event.code)


def _refund_asked(state: Purchase, event: PurchaseRefundAsked) -> Purchase:
    """What was refused is asked for again; and so is a refund that the provider refused."""
    again = {step for step in (Step.GIVE_BACK, Step.REFUND) if state.is_refused(step)}
    if state.refund_status in REFUND_OVER:
        again.add(Step.REFUND)
    return replace(
        state,
        refund_id=event.refund_id,
        money_back=event.money_back,
        round=state.round + 1,
        failure="",
        steps={step: one for step, one in state.steps.items() if step not in again},
    )


def _goods_returned(state: Purchase, event: GoodsReturned) -> Purchase:
    return replace(state, is_back=True, returned_minor=event.returned_minor, failure=event.reason)


def _changed(state: Purchase, event: PurchaseChanged) -> Purchase:
    return replace(state, status=event.status, changed_at_ms=event.at_ms)


def _overdue(state: Purchase, _event: StepOverdue) -> Purchase:
    return state


def _with(state: Purchase, step: Step, found: StepState) -> Purchase:
    return replace(state, steps={**state.steps, step: found})


_EVOLVERS: dict[type, Callable[[Purchase, Any], Purchase]] = {
    PurchaseStarted: _started,
    StepWanted: _wanted,
    StepPostponed: _postponed,
    StepDone: _done,
    StepRefused: _refused,
    StepOverdue: _overdue,
    PaymentSeen: _seen,
    PurchaseEnding: _ending,
    PurchaseRefundAsked: _refund_asked,
    GoodsReturned: _goods_returned,
    PurchaseChanged: _changed,
}
