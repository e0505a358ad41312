"""What a purchase does about a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from domain.decision import Decision, Forget, Remind
from domain.purchases.draft import EXPIRE_TIMER, LOOK_TIMER, STEP_TIMER, Draft
from domain.purchases.money import put_back, set_aside, worth_minor
from domain.purchases.plan import forward, is_exchanged
from domain.purchases.policy import DAY_MS, PurchasePolicy, pay_within_ms, retry_after_ms
from domain.purchases.state import Purchase
from domain.purchases.status import is_looking
from domain.purchases.views import view
from messages.payments.payments import Purpose
from messages.purchases.errors import (
    BadOrder,
    PurchaseExists,
    PurchaseNotFound,
    PurchaseStateForbids,
    RefundTooLate,
)
from messages.purchases.purchases import (
    CancelPurchase,
    CheckStep,
    ExpirePurchase,
    GetPurchase,
    GoodsReturned,
    LookAtPayment,
    Outcome,
    PaymentNews,
    PaymentSeen,
    PurchaseCommand,
    PurchaseEnding,
    PurchaseEvent,
    PurchaseRefundAsked,
    PurchaseStarted,
    PurchaseStatus,
    RecordDone,
    RecordGoodsBack,
    RecordPayment,
    RecordRefused,
    RefundPurchase,
    SetAside,
    StartPurchase,
    Step,
    StepDone,
    StepOverdue,
    StepPostponed,
    StepRefused,
)

Decided: TypeAlias = Decision[PurchaseEvent]
REFUNDABLE = frozenset({PurchaseStatus.COMPLETED, PurchaseStatus.IN_BALANCE})
CANCELLABLE = frozenset({PurchaseStatus.RESERVING, PurchaseStatus.PAYING})
EXPIRED = "expired"


def initial(entity_id: str) -> Purchase:
    """A purchase that was not started."""
    return Purchase(entity_id)


def decide(
    policy: PurchasePolicy, state: Purchase, command: PurchaseCommand, now_ms: int
) -> Decided:
    """What a command does. Raises the Refusals of `messages.purchases.errors`."""
    if state.asked is None and not isinstance(command, StartPurchase):
        raise PurchaseNotFound
    if isinstance(command, GetPurchase):
        return Decision(answer=view(state))
    draft = Draft(policy, state, now_ms)
    _DECIDERS[type(command)](draft, command)
    return draft.decided()


def reminded(name: str) -> PurchaseCommand:
    """The command that a timer becomes."""
    if name == EXPIRE_TIMER:
        return ExpirePurchase()
    if name == LOOK_TIMER:
        return LookAtPayment()
    assert name.startswith(STEP_TIMER), f"a purchase sets no timer {name!r}"
    return CheckStep(Step(name[len(STEP_TIMER) :]))


def _start(draft: Draft, command: StartPurchase) -> None:
    if draft.before.asked is not None:
        raise PurchaseExists
    _check(command)
    pay_by = draft.now_ms + pay_within_ms(draft.policy, command.purpose)
    draft.add(PurchaseStarted(draft.before.purchase_id, command, pay_by, draft.now_ms))
    if command.payment is not None:
        draft.timers.append(Remind(EXPIRE_TIMER, pay_by))


def _check(command: StartPurchase) -> None:
    """Raises BadOrder."""
    if command.amount_minor <= 0:
        raise BadOrder(field="amount_minor")
    if command.payment is None and command.purpose is Purpose.TOP_UP:
        raise BadOrder(field="payment")
    if (command.purpose is Purpose.TOP_UP) != (not command.subject_id):
        raise BadOrder(field="subject_id")
    if command.purpose is Purpose.SPONSORSHIP and command.tokens_minor <= 0:
        raise BadOrder(field="amount_minor")
    counted = command.purpose in {Purpose.SHARE_PURCHASE, Purpose.NFT_PURCHASE}
    if counted and command.quantity * command.price_minor != command.amount_minor:
        raise BadOrder(field="quantity")
    paid = command.payment
    if paid is not None and (paid.amount_minor, paid.currency, paid.payer_id) != (
        command.amount_minor,
        command.currency,
        command.buyer_id,
    ):
        raise BadOrder(field="payment")


def _done(draft: Draft, command: RecordDone) -> None:
    found = draft.before.steps.get(command.step)
    if command.news is not None:
        _see(draft, command.news)
    if found is None or found.round != command.round or found.outcome is Outcome.DONE:
        return
    # What was refused may be done after all, by somebody who asked late: that is what counts.
    back = _returned_minor(draft.before, command) if command.step is Step.GIVE_BACK else 0
    draft.add(StepDone(command.step, back, draft.now_ms))
    draft.timers.append(Forget(STEP_TIMER + command.step.value))
    if command.step is Step.GIVE_BACK and is_exchanged(draft.before):
        moved = put_back(draft.before, command.returned_minor)
        draft.transactions += [moved] if moved else []


def _returned_minor(purchase: Purchase, command: RecordDone) -> int:
    """What of the price is back in the balance."""
    if purchase.order.purpose is not Purpose.SPONSORSHIP:
        return purchase.order.amount_minor
    return worth_minor(purchase, command.returned_minor)


def _refused(draft: Draft, command: RecordRefused) -> None:
    found = draft.before.steps.get(command.step)
    if found is None or found.round != command.round or found.outcome is not Outcome.WANTED:
        return
    draft.add(StepRefused(command.step, command.code, draft.now_ms))
    draft.timers.append(Forget(STEP_TIMER + command.step.value))
    if command.step is Step.TAKE and draft.before.is_done(Step.SET_ASIDE):
        moved = put_back(draft.before, draft.before.order.tokens_minor)
        draft.transactions += [moved] if moved else []


def _set_aside(draft: Draft, command: SetAside) -> None:
    found = draft.before.steps.get(Step.SET_ASIDE)
    if found is None or found.outcome is not Outcome.WANTED or found.round != command.round:
        return
    draft.add(StepDone(Step.SET_ASIDE, 0, draft.now_ms))
    draft.timers.append(Forget(STEP_TIMER + Step.SET_ASIDE.value))
    draft.transactions.append(set_aside(draft.before))


def _paid(draft: Draft, command: RecordPayment) -> None:
    _see(draft, command.news)


def _see(draft: Draft, news: PaymentNews) -> None:
    known = draft.after.payment
    if known is None or news.version > known.version:
        draft.add(PaymentSeen(news, draft.now_ms))


def _goods_back(draft: Draft, command: RecordGoodsBack) -> None:
    before = draft.before
    if before.is_delivered and before.has_goods and not before.is_back:
        draft.add(GoodsReturned(command.reason, before.order.amount_minor, draft.now_ms))


def _cancel(draft: Draft, command: CancelPurchase) -> None:
    before = draft.before
    if before.ending:
        return
    if before.status not in CANCELLABLE or Step.PAY not in forward(before):
        raise PurchaseStateForbids(status=before.status.value)
    draft.add(PurchaseEnding(command.reason, draft.now_ms))
    draft.timers.append(Forget(EXPIRE_TIMER))


def _expire(draft: Draft, _command: ExpirePurchase) -> None:
    if not draft.before.ending and draft.before.status in CANCELLABLE:
        draft.add(PurchaseEnding(EXPIRED, draft.now_ms))


def _refund(draft: Draft, command: RefundPurchase) -> None:
    before = draft.before
    if command.refund_id == before.refund_id:
        return
    if before.status not in REFUNDABLE or before.waiting is not None:
        raise PurchaseStateForbids(status=before.status.value)
    late = draft.now_ms - before.created_at_ms > draft.policy.refund_ms
    if late and not command.is_staff:
        raise RefundTooLate(days=draft.policy.refund_ms // DAY_MS)
    draft.add(
        PurchaseRefundAsked(
            command.refund_id,
            command.by,
            command.reason,
            command.money_back,
            command.is_staff,
            draft.now_ms,
        )
    )


def _check_step(draft: Draft, command: CheckStep) -> None:
    before = draft.before
    found = before.steps.get(command.step)
    if found is None or found.outcome is not Outcome.WANTED:
        return
    due = draft.now_ms + retry_after_ms(draft.policy, found.tries)
    draft.add(StepOverdue(before.purchase_id, command.step, found.round, found.tries, draft.now_ms))
    draft.add(StepPostponed(command.step, found.tries + 1, due, draft.now_ms))
    draft.timers.append(Remind(STEP_TIMER + command.step.value, due))


def _look(draft: Draft, _command: LookAtPayment) -> None:
    if is_looking(draft.before):
        at_ms = draft.now_ms
        draft.add(StepOverdue(draft.before.purchase_id, Step.LOOK, draft.before.round, 0, at_ms))
        draft.look_again()


_DECIDERS: dict[type, Callable[[Draft, Any], None]] = {
    StartPurchase: _start,
    RecordDone: _done,
    RecordRefused: _refused,
    RecordPayment: _paid,
    RecordGoodsBack: _goods_back,
    SetAside: _set_aside,
    CancelPurchase: _cancel,
    ExpirePurchase: _expire,
    RefundPurchase: _refund,
    CheckStep: _check_step,
    LookAtPayment: _look,
}
