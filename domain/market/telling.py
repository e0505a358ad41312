"""What the world hears of a batch: one event where several say the same thing, later each time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from msgspec.structs import replace

from messages.market import HoldingChanged
from messages.market.orders import BookChanged, OrderChanged


def subject(event: Any) -> Hashable | None:
    """What an event tells of, if a later one of the same subject says all of it again."""
    if isinstance(event, OrderChanged):
        return "order", event.issue_id, event.order_id
    if isinstance(event, HoldingChanged):
        return "holding", event.issue_id, event.user_id
    if isinstance(event, BookChanged):
        return "book", event.issue_id
    return None


def together(several: Sequence[Any]) -> Any:
    """One event for several of one subject, in order."""
    last = several[-1]
    if not isinstance(last, BookChanged):
        return last
    levels = {(level.side, level.price_minor): level for e in several for level in e.levels}
    return replace(
        last,
        after=several[0].after,
        levels=tuple(levels.values()),
        trades=tuple(trade for e in several for trade in e.trades),
    )
