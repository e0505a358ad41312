"""Orders that are decided one after the other and become one entry of their book's journal.

An entry costs what it costs however many commands are in it: its hash, the levels that changed,
quotes, what is told of each order and holding, which is what the last of them left. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.decision import Forget, Remind
from domain.market.advance import Advance, Consequence
from domain.market.orders import Funded, tell_order, timers_after
from domain.market.state import Market
from domain.policy import MarketPolicy
from messages.errors import Refusal
from messages.ledger import LedgerTransaction
from messages.market.accounts import available
from messages.market.orders import (
    CancelOrder,
    EntryJoined,
    OrdersAdvanced,
    OrderView,
    Phase,
    PlaceOrder,
    ReplaceOrder,
)

MAX_COMMANDS: Final = 128  # of an entry: a page of a public journal is not to outgrow its readers
COMMANDS: Final = frozenset({PlaceOrder, ReplaceOrder, CancelOrder})


class Gathered(NamedTuple):
    """What came of them. told: follows from the fact, is told, and not kept.

    transactions: holds and releases are the sum of each user's, what `needs` said among them.
    """

    fact: OrdersAdvanced
    told: Sequence[Consequence]
    transactions: Sequence[LedgerTransaction]
    timers: Sequence[Remind | Forget]


class Gathering:
    """`take` orders until it is full, then `finish`, if it has any. The book is ahead meanwhile."""

    def __init__(self, policy: MarketPolicy, market: Market, now_ms: int) -> None:
        trading = market.trading
        assert trading is not None, "a book that was opened"
        self._policy = policy
        self._market = market
        self._trading = trading
        self._advance = Advance(market, now_ms, together=True)
        self._halts = False
        self.part = EntryJoined(trading.number + 1)

    @property
    def transactions(self) -> int:
        """How many the ledger has to post for it so far, besides what is set aside."""
        return len(self._advance.transactions)

    @property
    def is_empty(self) -> bool:
        """Whether nothing came of what it was given."""
        return not self._advance.commands

    @property
    def is_full(self) -> bool:
        """Whether the next order has to go elsewhere."""
        return self._halts or self._advance.commands >= MAX_COMMANDS

    def take(self, order: Funded | CancelOrder) -> OrderView:
        """Decide an order. Raises the market's Refusals; then it has changed nothing."""
        advance = self._advance
        try:
            entered, self._halts = tell_order(self._policy, self._market, order, advance)
        except Refusal:
            advance.drop()
            raise
        advance.settle(entered)
        answer = advance.answer()
        assert answer is not None, "an order that is told changes at least itself"
        return answer

    def finish(self) -> Gathered:
        """Everything that follows from them."""
        trading, advance = self._trading, self._advance
        before_ms = trading.until_ms
        phase, until_ms = trading.phase, trading.until_ms
        if self._halts:
            phase, until_ms = Phase.HALTED, advance.now_ms + self._policy.halt_ms
        fact, told = advance.finish_together(phase, until_ms)
        timers = timers_after(trading, advance, before_ms)
        return Gathered(fact, told, advance.transactions, timers)


def gathering(policy: MarketPolicy, market: Market, now_ms: int) -> Gathering | None:
    """Where orders of a market come together; nowhere if it has no book."""
    return None if market.trading is None else Gathering(policy, market, now_ms)


def needs(market: Market, order: Funded | CancelOrder) -> tuple[str, int] | None:
    """The account and the cash in it that an order takes before it is decided, if any."""
    if type(order) is CancelOrder:
        return None
    assert isinstance(order, Funded), "what is placed or replaced"
    if not order.reserved_minor:
        return None
    return available(order.command.user_id, market.issue.currency), order.reserved_minor
