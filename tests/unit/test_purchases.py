"""Purchases by hand: what happens, in words, and where it leads."""

from __future__ import annotations

import pytest

from domain.purchases import deciding
from domain.purchases.deciding import decide
from domain.purchases.evolving import evolve
from domain.purchases.policy import DAY_MS, MINUTE_MS, POLICY, retry_after_ms, token_price_minor
from domain.purchases.state import Purchase, refund_id_of
from messages.errors import Refusal
from messages.keys import derive_id
from messages.payments.gateways import GatewayName, Method
from messages.payments.payments import Assessment, PaymentStatus, Purpose, StartPayment, Verdict
from messages.purchases.errors import (
    BadOrder,
    PurchaseNotFound,
    PurchaseStateForbids,
    RefundTooLate,
)
from messages.purchases.purchases import (
    CancelPurchase,
    CheckStep,
    ExpirePurchase,
    GetPurchase,
    LookAtPayment,
    MoneyBack,
    Outcome,
    PaymentNews,
    PurchaseCommand,
    RecordDone,
    RecordGoodsBack,
    RecordPayment,
    RecordRefused,
    RefundPurchase,
    StartPurchase,
    Step,
    StepOverdue,
)
from sagas.purchases import payment_id_of

T0 = 1_790_000_000_000
ID = derive_id("purchase")
PRICE = 1_000

# purpose, where the money comes from and goes back to | what happens | status, failure, what is
# wanted now. `+step` it is done, `-step` it is refused, `=status` the payment's news.
HISTORIES = """
wallet-topup card refund         | +pay =completed                          | completed
wallet-topup card refund         | +pay =failed                             | cancelled failed
wallet-topup card refund         | +pay =completed refund                   | returning > refund
wallet-topup card refund         | +pay =completed refund +refund           | returning
wallet-topup card refund         | +pay =completed refund +refund =refunded | refunded
wallet-topup card refund         | +pay =completed refund -refund           | completed no-refund
wallet-topup card refund         | +pay =completed =disputed                | refunded
nft-purchase card refund         |                                          | reserving > reserve
nft-purchase card refund         | -reserve                                 | cancelled no-reserve
nft-purchase card refund         | +reserve                                 | paying > pay
nft-purchase card refund         | +reserve +pay                            | paying
nft-purchase card refund         | +reserve +pay =completed                 | delivering > take
nft-purchase card refund         | +reserve +pay =completed +take           | completed
nft-purchase card refund         | +reserve -pay                            | undoing no-pay > release
nft-purchase card refund         | +reserve -pay +release                   | cancelled no-pay
nft-purchase card refund         | +reserve +pay =failed +release           | cancelled failed
nft-purchase card refund         | +reserve +pay expire                     | undoing expired > stop
nft-purchase card refund         | +reserve +pay expire -stop               | undoing expired > release
nft-purchase card refund         | +reserve +pay expire -stop +release      | undoing expired
nft-purchase card refund         | +reserve +pay expire -stop +release =completed | undoing expired > refund
nft-purchase card balance        | +reserve +pay expire -stop +release =completed | in_balance expired
nft-purchase card refund         | +reserve +pay cancel +stop +release =cancelled | cancelled cancel
nft-purchase balance refund      | +reserve +take                           | completed
nft-purchase balance refund      | +reserve +take refund +give-back         | refunded
share-purchase card refund       | +pay =completed -take                    | undoing no-take > refund
share-purchase card refund       | +pay =completed -take +refund =refunded  | compensated no-take
share-purchase card refund       | +pay =completed -take -refund            | in_balance no-refund
share-purchase card balance      | +pay =completed -take                    | in_balance no-take
share-purchase card refund       | +pay =underpaid                          | undoing underpaid > refund
share-purchase card refund       | +pay =completed +take refund             | completed shares-are-sold-on-the-market
share-purchase card refund       | +pay =completed -take +take              | returning no-take > refund
share-purchase card refund       | +pay =completed -take +take -refund      | completed shares-are-sold-on-the-market
share-purchase balance refund    | -take                                    | cancelled no-take
venture-investment card refund   | +pay =completed +take back               | returning round-failed > refund
venture-investment card balance  | +pay =completed +take back               | in_balance round-failed
venture-investment card refund   | +pay =completed +take =disputed          | returning > give-back
venture-investment card refund   | +pay =completed +take =disputed +give-back | refunded
venture-investment card refund   | +pay =completed +take refund -give-back  | completed no-give-back
venture-investment card refund   | +pay =disputed                           | compensated payment-reversed
campaign-sponsorship card refund | +pay =completed                          | delivering > set-aside
campaign-sponsorship card refund | +pay =completed -set-aside               | undoing no-set-aside > refund
"""  # noqa: E501 - a line is a history


def start(purpose: Purpose, by: str, money_back: MoneyBack) -> StartPurchase:
    paid = StartPayment(
        "ana", purpose, PRICE, "USD", Method.CARD, (GatewayName.STRIPE,), Assessment(Verdict.ALLOW)
    )
    counted = purpose in {Purpose.SHARE_PURCHASE, Purpose.NFT_PURCHASE}
    return StartPurchase(
        "ana", purpose, PRICE, "USD", "" if purpose is Purpose.TOP_UP else "goods",
        10 if counted else 0, PRICE // 10 if counted else 0,
        7_000 if purpose is Purpose.SPONSORSHIP else 0,
        paid if by == "card" else None, money_back,
    )  # fmt: skip


