"""The market's decider: each command and each fact, to the part that knows it."""

from __future__ import annotations

from domain.decision import Decision
from domain.market import distribution, issues, locks, sale
from domain.market.state import Changes, Deciders, Market, Reserves, Timers
from domain.policy import MarketPolicy
from messages.ledger import LedgerTransaction
from messages.market import MarketCommand, MarketEvent

_DECIDERS: Deciders = {
    **issues.DECIDERS,
    **sale.DECIDERS,
    **locks.DECIDERS,
    **distribution.DECIDERS,
}
_CHANGES: Changes = {
    **issues.CHANGES,
    **sale.CHANGES,
    **locks.CHANGES,
    **distribution.CHANGES,
}
_RESERVES: Reserves = {**sale.RESERVES, **distribution.RESERVES}
_TIMERS: Timers = {**locks.TIMERS}


def decide(
    policy: MarketPolicy, market: Market, command: MarketCommand, now_ms: int
) -> Decision[MarketEvent]:
    """What a command does; the book may be ahead of the facts. Raises the market's Refusals."""
    return _DECIDERS[type(command)](policy, market, command, now_ms)


def evolve(market: Market, event: MarketEvent) -> Market:
    """The market after a fact, changed in place."""
    _CHANGES[type(event)](market, event)
    return market


def reserve(
    policy: MarketPolicy, market: Market, command: MarketCommand, now_ms: int
) -> tuple[LedgerTransaction, ...]:
    """What must be there before the command is decided. Raises the market's Refusals."""
    find = _RESERVES.get(type(command))
    return () if find is None else find(policy, market, command, now_ms)


def reminded(name: str, due_at_ms: int) -> MarketCommand:
    """The command that a due timer becomes."""
    return _TIMERS[name](due_at_ms)
