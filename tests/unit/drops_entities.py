"""A drop in memory, with the ledger's balances beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.drops import deciding, selling
from domain.drops.policy import DropPolicy
from domain.drops.state import evolve
from messages.drops.accounts import available, fees, minted, token_currency
from messages.drops.drops import (
    ActivateDrop,
    DraftDrop,
    PurchaseReserved,
    ReserveTokens,
)
from tests.unit.goods_entities import ARTIST, Affording, check_sums, some_id, user
from tests.unit.rewards_entities import SONG, T0, Entity

POLICY = DropPolicy()
DROP = "0197d000-0000-7000-8000-000000000001"
TOKENS = token_currency(DROP)
HOUR_MS = 3_600_000


@dataclass
class DropEntity(Affording):
    """Commands are prepared as the owner prepares them."""

    def send(self, command: Any, now_ms: int | None = None) -> Any:
        self.now_ms = self.now_ms if now_ms is None else now_ms
        reserved = selling.reserve(self.state, command)
        self.afford(reserved)
        asked = selling.prepared(self.state, command) or command
        self.reserve = lambda _state, _command: reserved
        return super().send(asked)


def new_drop() -> DropEntity:
    return DropEntity(POLICY, deciding.initial(DROP), deciding.decide, evolve)


def draft(**changes: Any) -> DraftDrop:
    terms: dict[str, Any] = {
        "artist_user_id": ARTIST,
        "song_id": SONG,
        "name": "First pressing",
        "currency": "USD",
        "price_minor": 1_000,
        "supply": 100,
        "days": 30,
    }
    return DraftDrop(**{**terms, **changes})


def active(**changes: Any) -> DropEntity:
    drop = new_drop()
    drop.send(draft(**changes))
    drop.send(ActivateDrop())
    return drop


def keep(
    number: int, buyer: int, count: int = 1, until_ms: int = T0 + HOUR_MS, **changes: Any
) -> ReserveTokens:
    facts: dict[str, Any] = {
        "reservation_id": some_id(number),
        "buyer_id": user(buyer),
        "count": count,
        "expires_at_ms": until_ms,
    }
    return ReserveTokens(**{**facts, **changes})


def pay(number: int) -> PurchaseReserved:
    return PurchaseReserved(some_id(number))


def rebuilt(drop: Entity) -> Any:
    """The state that the journal alone makes."""
    state = deciding.initial(DROP)
    for event in drop.events:
        state = evolve(state, event)
    return state


def check(drop: Entity) -> None:
    """The supply is conserved; tokens and cash are the ledger's; every currency sums to zero."""
    state, balances = drop.state, drop.ledger.balances
    assert state.reserved + state.minted + state.left == state.asked.supply
    assert min(state.reserved, state.minted, state.left, state.burned) >= 0
    assert state.reserved == sum(kept.count for kept in state.reservations.values())
    bought = state.purchases.values()
    assert state.minted == sum(one.reserved.count for one in bought)
    assert state.burned == sum(one.reserved.count for one in bought if one.is_returned)
    numbers = [one.first_token + n for one in bought for n in range(one.reserved.count)]
    assert numbers == list(range(1, state.minted + 1))
    owned: dict[str, int] = {}
    for one in bought:
        count = 0 if one.is_returned else one.reserved.count
        owned[one.reserved.buyer_id] = owned.get(one.reserved.buyer_id, 0) + count
    for buyer, count in owned.items():
        assert balances[available(buyer, TOKENS)] == count
    assert balances[minted(DROP)] == state.burned - state.minted
    assert balances[fees("USD")] == sum(o.reserved.fee_minor for o in bought if not o.is_returned)
    assert all(count <= state.asked.cap for count in state.of_user.values())
    check_sums(drop)
