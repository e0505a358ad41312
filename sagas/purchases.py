"""From a buyer's money to the goods, or back: whom each step of a purchase asks, and for what.

    step        asks                      for
    reserve     drops                     ReserveTokens: kept until the buyer had time to pay
    pay         payments                  StartPayment, whose subject is the purchase
    set-aside   purchases                 SetAside: a sponsor's money backs reward tokens
    take        market, drops,            BuyShares, PurchaseReserved,
                ventures, pools           Invest, FundPool
    stop        payments                  CancelPayment
    release     drops                     ReleaseReservation
    give-back   drops, ventures, pools    ReturnTokens, WithdrawInvestment, ReturnFunding
    refund      payments                  RefundPayment
    look        payments                  GetPayment

Which step is next is the purchase's own to say (`domain/purchases/plan.py`). A step's key depends
on the purchase, the step and its round, so that whoever asks, and however often, it is one thing.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from domain.purchases.policy import POLICY
from domain.purchases.state import refund_id_of
from messages.drops.accounts import STREAM as DROPS
from messages.drops.drops import (
    PurchaseReserved,
    ReleaseReservation,
    ReserveTokens,
    ReturnTokens,
    TokensPurchased,
)
from messages.envelope import Event
from messages.keys import derive_id, derive_key
from messages.market import BuyShares, SharesBought
from messages.market.accounts import STREAM as MARKET
from messages.payments.accounts import STREAM as PAYMENTS
from messages.payments.payments import (
    CancelPayment,
    GetPayment,
    PaymentChanged,
    PaymentView,
    Purpose,
    RefundPayment,
)
from messages.purchases.accounts import STREAM, available, funding, purchase_of
from messages.purchases.purchases import (
    PaymentNews,
    PurchaseCommand,
    PurchaseView,
    RecordDone,
    RecordGoodsBack,
    RecordPayment,
    SetAside,
    Step,
    StepOverdue,
    WantedStep,
)
from messages.rewards import (
    CURRENCY,
    FundPool,
    ReturnFunding,
    RewardPoolFunded,
    RewardPoolFundingReturned,
)
from messages.rewards import STREAM as REWARDS
from messages.ventures.accounts import STREAM as VENTURES
from messages.ventures.ventures import (
    Invest,
    InvestmentMade,
    InvestmentReturned,
    WithdrawInvestment,
)

NAME = "purchases"
FIRST = 0  # the round that everything is delivered in
# Which events of whom concern purchases.
SIFTED = {
    STREAM: (StepOverdue.__name__,),
    PAYMENTS: (PaymentChanged.__name__,),
    VENTURES: (InvestmentReturned.__name__, InvestmentMade.__name__),
    MARKET: (SharesBought.__name__,),
    DROPS: (TokensPurchased.__name__,),
    REWARDS: (RewardPoolFunded.__name__,),
}
STREAMS = tuple(SIFTED)
PLATFORM = "platform"
UNDONE = "purchase-undone"
ROUND_FAILED = "venture-not-funded"


class StepCommand(msgspec.Struct, frozen=True):
    """What a step asks of the owner of `entity_id`, of kind `kind`."""

    kind: str
    entity_id: str
    command: msgspec.Struct
    key: bytes


class Told(msgspec.Struct, frozen=True):
    """What an event means to a purchase.

    command: for its owner at once.  look: at its payment first.  overdue: a step to ask again.
    """

    purchase_id: str
    event_id: str
    command: PurchaseCommand | None = None
    look: bool = False
    overdue: StepOverdue | None = None


def payment_id_of(purchase_id: str) -> str:
    """The id of a purchase's payment."""
    return derive_id("purchase-payment", purchase_id)


def asked(view: PurchaseView, wanted: WantedStep) -> StepCommand:
    """Whom a step asks, and for what."""
    kind, entity_id, command = _STEPS[wanted.step](view, wanted)
    # Goods go back once, however often that is asked for.
    number = FIRST if wanted.step is Step.GIVE_BACK else wanted.round
    parts: tuple[str | int, ...] = ("purchase-step", view.purchase_id, wanted.step.value, number)
    if wanted.step is Step.LOOK:
        parts = (*parts, view.payment.version if view.payment else 0, wanted.tries)
    return StepCommand(kind, entity_id, command, derive_key(*parts))


def done(wanted: WantedStep, answer: object) -> PurchaseCommand:
    """What the purchase's owner is told of an answer."""
    news = news_of(answer) if isinstance(answer, PaymentView) else None
    if wanted.step is Step.LOOK:
        assert news is not None, "a payment was looked at"
        return RecordPayment(news)
    back = answer.amount_minor if isinstance(answer, RewardPoolFundingReturned) else 0
    return RecordDone(wanted.step, wanted.round, back, news)


def news_of(payment: PaymentView) -> PaymentNews:
    """Where a payment stands."""
    return PaymentNews(
        version=payment.version,
        status=payment.status,
        received_minor=payment.received_minor,
        returned_minor=payment.returned_minor,
        failure=payment.failure,
        refunds={one.refund_id: one.status for one in payment.refunds},
    )


def react(event: Event) -> Told | None:
    """What an event means to a purchase; None for those that do not concern any."""
    found = _REACTIONS.get((event.stream, event.type))
    return found(event) if found else None


# --- events --------------------------------------------------------------------------------------

_changed = msgspec.json.Decoder(PaymentChanged).decode
_returned = msgspec.json.Decoder(InvestmentReturned).decode
_overdue = msgspec.json.Decoder(StepOverdue).decode


def _payment_changed(event: Event) -> Told | None:
    purchase_id = purchase_of(_changed(event.body).subject)
    return Told(purchase_id, event.event_id, look=True) if purchase_id else None


