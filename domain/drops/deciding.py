"""What a drop does about a command: drafting, beginning, pausing, ending."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from domain.decision import Decision, Forget, Remind
from domain.drops import selling
from domain.drops.policy import DropPolicy
from domain.drops.selling import END_TIMER, EXPIRE_TIMER, Prepared
from domain.drops.state import Drop
from domain.drops.telling import completed, supply_changed
from domain.drops.views import drafted_view, drop_view
from domain.policy import DAY_MS
from domain.text import clean_line, clean_reason
from messages.drops.drops import (
    ActivateDrop,
    CancelDrop,
    DraftDrop,
    DropActivated,
    DropCancelled,
    DropCommand,
    DropDrafted,
    DropEvent,
    DropPaused,
    DropStatus,
    EndDrop,
    ExpireReservation,
    GetDrop,
    PauseDrop,
)
from messages.drops.errors import BadDrop, DropExists, DropNotFound, DropStateForbids
from messages.keys import is_id
from messages.money import minor_per_unit

Outcome: TypeAlias = Decision[DropEvent]
LIVE = (DropStatus.ACTIVE, DropStatus.PAUSED)


def initial(entity_id: str) -> Drop:
    """A drop that was not drafted."""
    return Drop(entity_id)


def decide(policy: DropPolicy, drop: Drop, command: DropCommand | Prepared, now_ms: int) -> Outcome:
    """What a command does. Raises the Refusals of `messages.drops.errors`."""
    if isinstance(command, DraftDrop):
        return _draft(policy, drop, command, now_ms)
    if drop.terms is None:
        raise DropNotFound(drop_id=drop.drop_id)
    if isinstance(command, GetDrop):
        return Decision(answer=drop_view(drop))
    kind = type(command.command) if isinstance(command, Prepared) else type(command)
    return _DECIDERS[kind](policy, drop, command, now_ms)


def reminded(name: str) -> DropCommand:
    """The command that a timer becomes."""
    if name == END_TIMER:
        return EndDrop()
    assert name.startswith(EXPIRE_TIMER), f"a drop sets no timer {name!r}"
    return ExpireReservation(name[len(EXPIRE_TIMER) :])


def _draft(policy: DropPolicy, drop: Drop, command: DraftDrop, now_ms: int) -> Outcome:
    if drop.terms is not None:
        raise DropExists(drop_id=drop.drop_id)
    name = clean_line(command.name, policy.max_name) or ""
    rules = {
        "drop_id": is_id(drop.drop_id),
        "artist_user_id": is_id(command.artist_user_id),
        "song_id": is_id(command.song_id),
        "name": len(name) >= policy.min_name,
        "currency": command.currency in policy.currencies,
        "supply": 0 < command.supply <= policy.max_supply,
        "days": policy.min_days <= command.days <= policy.max_days,
    }
    for field, holds in rules.items():
        if not holds:
            raise BadDrop(f"the {field} is out of range", field=field)
    most_minor = policy.max_price_units * minor_per_unit(command.currency)
    if not 0 <= command.price_minor <= most_minor:
        raise BadDrop("the price is out of range", field="price_minor")
    event = DropDrafted(
        drop.drop_id,
        command.artist_user_id,
        command.song_id,
        name,
        command.currency,
        command.price_minor,
        command.supply,
        policy.cap(command.supply),
        command.days,
        now_ms,
    )
    return Decision((event,), drafted_view(event))


def _activate(_policy: DropPolicy, drop: Drop, _command: ActivateDrop, now_ms: int) -> Outcome:
    _require(drop, DropStatus.DRAFT, DropStatus.PAUSED)
    begins = drop.status is DropStatus.DRAFT
    ends_at_ms = now_ms + drop.asked.days * DAY_MS if begins else drop.ends_at_ms
    return Decision(
        (DropActivated(drop.drop_id, ends_at_ms, now_ms),),
        drop_view(drop, status=DropStatus.ACTIVE, ends_at_ms=ends_at_ms),
        timers=(Remind(END_TIMER, ends_at_ms),) if begins else (),
    )


def _pause(_policy: DropPolicy, drop: Drop, _command: PauseDrop, now_ms: int) -> Outcome:
    _require(drop, DropStatus.ACTIVE)
    event = DropPaused(drop.drop_id, now_ms)
    return Decision((event,), drop_view(drop, status=DropStatus.PAUSED))


def _cancel(policy: DropPolicy, drop: Drop, command: CancelDrop, now_ms: int) -> Outcome:
    _require(drop, DropStatus.DRAFT, *LIVE)
    # The timers of reservations find nothing to do, and go.
    reason = clean_reason(command.reason, policy.max_reason)
    events: list[DropEvent] = [DropCancelled(drop.drop_id, reason, drop.minted, now_ms)]
    if drop.reserved:
        events.append(supply_changed(drop, now_ms, reserved=-drop.reserved))
    left = drop.left + drop.reserved
    view = drop_view(drop, status=DropStatus.CANCELLED, reserved=0, left=left)
    return Decision(tuple(events), view, timers=(Forget(END_TIMER),))


def _end(_policy: DropPolicy, drop: Drop, _command: EndDrop, now_ms: int) -> Outcome:
    """What is reserved may still be paid for, until it lapses."""
    if drop.status not in LIVE:
        return Decision()
    return Decision((completed(drop, now_ms),))


def _require(drop: Drop, *statuses: DropStatus) -> None:
    if drop.status not in statuses:
        raise DropStateForbids(status=drop.status.value)


_DECIDERS: dict[type, Callable[[DropPolicy, Drop, Any, int], Outcome]] = {
    ActivateDrop: _activate,
    PauseDrop: _pause,
    CancelDrop: _cancel,
    EndDrop: _end,
    **selling.DECIDERS,
}
