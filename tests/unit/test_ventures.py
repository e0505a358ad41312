"""Ventures: terms, states, limits, tiers, escrow, returns, benefits."""

from __future__ import annotations

from typing import Any

import pytest

from domain.policy import PlatformPhase
from domain.ventures import deciding, investing
from domain.ventures.policy import venture_policy
from messages.errors import InsufficientFunds, Refusal
from messages.ventures.accounts import available, escrow, fees
from messages.ventures.errors import (
    BadInvestment,
    BadVenture,
    BenefitNotFound,
    BenefitStateForbids,
    InvestmentExists,
    InvestmentIsFinal,
    InvestmentNotFound,
    InvestorLimit,
    OwnVenture,
    VentureExists,
    VentureFull,
    VentureNotFound,
    VentureStateForbids,
)
from messages.ventures.ventures import (
    Benefit,
    CancelVenture,
    CloseRound,
    ConfirmBenefit,
    ContestBenefit,
    DeliverBenefit,
    GetInvestment,
    GetInvestor,
    GetVenture,
    InvestmentStatus,
    OpenRound,
    ReturnInvestments,
    TierName,
    TierTerms,
    VentureStatus,
)
from tests.unit.goods_entities import ARTIST, fund, some_id, user
from tests.unit.rewards_entities import DAY_MS, T0
from tests.unit.ventures_entities import (
    DEADLINE,
    NAME,
    VENTURE,
    VINYL,
    VentureEntity,
    check,
    draft,
    invest,
    new_venture,
    opened,
    rebuilt,
    withdraw,
)

BRONZE, SILVER = TierTerms(TierName.BRONZE, 10, ()), TierTerms(TierName.SILVER, 20, ())


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("name", {"name": "ab"}),
        ("name", {"name": "a" * 101}),
        ("pitch", {"pitch": "  "}),
        ("pitch", {"pitch": "a" * 5_001}),
        ("currency", {"currency": "ETH"}),
        ("song_id", {"song_id": "x"}),
        ("artist_user_id", {"artist_user_id": ""}),
        ("deadline_ms", {"deadline_ms": T0 + DAY_MS - 1}),
        ("deadline_ms", {"deadline_ms": T0 + 90 * DAY_MS + 1}),
        ("cap_minor", {"cap_minor": 1_000_000 * 100 + 1}),
        ("goal_minor", {"goal_minor": 0}),
        ("goal_minor", {"goal_minor": 20_001}),
        ("most_minor", {"most_minor": 20_001}),
        ("least_minor", {"least_minor": 0}),
        ("least_minor", {"least_minor": 3_001}),
        ("tiers", {"tiers": (SILVER, BRONZE)}),
        ("tiers", {"tiers": (BRONZE, BRONZE)}),
        ("tiers", {"tiers": (BRONZE, TierTerms(TierName.GOLD, 10, ()))}),
        ("tiers", {"tiers": (TierTerms(TierName.GOLD, 3_001, ()),)}),
        ("tiers", {"tiers": (TierTerms(TierName.GOLD, 0, ()),)}),
        ("benefits", {"tiers": (TierTerms(TierName.GOLD, 10, (NAME, NAME)),)}),
        ("benefits", {"tiers": (TierTerms(TierName.GOLD, 10, (Benefit("No:", "x"),)),)}),
        ("benefits", {"tiers": (TierTerms(TierName.GOLD, 10, (Benefit("no", ""),)),)}),
    ],
)
def test_terms_out_of_range_are_refused(field: str, changes: dict[str, Any]) -> None:
    venture = new_venture()
    with pytest.raises(BadVenture) as refused:
        venture.send(draft(**changes))
    assert refused.value.params == {"field": field}
    assert venture.events == []


@pytest.mark.parametrize(
    ("phase", "fee"),
    [(PlatformPhase.LAUNCH, 250), (PlatformPhase.GROWTH, 350), (PlatformPhase.SCALE, 500)],
)
def test_the_platforms_part_follows_its_phase(phase: PlatformPhase, fee: int) -> None:
    assert venture_policy(phase).fee_minor(10_000) == fee


STEPS = {"open": OpenRound(), "close": CloseRound(), "cancel": CancelVenture("why")}
# Where each step leads from each state; -: refused.
MOVES = """
           open  close      cancel
draft      open  draft      cancelled
open       -     failed     cancelled
funded     -     funded     -
failed     -     failed     -
cancelled  -     cancelled  -
"""


def in_state(name: str) -> VentureEntity:
    venture = new_venture()
    venture.send(draft())
    if name == "cancelled":
        venture.send(CancelVenture())
    elif name != "draft":
        venture.send(OpenRound())
    if name == "funded":
        raise_goal(venture)
    if name in ("funded", "failed"):
        venture.send(CloseRound(), DEADLINE)
    return venture