def _investment_returned(event: Event) -> Told:
    """An investment made without a purchase has an id of its own, and no purchase to tell."""
    fact = _returned(event.body)
    return Told(fact.investment_id, event.event_id, RecordGoodsBack(ROUND_FAILED))


def _delivered(fact: type[msgspec.Struct], named: str) -> Callable[[Event], Told]:
    """The owner's own word that it delivered: whoever asked may have died before they told.

    What was bought without a purchase has an id of its own, and no purchase to tell.
    """
    decode = msgspec.json.Decoder(fact).decode

    def reaction(event: Event) -> Told:
        delivered = RecordDone(Step.TAKE, FIRST)
        return Told(getattr(decode(event.body), named), event.event_id, delivered)

    return reaction


def _step_overdue(event: Event) -> Told:
    fact = _overdue(event.body)
    return Told(fact.purchase_id, event.event_id, overdue=fact)


_REACTIONS: dict[tuple[str, str], Callable[[Event], Told | None]] = {
    (PAYMENTS, PaymentChanged.__name__): _payment_changed,
    (VENTURES, InvestmentReturned.__name__): _investment_returned,
    (STREAM, StepOverdue.__name__): _step_overdue,
    (MARKET, SharesBought.__name__): _delivered(SharesBought, "purchase_id"),
    (DROPS, TokensPurchased.__name__): _delivered(TokensPurchased, "reservation_id"),
    (VENTURES, InvestmentMade.__name__): _delivered(InvestmentMade, "investment_id"),
    (REWARDS, RewardPoolFunded.__name__): _delivered(RewardPoolFunded, "funding_id"),
}

# --- steps ---------------------------------------------------------------------------------------

_Asks = tuple[str, str, msgspec.Struct]


def _reserve(view: PurchaseView, _wanted: WantedStep) -> _Asks:
    order = view.asked
    until = view.pay_by_ms + POLICY.grace_ms
    command = ReserveTokens(view.purchase_id, order.buyer_id, order.quantity, until)
    return "drops", order.subject_id, command


def _pay(view: PurchaseView, _wanted: WantedStep) -> _Asks:
    assert view.asked.payment is not None, "it is not paid from the balance"
    return "payments", payment_id_of(view.purchase_id), view.asked.payment


def _set_aside(view: PurchaseView, wanted: WantedStep) -> _Asks:
    return "purchases", view.purchase_id, SetAside(wanted.round)


def _take(view: PurchaseView, _wanted: WantedStep) -> _Asks:
    order = view.asked
    match order.purpose:
        case Purpose.SHARE_PURCHASE:
            bought = BuyShares(view.purchase_id, order.buyer_id, order.quantity, order.price_minor)
            return "market", order.subject_id, bought
        case Purpose.NFT_PURCHASE:
            return "drops", order.subject_id, PurchaseReserved(view.purchase_id)
        case Purpose.VENTURE_INVESTMENT:
            invested = Invest(view.purchase_id, order.buyer_id, order.amount_minor)
            return "ventures", order.subject_id, invested
        case Purpose.SPONSORSHIP:
            funded = FundPool(view.purchase_id, tokens_account(view), order.tokens_minor)
            return "pools", order.subject_id, funded
        case _:
            raise AssertionError(f"nobody delivers for {order.purpose}")


def _stop(view: PurchaseView, _wanted: WantedStep) -> _Asks:
    return "payments", payment_id_of(view.purchase_id), CancelPayment(view.ending)


def _release(view: PurchaseView, _wanted: WantedStep) -> _Asks:
    return "drops", view.asked.subject_id, ReleaseReservation(view.purchase_id, view.ending)


def _give_back(view: PurchaseView, _wanted: WantedStep) -> _Asks:
    order, reason = view.asked, UNDONE
    match order.purpose:
        case Purpose.NFT_PURCHASE:
            return "drops", order.subject_id, ReturnTokens(view.purchase_id, reason)
        case Purpose.VENTURE_INVESTMENT:
            withdrawn = WithdrawInvestment(view.purchase_id, reason, order.buyer_id)
            return "ventures", order.subject_id, withdrawn
        case Purpose.SPONSORSHIP:
            return_id = derive_id("purchase-return", view.purchase_id)
            returned = ReturnFunding(return_id, tokens_account(view), order.tokens_minor)
            return "pools", order.subject_id, returned
        case _:
            raise AssertionError(f"nobody takes back {order.purpose}")


def _refund(view: PurchaseView, wanted: WantedStep) -> _Asks:
    refund_id = refund_id_of(view.purchase_id, wanted.round)
    reason = view.ending or UNDONE
    command = RefundPayment(refund_id, wanted.amount_minor, reason, PLATFORM)
    return "payments", payment_id_of(view.purchase_id), command


def _look(view: PurchaseView, _wanted: WantedStep) -> _Asks:
    return "payments", payment_id_of(view.purchase_id), GetPayment()


def tokens_account(view: PurchaseView) -> str:
    """Where a sponsor's reward tokens are taken from, and go back to."""
    order = view.asked
    if order.currency == CURRENCY:
        return available(order.buyer_id, CURRENCY)
    return funding(view.purchase_id, CURRENCY)


_STEPS: dict[Step, Callable[[PurchaseView, WantedStep], _Asks]] = {
    Step.RESERVE: _reserve,
    Step.PAY: _pay,
    Step.SET_ASIDE: _set_aside,
    Step.TAKE: _take,
    Step.STOP: _stop,
    Step.RELEASE: _release,
    Step.GIVE_BACK: _give_back,
    Step.REFUND: _refund,
    Step.LOOK: _look,
}