class Told:
    """A purchase that things are told to."""

    def __init__(self, order: StartPurchase) -> None:
        self.state, self.version, self.now = Purchase(ID), 0, T0
        self.ask(order)

    def ask(self, command: PurchaseCommand) -> object:
        decision = decide(POLICY, self.state, command, self.now)
        for event in decision.events:
            self.state = evolve(self.state, event)
        self.events = decision.events
        return decision.answer

    def tell(self, word: str) -> None:
        if word[0] in "+-":
            step = Step(word[1:])
            done = RecordDone(step, self.state.round)
            refused = RecordRefused(step, self.state.round, f"no-{step}")
            self.ask(done if word[0] == "+" else refused)
        elif word[0] == "=":
            self.ask(RecordPayment(self.news(word[1:])))
        else:
            others: dict[str, PurchaseCommand] = {
                "cancel": CancelPurchase("cancel"),
                "expire": ExpirePurchase(),
                "refund": RefundPurchase("wish", "ana", "x"),
                "back": RecordGoodsBack("round-failed"),
            }
            self.ask(others[word])

    def news(self, word: str) -> PaymentNews:
        self.version += 1
        received = {"failed": 0, "cancelled": 0, "underpaid": PRICE - 1}.get(word, PRICE)
        back = PRICE if word in {"refunded", "disputed"} else 0
        refunds = {refund_id_of(ID, self.state.round): "succeeded"} if word == "refunded" else {}
        status = PaymentStatus("completed" if word == "underpaid" else word)
        return PaymentNews(self.version, status, received, back, "", refunds)


@pytest.mark.parametrize("line", HISTORIES.strip().splitlines())
def test_a_history(line: str) -> None:
    order, words, expected = (part.split() for part in line.split("|"))
    told = Told(start(Purpose(order[0]), order[1], MoneyBack(order[2])))
    for word in words:
        told.tell(word)
    found = [told.state.status.value, told.state.failure]
    found += [">", told.state.waiting.value] if told.state.waiting else []
    assert [word for word in found if word] == expected


def test_a_step_without_an_answer_is_asked_for_again_later_each_time() -> None:
    told = Told(start(Purpose.SHARE_PURCHASE, "balance", MoneyBack.REFUND))
    for tries in range(3):
        told.ask(CheckStep(Step.TAKE))
        overdue = [e for e in told.events if isinstance(e, StepOverdue)]
        assert [(e.step, e.tries) for e in overdue] == [(Step.TAKE, tries)]
    assert [retry_after_ms(POLICY, n) // 1_000 for n in (0, 1, 2, 30)] == [5, 10, 20, 3_600]
    told.tell("+take")
    told.ask(CheckStep(Step.TAKE))
    assert told.events == ()


def test_an_open_payment_is_looked_at_and_a_settled_one_is_not() -> None:
    told = Told(start(Purpose.TOP_UP, "card", MoneyBack.REFUND))
    told.tell("+pay")
    told.ask(LookAtPayment())
    assert [e.step for e in told.events if isinstance(e, StepOverdue)] == [Step.LOOK]
    told.tell("=completed")
    told.ask(LookAtPayment())
    assert told.events == ()


def test_older_news_change_nothing() -> None:
    told = Told(start(Purpose.SHARE_PURCHASE, "card", MoneyBack.REFUND))
    told.tell("+pay")
    old = told.news("processing")
    told.tell("=completed")
    told.ask(RecordPayment(old))
    assert told.events == ()


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    told = Told(start(Purpose.NFT_PURCHASE, "balance", MoneyBack.REFUND))
    for word in ("+reserve", "+reserve", "-reserve"):
        told.tell(word)
    assert told.state.steps[Step.RESERVE].outcome is Outcome.DONE
    assert told.events == ()


def test_what_is_refused() -> None:
    with pytest.raises(PurchaseNotFound):
        decide(POLICY, Purchase(ID), GetPurchase(), T0)
    told = Told(start(Purpose.VENTURE_INVESTMENT, "card", MoneyBack.REFUND))
    with pytest.raises(PurchaseStateForbids):
        told.tell("refund")
    for word in ("+pay", "=completed", "+take"):
        told.tell(word)
    with pytest.raises(PurchaseStateForbids):
        told.tell("cancel")
    told.now += POLICY.refund_ms + 1
    with pytest.raises(RefundTooLate):
        told.tell("refund")
    told.ask(RefundPurchase("wish", "root", "x", is_staff=True))
    assert told.state.waiting is Step.GIVE_BACK


def test_orders_that_are_none() -> None:
    good = start(Purpose.NFT_PURCHASE, "card", MoneyBack.REFUND)
    assert good.payment is not None
    for purpose in Purpose:
        bad = StartPurchase("ana", purpose, 0, "USD", "goods")
        with pytest.raises(BadOrder):
            deciding.decide(POLICY, Purchase(ID), bad, T0)
    with pytest.raises(Refusal):
        Told(start(Purpose.TOP_UP, "balance", MoneyBack.REFUND))


def test_numbers() -> None:
    assert (POLICY.reserved_pay_ms, POLICY.refund_ms) == (30 * MINUTE_MS, 14 * DAY_MS)
    assert token_price_minor(POLICY, "USD") == 1
    assert token_price_minor(POLICY, "SOL") is None
    assert payment_id_of(ID) == payment_id_of(ID) != ID