def raise_goal(venture: VentureEntity) -> None:
    for number, amount in ((1, 3_000), (2, 1_500), (3, 500)):
        fund(venture, user(number))
        venture.send(invest(number, number, amount))


@pytest.mark.parametrize("row", MOVES.strip().splitlines()[1:], ids=lambda row: row.split()[0])
def test_every_step_from_every_state(row: str) -> None:
    start, *ends = row.split()
    for step, end in zip(MOVES.split()[:3], ends, strict=True):
        venture = in_state(start)
        if end == "-":
            with pytest.raises(VentureStateForbids):
                venture.send(STEPS[step])
        else:
            venture.send(STEPS[step])
        assert venture.send(GetVenture()).status == (start if end == "-" else end), (start, step)
        assert rebuilt(venture) == venture.state


def test_what_was_not_drafted_is_not_there() -> None:
    for command in (OpenRound(), GetVenture(), invest(1, 1, 100), GetInvestment(some_id(1))):
        with pytest.raises(VentureNotFound):
            new_venture().send(command)
    with pytest.raises(VentureExists):
        opened().send(draft())
    late = new_venture()
    late.send(draft())
    with pytest.raises(BadVenture):
        late.send(OpenRound(), DEADLINE)


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (BadInvestment, invest(1, 1, 99)),
        (BadInvestment, invest(1, 1, -5)),
        (BadInvestment, invest(1, 1, 100, investment_id="x")),
        (BadInvestment, invest(1, 1, 100, investor_id="x")),
        (InvestorLimit, invest(1, 1, 3_001)),
        (OwnVenture, invest(1, 1, 100, investor_id=ARTIST)),
        (InsufficientFunds, invest(1, 2, 100)),
    ],
)
def test_what_cannot_be_invested(error: type[Refusal], command: Any) -> None:
    venture = opened()
    fund(venture, user(1))
    fund(venture, ARTIST)
    events = len(venture.events)
    with pytest.raises(error):
        venture.send(command)
    assert len(venture.events) == events
    check(venture)


def test_limits_of_an_investor_and_of_the_round() -> None:
    venture = opened(cap_minor=5_000)
    for number in (1, 2):
        fund(venture, user(number))
    venture.send(invest(1, 1, 2_000))
    with pytest.raises(InvestorLimit) as refused:
        venture.send(invest(2, 1, 1_001))
    assert refused.value.params == {"left_minor": 1_000}
    assert venture.send(invest(2, 1, 1_000)).invested_minor == 3_000
    with pytest.raises(VentureFull) as full:
        venture.send(invest(3, 2, 2_001))
    assert full.value.params == {"left_minor": 2_000}
    venture.send(invest(3, 2, 2_000))
    venture.send(withdraw(1))
    venture.send(invest(4, 2, 1_000))
    check(venture)


def test_nothing_is_taken_after_the_deadline_though_its_timer_is_late() -> None:
    venture = opened()
    fund(venture, user(1))
    with pytest.raises(VentureStateForbids):
        venture.send(invest(1, 1, 100), DEADLINE)


@pytest.mark.parametrize(
    ("amount", "tier"), [(499, None), (500, "bronze"), (1_999, "bronze"), (2_000, "gold")]
)
def test_the_tier_follows_the_sum(amount: int, tier: str | None) -> None:
    venture = opened()
    fund(venture, user(1))
    assert venture.send(invest(1, 1, 100)).tier is None
    assert venture.send(invest(2, 1, amount - 100)).tier == tier
    view = venture.send(GetInvestor(user(1)))
    assert (view.tier, view.invested_minor) == (tier, amount)


def test_a_funded_venture_pays_the_artist_and_the_platform() -> None:
    venture = in_state("funded")
    balances = venture.ledger.balances
    assert balances[available(ARTIST, "USD")] == 4_875
    assert balances[fees("USD")] == 125
    assert balances[escrow(VENTURE, "USD")] == 0
    view = venture.send(GetVenture())
    assert (view.raised_minor, view.fee_minor, view.escrow_minor) == (5_000, 125, 0)
    assert venture.send(GetInvestment(some_id(1))).status is InvestmentStatus.FUNDED
    with pytest.raises(InvestmentIsFinal):
        venture.send(withdraw(1))
    check(venture)


