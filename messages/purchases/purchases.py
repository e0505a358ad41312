"""A purchase: what its owner is asked, what happened to it, what callers see of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from messages.payments.payments import PaymentStatus, Purpose, StartPayment


class PurchaseStatus(StrEnum):
    """Derived from what happened, never set (`domain/purchases/status.py`)."""

    NEW = "new"
    RESERVING = "reserving"
    PAYING = "paying"
    DELIVERING = "delivering"
    COMPLETED = "completed"
    UNDOING = "undoing"  # nothing was delivered, and what was done is being undone
    CANCELLED = "cancelled"  # nothing was paid
    COMPENSATED = "compensated"  # nothing was delivered, and the money is back where it came from
    IN_BALANCE = "in_balance"  # the money is the buyer's balance
    RETURNING = "returning"
    REFUNDED = "refunded"  # the goods went back, and so did the money


class MoneyBack(StrEnum):
    """Where money goes that bought nothing: the way it came, or into the buyer's balance."""

    REFUND = "refund"
    BALANCE = "balance"


class Step(StrEnum):
    """What a purchase has somebody asked for, in this order as far as its purpose has them."""

    RESERVE = "reserve"
    PAY = "pay"
    SET_ASIDE = "set-aside"
    TAKE = "take"
    STOP = "stop"
    RELEASE = "release"
    GIVE_BACK = "give-back"
    REFUND = "refund"
    LOOK = "look"


class Outcome(StrEnum):
    """What came of a step."""

    WANTED = "wanted"
    DONE = "done"
    REFUSED = "refused"


class PaymentNews(msgspec.Struct, frozen=True, omit_defaults=True):
    """A payment as its owner saw it. The higher `version` is the later.

    refunds: how far each is, by its id.
    """

    version: int
    status: PaymentStatus
    received_minor: int
    returned_minor: int
    failure: str = ""
    refunds: dict[str, str] = {}


# --- commands ------------------------------------------------------------------------------------


