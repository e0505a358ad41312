"""Putting money in escrow, and taking it out while that may be done. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec.structs import replace

from domain.decision import Decision
from domain.text import clean_reason
from domain.ventures.cash import give_back, invest
from domain.ventures.policy import VenturePolicy
from domain.ventures.state import Investment, Venture
from domain.ventures.views import investment_view, investor_view
from messages.keys import is_id
from messages.ledger import LedgerTransaction
from messages.ventures.accounts import PURPOSE_RETURN, PURPOSE_WITHDRAWAL
from messages.ventures.errors import (
    BadInvestment,
    InvestmentExists,
    InvestmentIsFinal,
    InvestmentNotFound,
    InvestorLimit,
    OwnVenture,
    VentureFull,
    VentureNotFound,
    VentureStateForbids,
)
from messages.ventures.ventures import (
    EscrowReturned,
    GetInvestment,
    GetInvestor,
    Invest,
    InvestmentMade,
    InvestmentReturned,
    InvestmentStatus,
    InvestmentWithdrawn,
    RaisedChanged,
    VentureCommand,
    VentureEvent,
    VentureStatus,
    WithdrawInvestment,
)

Outcome: TypeAlias = Decision[VentureEvent]


def reserve(venture: Venture, command: VentureCommand) -> tuple[LedgerTransaction, ...]:
    """The money of an investment. It follows from the command and terms that never change."""
    if not isinstance(command, Invest) or command.investment_id in venture.investments:
        return ()
    if venture.terms is None:  # drafted in this very batch, it would get its money for nothing
        raise VentureNotFound(venture_id=venture.venture_id)
    _check_form(venture, command)
    return (invest(venture, command),)


def _check_form(venture: Venture, command: Invest) -> None:
    rules = {
        "investment_id": is_id(command.investment_id),
        "investor_id": is_id(command.investor_id),
        "amount_minor": command.amount_minor >= venture.asked.least_minor,
    }
    for field, holds in rules.items():
        if not holds:
            least = venture.asked.least_minor
            raise BadInvestment(f"the {field} is out of range", field=field, least_minor=least)


def _invest(_policy: VenturePolicy, venture: Venture, command: Invest, now_ms: int) -> Outcome:
    known = venture.investments.get(command.investment_id)
    if known is not None:
        if (known.investor_id, known.amount_minor) != (command.investor_id, command.amount_minor):
            raise InvestmentExists(investment_id=command.investment_id)
        return Decision(answer=investment_view(venture, command.investment_id, known))
    _check(venture, command, now_ms)
    made = InvestmentMade(
        venture.venture_id,
        command.investment_id,
        command.investor_id,
        venture.asked.currency,
        command.amount_minor,
        now_ms,
    )
    is_new = command.investor_id not in venture.invested
    told = _raised(venture, command.amount_minor, int(is_new), now_ms)
    one = Investment(command.investor_id, command.amount_minor)
    view = investment_view(venture, command.investment_id, one, command.amount_minor)
    return Decision((made, told), view)


def _check(venture: Venture, command: Invest, now_ms: int) -> None:
    """Refuse what the round cannot take."""
    _check_form(venture, command)
    terms = venture.asked
    if venture.status is not VentureStatus.OPEN:
        raise VentureStateForbids(status=venture.status.value)
    if now_ms >= terms.deadline_ms:
        raise VentureStateForbids("the deadline has passed", status=venture.status.value)
    if command.investor_id == terms.artist_user_id:
        raise OwnVenture
    allowed = terms.most_minor - venture.invested.get(command.investor_id, 0)
    if command.amount_minor > allowed:
        raise InvestorLimit(left_minor=allowed)
    left = terms.cap_minor - venture.raised_minor
    if command.amount_minor > left:
        raise VentureFull(left_minor=left)


def _withdraw(
    policy: VenturePolicy, venture: Venture, command: WithdrawInvestment, now_ms: int
) -> Outcome:
    investment_id = command.investment_id
    one = _find(venture, investment_id, command.investor_id)
    if one.status is not InvestmentStatus.OPEN:
        return Decision(answer=investment_view(venture, investment_id, one))
    if venture.status is VentureStatus.FUNDED:
        raise InvestmentIsFinal(investment_id=investment_id)
    if venture.is_returning:
        return _return_now(venture, investment_id, one, now_ms)
    withdrawn = InvestmentWithdrawn(
        venture.venture_id,
        investment_id,
        one.investor_id,
        venture.asked.currency,
        one.amount_minor,
        clean_reason(command.reason, policy.max_reason),
        now_ms,
    )
    leaves = venture.invested[one.investor_id] == one.amount_minor
    told = _raised(venture, -one.amount_minor, -int(leaves), now_ms)
    return Decision(
        (withdrawn, told),
        _gone(venture, investment_id, one, InvestmentStatus.WITHDRAWN),
        (give_back(venture, investment_id, one, PURPOSE_WITHDRAWAL),),
    )


def _return_now(venture: Venture, investment_id: str, one: Investment, now_ms: int) -> Outcome:
    """It is on its way back anyway: whoever asks need not wait."""
    events: list[VentureEvent] = [returned(venture, investment_id, one, now_ms)]
    if venture.escrow_minor == one.amount_minor:
        events.append(EscrowReturned(venture.venture_id, now_ms))
    return Decision(
        tuple(events),
        _gone(venture, investment_id, one, InvestmentStatus.RETURNED),
        (give_back(venture, investment_id, one, PURPOSE_RETURN),),
    )


def returned(
    venture: Venture, investment_id: str, one: Investment, now_ms: int
) -> InvestmentReturned:
    """The fact that an investment of a round that came to nothing went back."""
    return InvestmentReturned(
        venture.venture_id,
        investment_id,
        one.investor_id,
        venture.asked.currency,
        one.amount_minor,
        now_ms,
    )


def _gone(venture: Venture, investment_id: str, one: Investment, status: InvestmentStatus) -> Any:
    return investment_view(venture, investment_id, replace(one, status=status), -one.amount_minor)


def _raised(venture: Venture, more_minor: int, investors: int, now_ms: int) -> RaisedChanged:
    return RaisedChanged(
        venture.venture_id,
        venture.asked.currency,
        venture.raised_minor + more_minor,
        venture.asked.goal_minor,
        venture.investors + investors,
        now_ms,
    )


def _find(venture: Venture, investment_id: str, investor_id: str = "") -> Investment:
    one = venture.investments.get(investment_id)
    if one is None or investor_id not in ("", one.investor_id):
        raise InvestmentNotFound(investment_id=investment_id)
    return one


def _look(_policy: VenturePolicy, venture: Venture, command: GetInvestment, now_ms: int) -> Outcome:
    one = _find(venture, command.investment_id)
    return Decision(answer=investment_view(venture, command.investment_id, one))


def _look_at_investor(
    _policy: VenturePolicy, venture: Venture, command: GetInvestor, now_ms: int
) -> Outcome:
    return Decision(answer=investor_view(venture, command.investor_id))


DECIDERS: dict[type, Callable[[VenturePolicy, Venture, Any, int], Outcome]] = {
    Invest: _invest,
    WithdrawInvestment: _withdraw,
    GetInvestment: _look,
    GetInvestor: _look_at_investor,
}
