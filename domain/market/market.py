"""The market's decider: each command and each fact, to the part that knows it."""

from __future__ import annotations

from domain.decision import Decision
from domain.market import issues
from domain.market.state import Changes, Deciders, Market
from domain.policy import MarketPolicy
from messages.market import MarketCommand, MarketEvent

_DECIDERS: Deciders = {**issues.DECIDERS}
_CHANGES: Changes = {**issues.CHANGES}


def decide(
    policy: MarketPolicy, market: Market, command: MarketCommand, now_ms: int
) -> Decision[MarketEvent]:
    """What a command does; the book may be ahead of the facts. Raises the market's Refusals."""
    return _DECIDERS[type(command)](policy, market, command, now_ms)


def evolve(market: Market, event: MarketEvent) -> Market:
    """The market after a fact, changed in place."""
    _CHANGES[type(event)](market, event)
    return market
