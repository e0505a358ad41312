"""What a venture does about a command: drafting, opening, closing, giving back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeAlias

from domain.decision import Decision, Forget, Remind
from domain.text import clean_reason
from domain.ventures import delivering, investing
from domain.ventures.cash import fund, give_back
from domain.ventures.investing import returned
from domain.ventures.policy import VenturePolicy
from domain.ventures.state import Venture, standing
from domain.ventures.terms import checked
from domain.ventures.views import drafted_view, venture_view
from messages.keys import is_id
from messages.ledger import LedgerTransaction
from messages.ventures.accounts import PURPOSE_RETURN
from messages.ventures.errors import (
    BadVenture,
    VentureExists,
    VentureNotFound,
    VentureStateForbids,
)
from messages.ventures.ventures import (
    CancelVenture,
    CloseRound,
    DraftVenture,
    EscrowReturned,
    GetVenture,
    OpenRound,
    ReturnInvestments,
    RoundOpened,
    VentureCancelled,
    VentureCommand,
    VentureDrafted,
    VentureEvent,
    VentureFailed,
    VentureFunded,
    VentureStatus,
)

Outcome: TypeAlias = Decision[VentureEvent]
CLOSE_TIMER, RETURN_TIMER = "close", "return"


def initial(entity_id: str) -> Venture:
    """A venture that was not drafted."""
    return Venture(entity_id)


def decide(
    policy: VenturePolicy, venture: Venture, command: VentureCommand, now_ms: int
) -> Outcome:
    """What a command does. Raises the Refusals of `messages.ventures.errors`."""
    if isinstance(command, DraftVenture):
        return _draft(policy, venture, command, now_ms)
    if venture.terms is None:
        raise VentureNotFound(venture_id=venture.venture_id)
    return _DECIDERS[type(command)](policy, venture, command, now_ms)


def reminded(name: str, due_at_ms: int) -> VentureCommand:
    """The command that a timer becomes."""
    if name == CLOSE_TIMER:
        return CloseRound()
    assert name == RETURN_TIMER, f"a venture sets no timer {name!r}"
    return ReturnInvestments(due_at_ms)


def _draft(policy: VenturePolicy, venture: Venture, command: DraftVenture, now_ms: int) -> Outcome:
    if venture.terms is not None:
        raise VentureExists(venture_id=venture.venture_id)
    if not is_id(venture.venture_id):
        raise BadVenture("this is no id", field="venture_id")
    terms = checked(policy, command, now_ms)
    event = VentureDrafted(venture.venture_id, terms, now_ms)
    return Decision((event,), drafted_view(venture.venture_id, terms, now_ms))


def _open(_policy: VenturePolicy, venture: Venture, _command: OpenRound, now_ms: int) -> Outcome:
    terms = venture.asked
    if venture.status is not VentureStatus.DRAFT:
        raise VentureStateForbids(status=venture.status.value)
    if now_ms >= terms.deadline_ms:
        raise BadVenture("the deadline has passed", field="deadline_ms")
    event = RoundOpened(
        venture.venture_id, terms.artist_user_id, terms.name, terms.deadline_ms, now_ms
    )
    view = venture_view(venture, status=VentureStatus.OPEN)
    return Decision((event,), view, timers=(Remind(CLOSE_TIMER, terms.deadline_ms),))


def _close(policy: VenturePolicy, venture: Venture, _command: CloseRound, now_ms: int) -> Outcome:
    if venture.status is not VentureStatus.OPEN:
        return Decision()
    terms, raised = venture.asked, venture.raised_minor
    if raised < terms.goal_minor:
        failed = VentureFailed(
            venture.venture_id,
            terms.artist_user_id,
            terms.currency,
            raised,
            terms.goal_minor,
            venture.investors,
            now_ms,
        )
        return Decision((failed,), timers=_giving_back(venture, now_ms))
    fee = policy.fee_minor(raised)
    funded = VentureFunded(
        venture.venture_id,
        terms.artist_user_id,
        terms.currency,
        raised,
        fee,
        venture.investors,
        now_ms,
    )
    return Decision((funded,), transactions=(fund(venture, fee),))


def _cancel(
    policy: VenturePolicy, venture: Venture, command: CancelVenture, now_ms: int
) -> Outcome:
    if venture.status not in (VentureStatus.DRAFT, VentureStatus.OPEN):
        raise VentureStateForbids(status=venture.status.value)
    event = VentureCancelled(
        venture.venture_id,
        venture.asked.artist_user_id,
        venture.asked.currency,
        venture.raised_minor,
        clean_reason(command.reason, policy.max_reason),
        venture.investors,
        now_ms,
    )
    view = venture_view(venture, status=VentureStatus.CANCELLED)
    return Decision((event,), view, timers=(Forget(CLOSE_TIMER), *_giving_back(venture, now_ms)))


def _giving_back(venture: Venture, now_ms: int) -> tuple[Remind, ...]:
    return (Remind(RETURN_TIMER, now_ms),) if venture.escrow_minor else ()


def _return(
    policy: VenturePolicy, venture: Venture, command: ReturnInvestments, now_ms: int
) -> Outcome:
    """The next of them. A timer's moment is part of its key, so the next one's is a later one."""
    if not venture.is_returning or not venture.escrow_minor:
        return Decision()
    following = islice(standing(venture), policy.returned_at_once)
    events: list[VentureEvent] = []
    moved: list[LedgerTransaction] = []
    left = venture.escrow_minor
    for investment_id, one in following:
        events.append(returned(venture, investment_id, one, now_ms))
        moved.append(give_back(venture, investment_id, one, PURPOSE_RETURN))
        left -= one.amount_minor
    if not left:
        events.append(EscrowReturned(venture.venture_id, now_ms))
        return Decision(tuple(events), transactions=tuple(moved))
    due_at_ms = max(now_ms, command.due_at_ms + 1)
    return Decision(
        tuple(events), transactions=tuple(moved), timers=(Remind(RETURN_TIMER, due_at_ms),)
    )


def _look(_policy: VenturePolicy, venture: Venture, _command: GetVenture, _now_ms: int) -> Outcome:
    return Decision(answer=venture_view(venture))


_DECIDERS: dict[type, Callable[[VenturePolicy, Venture, Any, int], Outcome]] = {
    OpenRound: _open,
    CloseRound: _close,
    CancelVenture: _cancel,
    ReturnInvestments: _return,
    GetVenture: _look,
    **investing.DECIDERS,
    **delivering.DECIDERS,
}
