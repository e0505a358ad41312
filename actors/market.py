"""The owners of share issues, each with its holders and its order book."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from actors.runtime.kind import Applied, Asked, EntityKind, Told
from domain.decision import Decision
from domain.market import gathering, market
from domain.market.gathering import Gathering
from domain.market.orders import Funded
from domain.market.state import Market, StoredMarket, initial, restored, stored
from domain.market.telling import subject, together
from domain.policy import MarketPolicy
from messages.ledger import LedgerTransaction
from messages.market import (
    OWNER_EVENTS,
    PUBLIC_EVENTS,
    ActivateIssue,
    DistributeRevenue,
    GetHolding,
    GetIssue,
    GetPrices,
    MarketAnswer,
    MarketCommand,
    MarketEvent,
)
from messages.market.accounts import PURPOSE_HOLD, PURPOSE_RELEASE, STREAM, book_channel
from messages.market.orders import CancelOrder, GetBook
from messages.users import user_channel
from storage import market_candles as candles_storage
from storage import market_issues as issues_storage
from storage import market_orders as orders_storage
from storage.database import Connection


class MarketKind(EntityKind[Market, MarketCommand, MarketEvent]):
    """Entity issue id: the only one that moves the issue's shares, and the cash of its trades."""

    name = "market"
    stream = STREAM
    command_type = MarketCommand
    event_type = MarketEvent
    state_type = StoredMarket
    answer_type = MarketAnswer
    queries: ClassVar[frozenset[type]] = frozenset({GetIssue, GetHolding, GetBook, GetPrices})
    public: ClassVar[frozenset[type]] = PUBLIC_EVENTS
    snapshot_every: ClassVar[int] = 10_000  # some 3,000 orders: a fifth of a second to redo
    decides_ahead: ClassVar[bool] = True
    overlaps: ClassVar[bool] = True
    netted: ClassVar[frozenset[str]] = frozenset({PURPOSE_HOLD, PURPOSE_RELEASE})
    gathered: ClassVar[frozenset[type]] = gathering.COMMANDS

    def __init__(self, policy: MarketPolicy) -> None:
        self._policy = policy

    def initial(self, entity_id: str) -> Market:
        return initial(entity_id)

    def essence(self, command: MarketCommand) -> MarketCommand:
        """An activation is the same after the song earned more; the salt is the gateway's."""
        if isinstance(command, ActivateIssue):
            return ActivateIssue()
        if isinstance(command, DistributeRevenue):
            return DistributeRevenue(command.distribution_id, "", command.amount_minor)
        return command

    def decide(
        self, state: Market, command: MarketCommand | Funded, now_ms: int
    ) -> Decision[MarketEvent]:
        return market.decide(self._policy, state, command, now_ms)

    def evolve(self, state: Market, event: MarketEvent) -> Market:
        return market.evolve(state, event)

    async def prepare(
        self, connection: Connection, asked: Sequence[Asked[Market, MarketCommand]]
    ) -> Sequence[Any]:
        """Orders with what `reserve` sets aside for them: both as the batch finds the book."""
        return [market.prepared(self._policy, a.state, a.command) for a in asked]

    def reserve(
        self, state: Market, command: MarketCommand, now_ms: int
    ) -> tuple[LedgerTransaction, ...]:
        return market.reserve(self._policy, state, command, now_ms)

    def gather(self, state: Market, now_ms: int) -> Gathering | None:
        return gathering.gathering(self._policy, state, now_ms)

    def needs(self, state: Market, asked: Funded | CancelOrder) -> tuple[str, int] | None:
        return gathering.needs(state, asked)

    def reminded(self, name: str, due_at_ms: int) -> MarketCommand:
        return market.reminded(name, due_at_ms)

    def stored(self, state: Market) -> StoredMarket:
        return stored(state)

    def restored(self, kept: StoredMarket) -> Market:
        return restored(kept)

    def merged(self, told: Sequence[Told]) -> Sequence[Told]:
        """One event of each order, holding and book: what the batch left of it."""
        last: dict[Hashable, Told] = {}
        several: dict[Hashable, list[MarketEvent]] = {}
        for each in told:
            of = subject(each.event) or (each.entity_id, each.sequence)
            before = last.pop(of, None)
            last[of] = each  # where the last of them is: what it leads to is told before it
            if before is not None:
                several.setdefault(of, [before.event]).append(each.event)
        for of, events in several.items():
            last[of] = last[of]._replace(event=together(events))
        return list(last.values())

    def channels(self, entity_id: str, event: MarketEvent) -> tuple[str, ...]:
        """What concerns one user is that user's to see; the book's channel names nobody."""
        if isinstance(event, OWNER_EVENTS):
            return (user_channel(event.user_id),)
        return (book_channel(entity_id),)

    async def project(
        self, connection: Connection, applied: Sequence[Applied[MarketEvent]]
    ) -> None:
        events = [a.event for a in applied]
        await issues_storage.write(connection, events)
        await orders_storage.write(connection, events)
        await candles_storage.write(connection, events)
