"""The market's decider: each command and each fact, to the part that knows it."""

from __future__ import annotations

from domain.decision import Decision
from domain.market import distribution, issues, locks, orders, phases, price_views, retrace, sale
from domain.market.orders import Funded
from domain.market.state import Changes, Deciders, Market, Reserves, Timers
from domain.policy import MarketPolicy
from messages.ledger import LedgerTransaction
from messages.market import MarketCommand, MarketEvent
from messages.market.orders import PlaceOrder, ReplaceOrder

_DECIDERS: Deciders = {
    **issues.DECIDERS,
    **sale.DECIDERS,
    **locks.DECIDERS,
    **distribution.DECIDERS,
    **orders.DECIDERS,
    **phases.DECIDERS,  # after the issues: a termination closes the book
    **price_views.DECIDERS,
}
_CHANGES: Changes = {
    **issues.CHANGES,
    **sale.CHANGES,
    **locks.CHANGES,
    **distribution.CHANGES,
    **orders.CHANGES,
    **phases.CHANGES,
    **retrace.CHANGES,
}
_RESERVES: Reserves = {**sale.RESERVES, **distribution.RESERVES, **orders.RESERVES}
_TIMERS: Timers = {**locks.TIMERS, **orders.TIMERS}


def decide(
    policy: MarketPolicy, market: Market, command: MarketCommand | Funded, now_ms: int
) -> Decision[MarketEvent]:
    """What a command does; the book may be ahead of the facts. Raises the market's Refusals."""
    return _DECIDERS[type(command)](policy, market, command, now_ms)


def evolve(market: Market, event: MarketEvent) -> Market:
    """The market after a fact, changed in place."""
    _CHANGES[type(event)](market, event)
    return market


def prepared(policy: MarketPolicy, market: Market, command: MarketCommand) -> Funded | None:
    """What is decided in a command's place: orders with what `reserve` sets aside for them."""
    if isinstance(command, PlaceOrder | ReplaceOrder):
        return orders.funded(policy, market, command)
    return None


def reserve(
    policy: MarketPolicy, market: Market, command: MarketCommand, now_ms: int
) -> tuple[LedgerTransaction, ...]:
    """What must be there before the command is decided. Raises the market's Refusals."""
    find = _RESERVES.get(type(command))
    return () if find is None else find(policy, market, command, now_ms)


def reminded(name: str, due_at_ms: int) -> MarketCommand:
    """The command that a due timer becomes."""
    return _TIMERS[name](due_at_ms)