def test_a_goal_missed_by_the_least_is_missed() -> None:
    venture = opened(goal_minor=5_001)
    raise_goal(venture)
    venture.send(CloseRound(), DEADLINE)
    assert venture.state.status is VentureStatus.FAILED


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_what_came_to_nothing_goes_back_in_runs(how: str) -> None:
    venture = opened(goal_minor=20_000)
    for number in range(1, 9):
        fund(venture, user(number), 1_000)
        venture.send(invest(number, number, 100 + number))
    venture.send(withdraw(8))
    command = CancelVenture("x") if how == "cancelled" else CloseRound()
    venture.send(command, DEADLINE)
    runs, due = 0, DEADLINE
    assert venture.timers["return"] == due
    while "return" in venture.timers:
        due = venture.timers.pop("return")
        venture.send(deciding.reminded("return", due))
        runs += 1
        check(venture)
        assert venture.timers.get("return", due + 1) > due  # or it would count as answered before
    assert runs == 3  # of 3, 3 and 1
    for number in range(1, 9):
        assert venture.ledger.balances[available(user(number), "USD")] == 1_000
    assert venture.names()[-1] == "EscrowReturned"
    assert venture.names().count("InvestmentReturned") == 7
    view = venture.send(GetVenture())
    assert (view.raised_minor, view.escrow_minor, view.investors) == (728, 0, 7)
    events = len(venture.events)
    venture.send(ReturnInvestments(due))
    assert len(venture.events) == events


def test_who_asks_during_the_run_has_it_at_once() -> None:
    venture = opened()
    for number in (1, 2):
        fund(venture, user(number), 1_000)
        venture.send(invest(number, number, 1_000))
    venture.send(CancelVenture())
    assert venture.send(withdraw(2)).status is InvestmentStatus.RETURNED
    assert venture.send(withdraw(1)).status is InvestmentStatus.RETURNED
    assert venture.names()[-1] == "EscrowReturned"
    venture.send(ReturnInvestments(T0))
    check(venture)


def test_a_round_without_investors_has_nothing_to_give_back() -> None:
    venture = opened()
    venture.send(CancelVenture())
    assert venture.timers == {}


def test_asked_again_each_step_answers_the_same_and_moves_nothing() -> None:
    venture = opened()
    fund(venture, user(1))
    for step in (invest(1, 1, 300), withdraw(1), invest(2, 1, 300)):
        first = venture.send(step)
        events = len(venture.events)
        assert venture.send(step) == first
        assert len(venture.events) == events
    assert venture.send(invest(1, 1, 300)).status is InvestmentStatus.WITHDRAWN
    for other in (invest(2, 2, 300), invest(2, 1, 301)):
        with pytest.raises(InvestmentExists):
            venture.send(other)
    check(venture)


def test_an_investment_is_its_investors() -> None:
    venture = opened()
    fund(venture, user(1))
    venture.send(invest(1, 1, 300))
    for command in (withdraw(1, investor=2), withdraw(2), GetInvestment(some_id(2))):
        with pytest.raises(InvestmentNotFound):
            venture.send(command)
    assert venture.send(withdraw(1, investor=1)).status is InvestmentStatus.WITHDRAWN


def test_benefits_go_from_due_to_confirmed() -> None:
    venture = in_state("funded")
    assert statuses(venture, 1) == {"name": "due", "signed-vinyl": "due"}
    assert statuses(venture, 2) == {"name": "due"}
    with pytest.raises(BenefitStateForbids):
        venture.send(ConfirmBenefit("name", user(1)))
    with pytest.raises(BenefitStateForbids):
        venture.send(ContestBenefit("name", user(1), "not there"))
    venture.send(DeliverBenefit("name", (user(1), user(2), user(1))))
    assert venture.names().count("BenefitDelivered") == 2
    venture.send(DeliverBenefit("name", (user(1),)))
    assert venture.names().count("BenefitDelivered") == 2
    venture.send(ContestBenefit("name", user(2), "misspelt"))
    venture.send(DeliverBenefit("name", (user(2),)))
    view = venture.send(ConfirmBenefit("name", user(2)))
    assert view.benefits[0].status == "confirmed" == statuses(venture, 2)["name"]
    with pytest.raises(BenefitStateForbids):
        venture.send(ContestBenefit("name", user(2), "after all"))
    assert statuses(venture, 1) == {"name": "delivered", "signed-vinyl": "due"}
    assert rebuilt(venture) == venture.state


def statuses(venture: VentureEntity, investor: int) -> dict[str, str]:
    view = venture.send(GetInvestor(user(investor)))
    return {one.benefit_id: one.status.value for one in view.benefits}


def test_only_what_was_promised_is_delivered() -> None:
    venture = in_state("funded")
    for benefit_id, investors in (("signed-vinyl", (2,)), ("name", (1, 9)), ("other", (1,))):
        with pytest.raises(BenefitNotFound):
            venture.send(DeliverBenefit(benefit_id, tuple(map(user, investors))))
    for many in (0, 101):
        with pytest.raises(BadVenture):
            venture.send(DeliverBenefit("name", tuple(map(user, range(many)))))
    waiting = opened()
    with pytest.raises(VentureStateForbids):
        waiting.send(DeliverBenefit("name", (user(1),)))
    assert VINYL.benefit_id in {one.benefit_id for one in venture.state.asked.tiers[1].benefits}


def test_money_is_asked_for_by_terms_alone() -> None:
    """An investment in a venture that its batch did not know would get nothing from the ledger."""
    with pytest.raises(VentureNotFound):
        investing.reserve(new_venture().state, invest(1, 1, 100))