class StartPurchase(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Begin a purchase of `amount_minor` in all.

    subject_id: of the issue, drop, venture or pool.  quantity, price_minor: of shares or tokens.
    payment: how the money comes; None: from the balance.  tokens_minor: reward tokens for a pool.
    """

    buyer_id: str
    purpose: Purpose
    amount_minor: int
    currency: str
    subject_id: str = ""
    quantity: int = 0
    price_minor: int = 0
    tokens_minor: int = 0
    payment: StartPayment | None = None
    money_back: MoneyBack = MoneyBack.REFUND


class RecordDone(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A step was done. `returned_minor`: of reward tokens, by a pool.  news: of the payment."""

    step: Step
    round: int
    returned_minor: int = 0
    news: PaymentNews | None = None


class RecordRefused(msgspec.Struct, frozen=True, tag=True):
    """Whoever was asked for a step will not."""

    step: Step
    round: int
    code: str


class RecordPayment(msgspec.Struct, frozen=True, tag=True):
    """Where the payment stands."""

    news: PaymentNews


class RecordGoodsBack(msgspec.Struct, frozen=True, tag=True):
    """The goods went back by themselves, and their price is the buyer's balance again."""

    reason: str


class SetAside(msgspec.Struct, frozen=True, tag=True):
    """Move a sponsor's money to where it backs the reward tokens that are created for it."""

    round: int


class CancelPurchase(msgspec.Struct, frozen=True, tag=True):
    """Give it up, unless it is paid."""

    reason: str


class RefundPurchase(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Take the goods back, and give the money back. `is_staff`: whenever it may be."""

    refund_id: str
    by: str
    reason: str
    is_staff: bool = False
    money_back: MoneyBack = MoneyBack.REFUND


class CheckStep(msgspec.Struct, frozen=True, tag=True):
    """Timer: a step should be done by now."""

    step: Step


class LookAtPayment(msgspec.Struct, frozen=True, tag=True):
    """Timer: nothing was heard of the payment for a while."""


class ExpirePurchase(msgspec.Struct, frozen=True, tag=True):
    """Timer: the buyer had all the time there is to pay."""


class GetPurchase(msgspec.Struct, frozen=True, tag=True):
    """Query: the purchase as it is."""


PurchaseCommand: TypeAlias = (
    StartPurchase
    | RecordDone
    | RecordRefused
    | RecordPayment
    | RecordGoodsBack
    | SetAside
    | CancelPurchase
    | RefundPurchase
    | CheckStep
    | LookAtPayment
    | ExpirePurchase
    | GetPurchase
)


# --- events --------------------------------------------------------------------------------------


class PurchaseStarted(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Journal only: all that was asked for."""

    purchase_id: str
    asked: StartPurchase
    pay_by_ms: int
    at_ms: int


class StepWanted(msgspec.Struct, frozen=True, tag=True):
    """Journal only: somebody has to be asked for a step, and to answer by `due_at_ms`.

    amount_minor: of a refund, which stays what it was when it was decided.
    """

    step: Step
    round: int
    amount_minor: int
    due_at_ms: int
    at_ms: int


class StepPostponed(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a step was not answered in time and is asked for again."""

    step: Step
    tries: int
    due_at_ms: int
    at_ms: int


class StepDone(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a step was done. `returned_minor`: what of the price is back by it."""

    step: Step
    returned_minor: int
    at_ms: int


class StepRefused(msgspec.Struct, frozen=True, tag=True):
    """Journal only: a step was refused."""

    step: Step
    code: str
    at_ms: int


class StepOverdue(msgspec.Struct, frozen=True, tag=True):
    """A step has no answer yet: whoever follows the bus for it asks again."""

    purchase_id: str
    step: Step
    round: int
    tries: int
    at_ms: int


class PaymentSeen(msgspec.Struct, frozen=True, tag=True):
    """Journal only: the payment stands somewhere else."""

    news: PaymentNews
    at_ms: int


class PurchaseEnding(msgspec.Struct, frozen=True, tag=True):
    """Journal only: it will not be delivered, for this reason; what was done is undone."""

    code: str
    at_ms: int


class PurchaseRefundAsked(msgspec.Struct, frozen=True, tag=True):
    """Journal only: the goods are to go back, and the money."""

    refund_id: str
    by: str
    reason: str
    money_back: MoneyBack
    is_staff: bool
    at_ms: int


class GoodsReturned(msgspec.Struct, frozen=True, tag=True):
    """Journal only: the goods went back by themselves."""

    reason: str
    returned_minor: int
    at_ms: int


class PurchaseChanged(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Public: where a purchase stands now, to its buyer.

    returned_minor: of its price, what the goods' return brought back.  failure: why it did not
    work out, or why the goods stay.
    """

    purchase_id: str
    buyer_id: str
    purpose: Purpose
    before: PurchaseStatus
    status: PurchaseStatus
    amount_minor: int
    currency: str
    returned_minor: int
    at_ms: int
    subject_id: str = ""
    failure: str = ""


PurchaseEvent: TypeAlias = (
    PurchaseStarted
    | StepWanted
    | StepPostponed
    | StepDone
    | StepRefused
    | StepOverdue
    | PaymentSeen
    | PurchaseEnding
    | PurchaseRefundAsked
    | GoodsReturned
    | PurchaseChanged
)
PUBLIC_PURCHASE_EVENTS: frozenset[type] = frozenset({StepOverdue, PurchaseChanged})


# --- views ---------------------------------------------------------------------------------------


class WantedStep(msgspec.Struct, frozen=True):
    """A step that somebody has to be asked for now."""

    step: Step
    round: int
    tries: int
    amount_minor: int = 0


class PurchaseView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A purchase as it is.

    `ending`: why nothing is delivered.  failure: that, or why goods stay."""

    purchase_id: str
    asked: StartPurchase
    status: PurchaseStatus
    created_at_ms: int
    changed_at_ms: int
    pay_by_ms: int
    returned_minor: int = 0
    failure: str = ""
    ending: str = ""
    payment: PaymentNews | None = None
    wanted: tuple[WantedStep, ...] = ()
