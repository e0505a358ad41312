"""A venture in memory, with the ledger's balances beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.ventures import deciding, investing
from domain.ventures.policy import VenturePolicy
from domain.ventures.state import evolve
from messages.ventures.accounts import escrow
from messages.ventures.ventures import (
    Benefit,
    DraftVenture,
    Invest,
    InvestmentStatus,
    OpenRound,
    TierName,
    TierTerms,
    VentureStatus,
    WithdrawInvestment,
)
from tests.unit.goods_entities import ARTIST, Affording, check_sums, some_id, user
from tests.unit.rewards_entities import DAY_MS, T0

POLICY = VenturePolicy(returned_at_once=3)
VENTURE = "0197e000-0000-7000-8000-000000000001"
DEADLINE = T0 + 30 * DAY_MS
VINYL, NAME = Benefit("signed-vinyl", "A signed record"), Benefit("name", "Your name on it")
TIERS = (
    TierTerms(TierName.BRONZE, 500, (NAME,)),
    TierTerms(TierName.GOLD, 2_000, (NAME, VINYL)),
)


@dataclass
class VentureEntity(Affording):
    """Commands are paid for as the runtime has them paid for."""

    def send(self, command: Any, now_ms: int | None = None) -> Any:
        self.now_ms = self.now_ms if now_ms is None else now_ms
        self.afford(self.reserve(self.state, command))
        return super().send(command)


def new_venture() -> VentureEntity:
    return VentureEntity(
        POLICY, deciding.initial(VENTURE), deciding.decide, evolve, investing.reserve
    )


def draft(**changes: Any) -> DraftVenture:
    terms: dict[str, Any] = {
        "artist_user_id": ARTIST,
        "name": "A second record",
        "pitch": "Twelve songs.\n\nNo label.",
        "currency": "USD",
        "goal_minor": 5_000,
        "cap_minor": 20_000,
        "least_minor": 100,
        "most_minor": 3_000,
        "deadline_ms": DEADLINE,
        "tiers": TIERS,
    }
    return DraftVenture(**{**terms, **changes})


def opened(**changes: Any) -> VentureEntity:
    venture = new_venture()
    venture.send(draft(**changes))
    venture.send(OpenRound())
    return venture


def invest(number: int, investor: int, amount_minor: int, **changes: Any) -> Invest:
    facts: dict[str, Any] = {
        "investment_id": some_id(number),
        "investor_id": user(investor),
        "amount_minor": amount_minor,
    }
    return Invest(**{**facts, **changes})


def withdraw(number: int, investor: int = 0) -> WithdrawInvestment:
    return WithdrawInvestment(
        some_id(number), "changed my mind", user(investor) if investor else ""
    )


def rebuilt(venture: VentureEntity) -> Any:
    """The state that the journal alone makes."""
    state = deciding.initial(VENTURE)
    for event in venture.events:
        state = evolve(state, event)
    return state


def check(venture: VentureEntity) -> None:
    """Escrow is the sum of what stands invested; every currency sums to zero."""
    state = venture.state
    ones = state.investments.values()
    standing = [one for one in ones if one.status is InvestmentStatus.OPEN]
    total = sum(one.amount_minor for one in standing)
    assert sum(state.invested.values()) == total
    in_escrow = 0 if state.status is VentureStatus.FUNDED else total
    assert state.escrow_minor == in_escrow
    assert venture.ledger.balances[escrow(VENTURE, "USD")] == in_escrow
    raised = [one for one in ones if one.status is not InvestmentStatus.WITHDRAWN]
    assert state.raised_minor == sum(one.amount_minor for one in raised) <= state.asked.cap_minor
    assert state.investors == len({one.investor_id for one in raised})
    check_sums(venture)
